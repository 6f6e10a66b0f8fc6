import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import protobuf from 'protobufjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { basic, call, type Deployment, deploy, formOf } from './deployment.ts';
import { connect, redeem, refresh, signIn } from './login-app.ts';

// The part of opentelemetry/proto/trace/v1/trace.proto that is looked at, by its field numbers.
const schema = protobuf
  .parse(`
  syntax = "proto3";
  message Request { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ScopeSpans { repeated Span spans = 2; }
  message Span {
    bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5; int32 kind = 6;
    fixed64 start = 7; fixed64 end = 8; repeated KeyValue attributes = 9; Status status = 15;
  }
  message Status { string message = 2; int32 code = 3; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; }
`)
  .root.lookupType('Request');

interface SpanSeen {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parent: string;
  readonly kind: number;
  readonly status: number;
  readonly attributes: ReadonlyMap<string, unknown>;
}

/** A receiver of OTLP over HTTP. */
interface Collector {
  readonly url: string;
  readonly server: Server;
  readonly bodies: Buffer[];
  readonly types: Set<string>;
  spans(): readonly SpanSeen[];
}

async function openCollector(): Promise<Collector> {
  const bodies: Buffer[] = [];
  const types = new Set<string>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      types.add(`${request.method} ${request.url} ${request.headers['content-type']}`);
      bodies.push(Buffer.concat(chunks));
      response.setHeader('content-type', 'application/x-protobuf');
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    server,
    bodies,
    types,
    spans: () => bodies.flatMap(read),
  };
}

interface Decoded {
  resourceSpans?: { scopeSpans?: { spans?: RawSpan[] }[] }[];
}
interface RawSpan {
  name?: string;
  kind?: number;
  traceId?: string;
  spanId?: string;
  parentSpanId?: string;
  status?: { code?: number };
  attributes?: { key: string; value: Record<string, unknown> }[];
}

const hex = (text: string | undefined) => Buffer.from(text ?? '', 'base64').toString('hex');

function read(body: Buffer): readonly SpanSeen[] {
  const decoded: Decoded = schema.toObject(schema.decode(body), { bytes: String, longs: Number });
  const raw = (decoded.resourceSpans ?? [])
    .flatMap(({ scopeSpans = [] }) => scopeSpans)
    .flatMap(({ spans = [] }) => spans);
  return raw.map((span) => ({
    name: span.name ?? '',
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parent: hex(span.parentSpanId),
    kind: span.kind ?? 0,
    status: span.status?.code ?? 0,
    attributes: new Map(
      (span.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]),
    ),
  }));
}

let collector: Collector;
beforeAll(async () => {
  collector = await openCollector();
});
afterAll(() => {
  collector?.server.close();
});

const traced = (share = '1') => ({
  GATEHOUSE_OTLP_ENDPOINT: collector.url,
  GATEHOUSE_OTLP_SAMPLE_RATIO: share,
  GATEHOUSE_OTLP_SERVICE_NAME: 'gatehouse-test',
});

async function login(deployment: Deployment, traceparent: string) {
  const client = await deployment.register();
  const signedIn = await signIn(deployment, client);
  const form = {
    grant_type: 'authorization_code',
    code: signedIn.code,
    redirect_uri: client.redirectUri,
    code_verifier: signedIn.pkce.verifier,
  };
  const headers = { ...basic(client), traceparent };
  const answer = await deployment.post('/oauth2/token', form, headers);
  expect(answer.status).toBe(200);
  const again = await refresh(deployment, client, String(answer.body.refresh_token));
  return { client, signedIn, answer, again };
}

describe('traces', () => {
  test('a request is a span with its statements below, in the trace of whoever called', async () => {
    const deployment = await deploy({ env: traced() });
    const traceId = randomBytes(16).toString('hex');
    const caller = randomBytes(8).toString('hex');
    const { client, signedIn, answer, again } = await login(
      deployment,
      `00-${traceId}-${caller}-00`,
    );
    await redeem(deployment, client, { ...signedIn, code: 'gh_ac_forged' });
    await call(`${deployment.server.publicUrl}/userinfo?access_token=${answer.body.access_token}`);
    const output = () => deployment.server.output();
    await deployment.close();

    expect([...collector.types]).toEqual(['POST /v1/traces application/x-protobuf']);
    const spans = collector.spans();
    const mine = spans.filter((span) => span.traceId === traceId);
    const root = mine.find(({ parent }) => parent === caller);
    expect(root).toMatchObject({ name: 'POST /oauth2/token', kind: 2, status: 0 });
    expect(root?.attributes.get('http.response.status_code')).toBe(200);
    expect(root?.attributes.get('http.route')).toBe('/oauth2/token');
    expect(root?.attributes.get('gatehouse.request_id')).toBe(answer.headers.get('x-request-id'));
    const write = mine.find(({ name }) => name === 'write redeem');
    expect(write?.parent).toBe(root?.spanId);
    const sql = mine.find(({ name }) => name === 'sql redeem');
    expect(sql?.kind).toBe(3);
    expect(sql?.attributes.get('db.operation.batch.size')).toBe(1);
    expect(sql?.attributes.get('db.system.name')).toBe('postgresql');
    expect(mine.map(({ parent }) => parent)).not.toContain('');

    // The built-in call of another door, every hop of the login, and a wait for the feed.
    const names = new Set(spans.map(({ name }) => name));
    for (const name of [
      'GET /oauth2/auth',
      'write session',
      'write grant',
      'sql refresh',
      'feed born',
    ]) {
      expect(names, name).toContain(name);
    }
    // Values, queries and secrets are nowhere in what was sent.
    const sent = Buffer.concat(collector.bodies).toString('latin1');
    const secrets = [
      signedIn.code,
      signedIn.pkce.verifier,
      signedIn.pkce.challenge,
      client.secret,
      String(answer.body.access_token),
      String(answer.body.refresh_token),
      String(again.body.refresh_token),
      String(answer.body.id_token),
      'state-of-the-test-app',
      'login_challenge',
      'alice',
    ];
    expect(secrets.filter((secret) => sent.includes(secret))).toEqual([]);
    expect(sent).not.toMatch(/gh_[a-z]{2}_/);
    // And the log leads from a line to its trace.
    const line = output()
      .split('\n')
      .find((text) => text.includes(String(answer.headers.get('x-request-id'))));
    expect(line).toContain(`"traceId":"${traceId}"`);
  });

  test('a share of 0 sends nothing, and a header that makes no sense is ignored', async () => {
    const before = collector.bodies.length;
    const deployment = await deploy({ env: traced('0') });
    for (const header of [
      '00-0-0-01',
      'x'.repeat(5000),
      `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`,
    ]) {
      await login(deployment, header);
    }
    await deployment.close();
    expect(collector.bodies.length).toBe(before);
    expect(deployment.server.output()).not.toContain('traceId');
  });

  test('an id that a stranger chose has no more recorded than our share', async () => {
    const before = collector.bodies.length;
    const deployment = await deploy({ env: traced('0.0000001') });
    // by its own value it belongs to every share there is
    const traceparent = `00-${'1'.padStart(32, '0')}-${'1'.padStart(16, '0')}-01`;
    for (let n = 0; n < 50; n += 1) {
      await call(`${deployment.server.publicUrl}/userinfo`, { headers: { traceparent } });
    }
    await deployment.close();
    expect(collector.bodies.length).toBe(before);
  });

  test('a collector that is away costs a line of the log, and nobody an answer', async () => {
    const env = { ...traced(), GATEHOUSE_OTLP_ENDPOINT: 'http://127.0.0.1:1' };
    const deployment = await deploy({ env });
    const client = await deployment.register();
    for (let n = 0; n < 5; n += 1) await connect(deployment, client);
    const form = formOf({ grant_type: 'client_credentials' });
    const url = `${deployment.server.publicUrl}/oauth2/token`;
    const init = { method: 'POST', headers: basic(client), body: form };
    const answers = await Promise.all(Array.from({ length: 300 }, () => call(url, init)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await deployment.close();
    const lines = deployment.server.output().split('"event":"traces_not_sent"').length - 1;
    expect(lines).toBe(1);
  });
});
