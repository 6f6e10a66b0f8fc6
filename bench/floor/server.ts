import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  randomUUID,
  sign,
} from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createMetrics } from '#server/operation/metrics.ts';
import { openDatabase } from '#server/store/database.ts';
import { createWrites, type Writes } from '#server/writes.ts';

type Alg = 'RS256' | 'ES256';

// What a login cannot do without, and nothing else: its six requests over node:http, its eleven
// seals and openings, its signature and its three statements, batched as ours are. No framework, no
// validation, no refusal, no authentication, no limit, no log, no metric, no revocation. It is there
// to be measured: what Gatehouse costs beyond it is what the product itself costs.

/** What travels from hop to hop. */
interface Travelling {
  readonly id: string;
  readonly clientId: string;
  readonly scope: string;
  readonly redirectUri: string;
  readonly state: string;
  readonly nonce: string;
  readonly challenge: string;
  readonly subject?: string;
  readonly grantId?: string;
}

/** What the parent process tells the floor, over IPC. */
export interface FloorOrder {
  readonly port: number;
  readonly databaseUrl: string;
}

interface SigningPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

interface Floor {
  readonly origin: string;
  readonly writes: Writes;
  readonly sealKey: KeyObject;
  readonly signing: Readonly<Record<Alg, SigningPair>>;
}

/** As the real server's pool. */
const connections = { connectionsMax: 10, connectMsMax: 2000, statementMsMax: 5000 } as const;

function run({ port, databaseUrl }: FloorOrder): void {
  const database = openDatabase({
    url: databaseUrl,
    applicationName: 'gatehouse-pool',
    ...connections,
  });
  const floor: Floor = {
    origin: `http://127.0.0.1:${port}`,
    writes: createWrites(database, createMetrics()),
    sealKey: createSecretKey(randomBytes(32)),
    signing: {
      RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
      ES256: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
    },
  };
  const server = createServer((request, response) => {
    answer(floor, request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  server.listen(port, '127.0.0.1', () => process.send?.('ready'));
}

async function answer(
  floor: Floor,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = request.url ?? '';
  const at = url.indexOf('?');
  const query = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
  const path = at < 0 ? url : url.slice(0, at);
  if (path === '/keys') return json(response, 200, { keys: publishedKeys(floor) });
  if (path === '/heap') return json(response, 200, process.memoryUsage().heapUsed);
  if (path === '/oauth2/auth') return visit(floor, query, response);
  const body = await bodyOf(request);
  if (path === '/oauth2/token') return redeem(floor, new URLSearchParams(body), response);
  if (path.endsWith('/login/accept')) {
    const flow = open(floor, query.get('login_challenge'));
    const verifier = seal(floor, { ...flow, subject: JSON.parse(body).subject });
    return json(response, 200, { redirect_to: `${floor.origin}/oauth2/auth?l=${verifier}` });
  }
  if (path.endsWith('/consent/accept')) {
    const verifier = seal(floor, open(floor, query.get('consent_challenge')));
    return json(response, 200, { redirect_to: `${floor.origin}/oauth2/auth?c=${verifier}` });
  }
  response.writeHead(404).end();
}

function publishedKeys(floor: Floor) {
  return Object.entries(floor.signing).map(([alg, { publicKey }]) => ({
    ...publicKey.export({ format: 'jwk' }),
    alg,
    kid: alg,
    use: 'sig',
  }));
}

async function visit(floor: Floor, query: URLSearchParams, response: ServerResponse) {
  const login = query.get('l');
  if (login !== null) {
    const flow = open(floor, login);
    await floor.writes.beginSession({
      id: flow.id,
      subject: flow.subject ?? '',
      loginBorn: 0,
      authenticatedAt: Math.floor(Date.now() / 1000),
      acr: '',
      amr: [],
      remember: false,
      idpSessionId: null,
      lifetimeSeconds: 86_400,
      clientId: flow.clientId,
    });
    return redirect(
      response,
      `http://127.0.0.1:9998/consent?consent_challenge=${seal(floor, flow)}`,
    );
  }
  const consent = query.get('c');
  if (consent !== null) {
    const flow = open(floor, consent);
    const granted = await floor.writes.giveGrant({
      id: randomUUID(),
      flowId: flow.id,
      subject: flow.subject ?? '',
      clientId: flow.clientId,
      sessionId: flow.id,
      scope: flow.scope.split(' '),
      audience: [],
      loginBorn: 0,
      grantBorn: 0,
      remember: false,
      rememberSeconds: 0,
      skipped: false,
      detail: {},
    });
    if (granted.kind !== 'granted') throw new Error(`the grant is ${granted.kind}`);
    const code = seal(floor, { ...flow, grantId: granted.id });
    return redirect(response, `${flow.redirectUri}?code=${code}&state=${flow.state}`);
  }
  const flow = {
    id: randomUUID(),
    clientId: query.get('client_id') ?? '',
    scope: query.get('scope') ?? '',
    redirectUri: query.get('redirect_uri') ?? '',
    state: query.get('state') ?? '',
    nonce: query.get('nonce') ?? '',
    challenge: query.get('code_challenge') ?? '',
  };
  redirect(response, `http://127.0.0.1:9998/login?login_challenge=${seal(floor, flow)}`);
}

async function redeem(floor: Floor, form: URLSearchParams, response: ServerResponse) {
  const flow = open(floor, form.get('code'));
  const verifier = form.get('code_verifier') ?? '';
  if (createHash('sha256').update(verifier).digest('base64url') !== flow.challenge) {
    throw new Error('the verifier is wrong');
  }
  const written = await floor.writes.redeem({
    id: flow.id,
    attempt: randomUUID(),
    clientId: flow.clientId,
    subject: flow.subject ?? '',
    grantId: flow.grantId ?? '',
    sessionId: flow.id,
    online: false,
    refreshable: true,
    macKid: 'floor',
    scope: flow.scope.split(' '),
    audience: [],
    resource: [],
    cnf: null,
    loginBorn: 0,
    grantBorn: 0,
    authenticatedAt: Math.floor(Date.now() / 1000),
    acr: '',
    amr: [],
    claims: null,
    idleSeconds: 86_400,
    absoluteSeconds: null,
    keepSeconds: 86_400,
  });
  if (written !== 'redeemed') throw new Error(`the code is ${written}`);
  json(response, 200, {
    access_token: seal(floor, flow),
    refresh_token: randomBytes(48).toString('base64url'),
    id_token: await idToken(floor, flow),
    expires_in: 3600,
    scope: flow.scope,
    token_type: 'bearer',
  });
}

function idToken(floor: Floor, flow: Travelling): Promise<string> {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: floor.origin,
    sub: flow.subject,
    aud: [flow.clientId],
    nonce: flow.nonce,
    iat: now,
    exp: now + 3600,
    auth_time: now,
    sid: flow.id,
  };
  // the client's id says what signs
  const alg = flow.clientId === 'RS256' ? 'RS256' : 'ES256';
  const key = floor.signing[alg].privateKey;
  const input = `${part({ alg, typ: 'JWT', kid: alg })}.${part(claims)}`;
  if (alg === 'ES256') {
    const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
    return Promise.resolve(`${input}.${signature.toString('base64url')}`);
  }
  return new Promise((resolve, reject) => {
    sign('sha256', Buffer.from(input), key, (error, signature) => {
      if (error) reject(error);
      else resolve(`${input}.${signature.toString('base64url')}`);
    });
  });
}

function seal(floor: Floor, flow: Travelling): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', floor.sealKey, nonce);
  const body = cipher.update(JSON.stringify(flow), 'utf8');
  cipher.final();
  return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url');
}

function open(floor: Floor, text: string | null): Travelling {
  const sealed = Buffer.from(text ?? '', 'base64url');
  const decipher = createDecipheriv('aes-256-gcm', floor.sealKey, sealed.subarray(0, 12));
  decipher.setAuthTag(sealed.subarray(-16));
  const body = decipher.update(sealed.subarray(12, -16));
  decipher.final();
  return JSON.parse(body.toString('utf8'));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(303, { location, 'cache-control': 'no-store' }).end();
}

function json(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  response
    .writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
    })
    .end(text);
}

process.once('disconnect', () => process.exit(0));
process.once('message', (order: FloorOrder) => run(order));
