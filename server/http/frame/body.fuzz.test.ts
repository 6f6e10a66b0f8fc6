import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { Hono } from 'hono';
import { describe, expect, test } from 'vitest';
import { isRefusal, refusals } from '#core/refusal.ts';
import { adminPath } from '#server/http/admin/authentication.ts';
import { pageOf } from '#server/http/admin/page.ts';
import { basicClientId } from '#server/http/client-authentication.ts';
import { readInput } from '#server/http/handshake/input.ts';
import { readChainClaims } from '#server/http/token/chain-claims.ts';
import { generationOf, importJwk, importSet } from '#server/keys/jwk.ts';
import { expectLinear, hostileJson, hostileText } from '#server/testing/hostile.ts';
import { type Ctx, type Env, json, refusalAnswer } from './answer.ts';
import { parseForm, readForm, readJson } from './body.ts';
import { addressReader } from './client-address.ts';
import { readCookies } from './cookies.ts';

const several = new Set(['resource']);
const trusting = addressReader(['127.0.0.1', '10.0.0.0/8', '::1']);

function addressFor(forwarded: string): string {
  const headers = { 'x-forwarded-for': forwarded };
  const socket = { remoteAddress: '127.0.0.1' };
  const incoming: Pick<IncomingMessage, 'headers'> & { socket: object } = { headers, socket };
  return trusting(Object.assign(Object.create(null), incoming));
}

const texts: readonly (readonly [string, (text: string) => unknown, readonly string[]])[] = [
  ['form', (text) => parseForm(text, several), ['a=1&b=%20c+d', 'resource=a&resource=b']],
  ['Basic', basicClientId, ['Basic YTpi', 'basic YXBwJTNBOmI=']],
  ['Basic, encoded', (text) => basicClientId(`Basic ${Buffer.from(text).toString('base64')}`), []],
  ['cookies', readCookies, ['a=1; b=2; __Host-gatehouse-session=x']],
  ['X-Forwarded-For', addressFor, ['192.0.2.1, 10.1.2.3', '2001:db8::1']],
  [
    'the path of an admin request',
    (text) => adminPath(new Request(`http://a.example/c/${encodeURI(text.toWellFormed())}`)),
    ['gh_ad_x/admin/clients'],
  ],
];

describe.each(texts)('%s', (_, parse, valid) => {
  test('takes any text, and refuses only by the table', () => {
    fc.assert(
      fc.property(hostileText(...valid), (text) => {
        const parsed = parse(text);
        if (isRefusal(parsed)) expect(parsed.refused in refusals).toBe(true);
      }),
      { numRuns: 1_500 },
    );
  });

  test('costs linear time', () => expectLinear(parse));
});

test('a form that was taken reads the same when it is written again', () => {
  fc.assert(
    fc.property(hostileText('a=1&b=%20c+d'), (text) => {
      const form = parseForm(text);
      if (isRefusal(form)) return;
      const written = new URLSearchParams();
      for (const name of form.names()) written.append(name, form.get(name) ?? '');
      const again = parseForm(written.toString());
      if (isRefusal(again)) throw new Error(again.hint);
      expect([...again.names()]).toEqual([...form.names()].map((name) => name.toWellFormed()));
    }),
    { numRuns: 1_000 },
  );
});

test('an address is one that a proxy of ours vouches for, or the socket’s', () => {
  fc.assert(
    fc.property(hostileText('192.0.2.1, 10.1.2.3'), (forwarded) => {
      expect(addressFor(forwarded)).toMatch(/^[0-9a-f.:]+(%[\w.]+)?$/i);
    }),
    { numRuns: 1_000 },
  );
});

describe('bodies and queries of real requests', () => {
  const app = new Hono<Env>()
    .post('/json', async (c) => shown(await readJson(c)))
    .post('/form', async (c) => shown(await readForm(c)))
    .post('/input', async (c) => {
      const read = await readJson(c);
      return isRefusal(read) ? refusalAnswer(read) : json(200, inputOf(read.body));
    })
    .get('/page', (c: Ctx) => shown(pageOf(c)));

  function shown(value: unknown): Response {
    return isRefusal(value) ? refusalAnswer(value) : json(200, {});
  }

  function inputOf(body: unknown): object {
    const input = readInput(body);
    const read = [
      input.text('subject', 255),
      input.flag('remember'),
      input.seconds('remember_for', 100),
      input.textList('amr', 16),
      input.json('context', 4096),
      input.object('session')?.json('id_token', 100),
    ];
    return { read: read.length, fault: input.fault()?.refused };
  }

  const types = fc.constantFrom(
    'application/json',
    'application/x-www-form-urlencoded',
    'application/json; charset=utf-7',
    'application/json-patch+json',
    'text/plain',
    'application/x-www-form-urlencoded;charset=utf-16',
    'multipart/form-data; boundary=a',
  );
  const names = ['subject', 'remember', 'remember_for', 'amr', 'context', 'session', 'id_token'];
  const body = fc.oneof(
    hostileText('{"subject":"ana"}', 'a=b&c=d'),
    hostileJson(...names).map((value) => JSON.stringify(value)),
  );

  test('are answered 200 or refused, never 5xx', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('/json', '/form', '/input'),
        types,
        body,
        async (path, type, text) => {
          const init = { method: 'POST', headers: { 'content-type': type }, body: text };
          const { status } = await app.request(path, init);
          expect([200, 400, 413, 415]).toContain(status);
        },
      ),
      { numRuns: 1_500 },
    );
  });

  test('pages are asked for by numbers and tokens of ours, or refused', async () => {
    await fc.assert(
      fc.asyncProperty(hostileText('10'), hostileText('YQ'), async (size, token) => {
        const query = new URLSearchParams({ page_size: size, page_token: token });
        const { status } = await app.request(`/page?${query}`);
        expect([200, 400]).toContain(status);
      }),
      { numRuns: 500 },
    );
  });
});

const jwkNames = ['kty', 'alg', 'use', 'kid', 'crv', 'x', 'y', 'n', 'e', 'd', 'p', 'q', 'keys'];

test('keys that are imported: any JSON, refused by the table', () => {
  const key = fc.record(
    {
      kty: fc.constantFrom('RSA', 'EC', 'OKP', 'oct', ''),
      alg: fc.constantFrom('RS256', 'PS256', 'ES256', 'EdDSA', 'HS256', 'none'),
      crv: fc.constantFrom('P-256', 'Ed25519', 'P-521', 'X25519', 'secp256k1'),
      d: hostileText('AAAA'),
      x: hostileText('AAAA'),
      y: hostileText('AAAA'),
      n: hostileText('AQAB'),
      e: hostileText('AQAB'),
      kid: hostileText('a'),
    },
    { requiredKeys: ['kty', 'alg', 'd'] },
  );
  const value = fc.oneof(key, hostileJson(...jwkNames));
  fc.assert(
    fc.property(value, (jwk) => {
      for (const result of [
        importJwk('set', jwk, undefined),
        importSet('set', { keys: [jwk] }),
        importSet('set', jwk),
        generationOf(jwk),
      ]) {
        if (isRefusal(result)) expect(result.refused in refusals).toBe(true);
      }
    }),
    // The example is one that a run of this test found: lengths checked where the type is wrong.
    { numRuns: 1_000, examples: [[{ kid: { length: { toString: {} } } }]] },
  );
});

test('claims of a chain are read from what we stored, and from nothing else', () => {
  fc.assert(
    fc.property(fc.constantFrom(undefined, null, '{}', '{"i":"{}"}'), (text) => {
      readChainClaims(text);
    }),
  );
});
