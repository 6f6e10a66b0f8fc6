import { randomUUID } from 'node:crypto';
import { connect as openSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, call, formOf, type Json, type RegisteredClient } from './deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  claimsOf,
  connect,
  newPkce,
  refresh,
  type Tokens,
  tokensOf,
} from './login-app.ts';
import { deployTwo, type TwoNodes } from './two-nodes.ts';

let two: TwoNodes;
let opaqueApp: RegisteredClient;
let jwtApp: RegisteredClient;
beforeAll(async () => {
  two = await deployTwo();
  opaqueApp = await two.a.register();
  jwtApp = await two.a.register({ access_token_strategy: 'jwt' });
});
afterAll(() => two?.close());

/** A login, the ids that it hangs from, and whose it is. */
interface Live {
  readonly client: RegisteredClient;
  readonly subject: string;
  readonly tokens: Tokens;
}

async function login(client: RegisteredClient): Promise<Live> {
  const subject = `user-${randomUUID()}`;
  return { client, subject, tokens: await connect(two.a, client, { login: { subject } }) };
}

/** The ids in a JWT access token, which an opaque one carries sealed. */
function idsOf(live: Live): Record<'chain' | 'grant' | 'session', string> {
  const { gh } = claimsOf(live.tokens.access);
  const ids = new Map(Object.entries(Object(gh)));
  const of = (name: string) => String(ids.get(name));
  return { chain: of('chain'), grant: of('grant'), session: of('session') };
}

const revoke = (body: Json) => two.a.admin('POST', '/admin/revocations', body);
const revokeAsClient = (live: Live, token: string) =>
  two.a.postAs(live.client, '/oauth2/revoke', { token });

/** One way to end a login at node A; `refreshes`: its refresh token lives on. */
interface Ending {
  readonly name: string;
  readonly client: () => RegisteredClient | Promise<RegisteredClient>;
  readonly end: (live: Live) => Promise<Answer>;
  readonly refreshes?: boolean;
}

const ownApp = () => two.a.register({ access_token_strategy: 'jwt' });
const sessions = '/admin/oauth2/auth/sessions';
const endings: readonly Ending[] = [
  {
    name: 'RFC 7009: an opaque access token',
    client: () => opaqueApp,
    end: (live) => revokeAsClient(live, live.tokens.access),
    refreshes: true,
  },
  {
    name: 'RFC 7009: a JWT access token',
    client: () => jwtApp,
    end: (live) => revokeAsClient(live, live.tokens.access),
    refreshes: true,
  },
  {
    name: 'RFC 7009: a refresh token',
    client: () => opaqueApp,
    end: (live) => revokeAsClient(live, live.tokens.refresh),
  },
  {
    name: 'a token, by an administrator',
    client: () => opaqueApp,
    end: (live) => revoke({ token: live.tokens.refresh }),
  },
  { name: 'a chain', client: () => jwtApp, end: (live) => revoke({ chain: idsOf(live).chain }) },
  { name: 'a grant', client: () => jwtApp, end: (live) => revoke({ grant: idsOf(live).grant }) },
  {
    name: 'a session',
    client: () => jwtApp,
    end: (live) => revoke({ session: idsOf(live).session }),
  },
  {
    name: 'a subject',
    client: () => opaqueApp,
    end: (live) => revoke({ subject: live.subject }),
  },
  {
    name: "Hydra's door: a person's consents",
    client: () => opaqueApp,
    end: (live) => two.a.admin('DELETE', `${sessions}/consent?subject=${live.subject}&all=true`),
  },
  { name: 'a client', client: ownApp, end: (live) => revoke({ client_id: live.client.id }) },
  {
    name: "Hydra's door: a client's tokens",
    client: ownApp,
    end: (live) => two.a.admin('DELETE', `/admin/oauth2/tokens?client_id=${live.client.id}`),
  },
  {
    name: 'a client that is deleted',
    client: ownApp,
    end: (live) => two.a.admin('DELETE', `/admin/clients/${live.client.id}`),
  },
];

const revocations = 500;
const workers = 8;

/** What node B still accepts of what node A has just said is dead. */
async function acceptedByB({ client, tokens }: Live, ending: Ending): Promise<string[]> {
  const [shown, person, refreshed] = await Promise.all([
    two.b.introspect(tokens.access),
    two.b.userinfo(tokens.access),
    refresh(two.b, client, tokens.refresh),
  ]);
  const accepted: string[] = [];
  if (shown.active !== false) accepted.push(`${ending.name}: introspection`);
  if (person.status !== 401) accepted.push(`${ending.name}: userinfo ${person.status}`);
  if ((refreshed.status === 200) !== (ending.refreshes ?? false)) {
    accepted.push(`${ending.name}: refresh ${refreshed.status}`);
  }
  return accepted;
}

test(`R4: ${revocations} revocations acknowledged by A, each tried on B at that moment: none accepted`, async () => {
  const accepted: string[] = [];
  const done = new Map<string, number>();
  const state = { next: 0 };
  const work = async () => {
    while (state.next < revocations) {
      const ending = endings[state.next % endings.length];
      state.next += 1;
      if (ending === undefined) throw new Error('no ending');
      const live = await login(await ending.client());
      // B knows this token as live, and has just polled: what it would wrongly go by.
      expect(await two.b.introspect(live.tokens.access)).toMatchObject({ active: true });
      const acknowledged = await ending.end(live);
      accepted.push(...(await acceptedByB(live, ending)));
      expect([200, 204], ending.name).toContain(acknowledged.status);
      done.set(ending.name, (done.get(ending.name) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  expect(accepted).toEqual([]);
  expect([...done.values()].reduce((sum, count) => sum + count, 0)).toBe(revocations);
  expect(done.size).toBe(endings.length);
}, 180_000);

describe('signing out is not revoking (hot path 7)', () => {
  test('an online token dies everywhere at the acknowledgement, offline access lives on', async () => {
    const online = await connect(two.a, jwtApp, {
      login: { subject: `user-${randomUUID()}` },
      parameters: { scope: 'openid profile' },
    });
    const offline = await login(jwtApp);
    const sid = (token: string) =>
      String(new Map(Object.entries(Object(claimsOf(token).gh))).get('session'));
    for (const access of [online.access, offline.tokens.access]) {
      expect(await two.b.introspect(access)).toMatchObject({ active: true });
      const ended = await two.a.admin('DELETE', `${sessions}/login?sid=${sid(access)}`);
      expect(ended.status).toBe(204);
    }
    expect(await two.b.introspect(online.access)).toEqual({ active: false });
    expect(await two.b.introspect(offline.tokens.access)).toMatchObject({ active: true });
    expect((await refresh(two.b, jwtApp, offline.tokens.refresh)).status).toBe(200);
  });
});

describe('order, not clocks: what comes after a revocation is alive', () => {
  test('a person who was revoked and signs in again at once is alive on every node', async () => {
    const subject = `user-${randomUUID()}`;
    const before: Tokens[] = [];
    for (let round = 0; round < 10; round += 1) {
      // The login app is answered by the other node each time.
      const door = round % 2 === 0 ? two.b : two.a;
      const here = { ...two.a, admin: door.admin };
      const tokens = await connect(here, opaqueApp, { login: { subject } });
      for (const node of two.nodes) {
        expect(await node.introspect(tokens.access)).toMatchObject({ active: true });
        expect((await node.userinfo(tokens.access)).status).toBe(200);
      }
      const next = tokensOf(await refresh(two.b, opaqueApp, tokens.refresh));
      expect(await two.a.introspect(next.access)).toMatchObject({ active: true });
      before.push(tokens, next);
      expect((await revoke({ subject })).status).toBe(200);
    }
    for (const dead of before) {
      expect(await two.b.introspect(dead.access)).toEqual({ active: false });
      expect((await refresh(two.a, opaqueApp, dead.refresh)).status).toBe(400);
    }
  });

  test('consent given again after it was withdrawn: the new tokens live, the old stay dead', async () => {
    const subject = `user-${randomUUID()}`;
    const first = await connect(two.a, opaqueApp, { login: { subject } });
    const withdrawn = await two.a.admin(
      'DELETE',
      `${sessions}/consent?subject=${subject}&all=true`,
    );
    expect(withdrawn.status).toBe(204);
    const second = await connect(two.a, opaqueApp, { login: { subject } });
    for (const node of two.nodes) {
      expect(await node.introspect(first.access)).toEqual({ active: false });
      expect(await node.introspect(second.access)).toMatchObject({ active: true });
    }
    expect((await refresh(two.b, opaqueApp, first.refresh)).status).toBe(400);
    expect((await refresh(two.b, opaqueApp, second.refresh)).status).toBe(200);
  });

  test('R4: a client deleted and made again under its id revives nothing', async () => {
    const fields = {
      client_id: randomUUID(),
      client_secret: 'a secret of a client that comes back',
    };
    const client = await two.a.register(fields);
    const tokens = await connect(two.a, client, { login: { subject: 'ann' } });
    expect((await two.a.admin('DELETE', `/admin/clients/${client.id}`)).status).toBe(204);
    const again = await two.a.register(fields);
    expect(await two.b.introspect(tokens.access)).toEqual({ active: false });
    expect((await refresh(two.b, again, tokens.refresh)).body.error).toBe('invalid_grant');
    const anew = await connect(two.a, again, { login: { subject: 'ann' } });
    expect(await two.b.introspect(anew.access)).toMatchObject({ active: true });
  });
});

test('an app that is disabled while a request arrives slowly at another node begins no sign-in', async () => {
  const client = await two.a.register();
  const parameters = authorizationParameters(client, newPkce());
  expect((await call(authorizationUrl(two.b, parameters))).status).toBe(303);
  const body = formOf(parameters).toString();
  const head = [
    'POST /oauth2/auth HTTP/1.1',
    'Host: a',
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${body.length}`,
  ];
  const { promise, resolve } = Promise.withResolvers<string>();
  const port = Number(new URL(two.b.server.publicUrl).port);
  const socket = openSocket(port, '127.0.0.1');
  socket.once('data', (chunk) => resolve(chunk.toString('latin1')));
  socket.write(`${head.join('\r\n')}\r\n\r\n${body.slice(0, 20)}`);
  await sleep(100);
  const disabled = { ...client.document, disabled: true };
  expect((await two.a.admin('PUT', `/admin/clients/${client.id}`, disabled)).status).toBe(200);
  socket.write(body.slice(20));
  expect(await promise).toMatch(/^HTTP\/1\.1 400 /);
  socket.destroy();
});
