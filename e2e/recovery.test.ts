import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testPort } from '#server/testing/harness.ts';
import { type OwnPostgres, startOwnPostgres } from '#server/testing/own-postgres.ts';
import { finishProgram } from '#server/testing/program.ts';
import { type Answer, call, type Deployment, deploy, type RegisteredClient } from './deployment.ts';
import {
  claimsOf,
  connect,
  halfway,
  redeem,
  refresh,
  signIn,
  type Tokens,
  tokensOf,
} from './login-app.ts';

// One deployment whose nodes come and go, on a PostgreSQL that is restored to an earlier moment.
let postgres: OwnPostgres;
let dataDir: string;
let env: Readonly<Record<string, string>>;
const started: Deployment[] = [];

beforeAll(async () => {
  postgres = await startOwnPostgres();
  dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-recovery-'));
  await chmod(dataDir, 0o755);
  const port = await testPort();
  env = {
    GATEHOUSE_DATA_DIR: dataDir,
    GATEHOUSE_PUBLIC_PORT: String(port),
    GATEHOUSE_ADMIN_PORT: String(await testPort()),
    GATEHOUSE_ISSUER: `http://127.0.0.1:${port}`,
    GATEHOUSE_MASTER_KEYS: join(dataDir, 'keys'),
    GATEHOUSE_PAIRWISE_SALT: 'the-salt-of-this-deployment',
    GATEHOUSE_ADMIN_TOKEN: randomBytes(24).toString('base64url'),
  };
  // Made by the first start where nobody names a file; here it is named, so make it the same way.
  const first = await deploy({
    database: postgres.database,
    env: { ...env, GATEHOUSE_MASTER_KEYS: '' },
  });
  await first.close();
  env = { ...env, GATEHOUSE_MASTER_KEYS: join(dataDir, 'master-key') };
});

afterAll(async () => {
  for (const node of started) await node.close();
  await postgres?.close();
  await rm(dataDir, { recursive: true, force: true });
});

async function start(over: Readonly<Record<string, string>> = {}): Promise<Deployment> {
  const node = await deploy({ database: postgres.database, env: { ...env, ...over } });
  started.push(node);
  return node;
}

const as = (subject: string) => ({ login: { subject } });
const someone = () => `user-${randomUUID()}`;
const errorOf = (answer: Answer) => `${answer.status} ${answer.body.error ?? ''}`;
const sessions = '/admin/oauth2/auth/sessions';

/** A login that was ended after the backup, and how. */
interface Ended {
  readonly how: string;
  readonly client: RegisteredClient;
  readonly tokens: Tokens;
}

function idsOf(tokens: Tokens): Record<'chain' | 'grant' | 'session', string> {
  const ids = new Map(Object.entries(Object(claimsOf(tokens.access).gh)));
  const of = (name: string) => String(ids.get(name));
  return { chain: of('chain'), grant: of('grant'), session: of('session') };
}

/** Connects one login for each way of ending it; `end` ends them. */
async function prepareEndings(node: Deployment) {
  const opaque = await node.register();
  const jwt = await node.register({ access_token_strategy: 'jwt' });
  const doomedApp = await node.register();
  const revoke = (body: Readonly<Record<string, string>>) =>
    node.admin('POST', '/admin/revocations', body);
  const ways: readonly {
    how: string;
    client: RegisteredClient;
    end: (tokens: Tokens, subject: string) => Promise<Answer>;
  }[] = [
    {
      how: 'an access token revoked',
      client: opaque,
      end: (tokens) => node.postAs(opaque, '/oauth2/revoke', { token: tokens.access }),
    },
    {
      how: 'a JWT revoked',
      client: jwt,
      end: (tokens) => node.postAs(jwt, '/oauth2/revoke', { token: tokens.access }),
    },
    {
      how: 'a refresh token revoked',
      client: opaque,
      end: (tokens) => node.postAs(opaque, '/oauth2/revoke', { token: tokens.refresh }),
    },
    { how: 'a chain', client: jwt, end: (tokens) => revoke({ chain: idsOf(tokens).chain }) },
    { how: 'a grant', client: jwt, end: (tokens) => revoke({ grant: idsOf(tokens).grant }) },
    { how: 'a session', client: jwt, end: (tokens) => revoke({ session: idsOf(tokens).session }) },
    { how: 'a subject', client: opaque, end: (_, subject) => revoke({ subject }) },
    {
      how: 'a consent',
      client: opaque,
      end: (_, subject) => node.admin('DELETE', `${sessions}/consent?subject=${subject}&all=true`),
    },
    {
      how: 'a client deleted',
      client: doomedApp,
      end: () => node.admin('DELETE', `/admin/clients/${doomedApp.id}`),
    },
  ];
  const living = await Promise.all(
    ways.map(async (way) => {
      const subject = someone();
      return { ...way, subject, tokens: await connect(node, way.client, as(subject)) };
    }),
  );
  return {
    opaque,
    async end(): Promise<readonly Ended[]> {
      for (const { how, end, tokens, subject } of living) {
        expect([200, 204], how).toContain((await end(tokens, subject)).status);
      }
      return living;
    },
  };
}

/** What of these the node accepts. */
async function accepted(node: Deployment, ended: readonly Ended[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { how, client, tokens } of ended) {
    if ((await node.introspect(tokens.access)).active !== false)
      found.push(`${how}: introspection`);
    if ((await node.userinfo(tokens.access)).status === 200) found.push(`${how}: userinfo`);
    // An access token dies alone: there the refresh token lived on, until the recovery.
    const answer = await refresh(node, client, tokens.refresh);
    if (answer.status === 200 && !/access token|JWT/.test(how)) found.push(`${how}: refresh`);
  }
  return found;
}

const program = (args: readonly string[], over: Readonly<Record<string, string>> = {}) =>
  finishProgram(args, {
    ...env,
    GATEHOUSE_DATABASE_URL: postgres.database.urls.server,
    GATEHOUSE_DATABASE_OWNER_URL: postgres.database.urls.owner,
    GATEHOUSE_SAMPLE_PORT: 'off',
    ...over,
  });

async function metric(node: Deployment, event: string): Promise<number> {
  const { text } = await node.admin('GET', '/metrics');
  const match = new RegExp(`event="${event}"[^}]*} (\\d+)`).exec(text);
  return Number(match?.[1] ?? Number.NaN);
}

test('security 26: after a restore to an earlier moment and `recover`, what was dead is dead', async () => {
  const first = await start();
  const endings = await prepareEndings(first);
  const app = endings.opaque;
  const withdrawn = someone();
  const remembered = { login: { subject: withdrawn }, consent: { remember: true } };
  await connect(first, app, remembered);
  const ahead = { tokens: await connect(first, app, as(someone())), times: 0 };
  const code = await signIn(first, app, as(someone()));
  const held = await halfway(first, app, 'login', { subject: someone() });
  const made = await first.admin('POST', '/admin/credentials', { name: 'leaked', role: 'clients' });
  expect(made.status).toBe(201);

  await postgres.backUp();

  // Life goes on: things are revoked, a token is refreshed, somebody comes.
  const ended = await endings.end();
  await first.admin('DELETE', `${sessions}/consent?subject=${withdrawn}&all=true`);
  await first.admin('DELETE', `/admin/credentials/${made.body.id}`);
  const state = { refresh: ahead.tokens.refresh };
  for (let times = 0; times < 3; times += 1) {
    state.refresh = tokensOf(await refresh(first, app, state.refresh)).refresh;
  }
  const newcomer = await connect(first, app, as(someone()));
  expect(await accepted(first, ended)).toEqual([]);

  // A node that runs on notices by what it has seen, and answers nothing more.
  await postgres.restore();
  await postgres.start();
  // Until it has a connection again it only says that it is not ready.
  const readiness = async () => {
    const { status, text } = await call(`${first.server.publicUrl}/health/ready`);
    expect(status).toBe(503);
    return text;
  };
  await expect.poll(readiness).toContain('gatehouse recover');
  const asked = await call(`${first.server.adminUrl}/admin/oauth2/introspect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${first.server.adminToken}` },
    body: new URLSearchParams({ token: newcomer.access }),
  });
  expect(asked.status).toBe(503);
  await first.close();

  // So does one that starts on a machine that has seen more.
  const refused = await program(['serve']);
  expect(refused.code).toBe(1);
  expect(refused.stdout + refused.stderr).toContain('gatehouse recover');

  // Control: a machine that has seen nothing serves, and what was dead lives.
  const forgetful = await mkdtemp(join(tmpdir(), 'gatehouse-forgetful-'));
  const blind = await start({ GATEHOUSE_DATA_DIR: forgetful });
  expect((await accepted(blind, ended)).length).toBeGreaterThan(10);
  // A refresh token ahead of its row is not reuse: counted, told, and the row moves forward.
  const moved = tokensOf(await refresh(blind, app, state.refresh));
  expect(await metric(blind, 'generation_ahead')).toBe(1);
  await expect.poll(() => blind.server.output()).toContain('generation_ahead');
  expect(errorOf(await refresh(blind, app, moved.refresh))).toBe('200 ');
  expect(await metric(blind, 'generation_ahead')).toBe(1);
  await blind.close();
  await rm(forgetful, { recursive: true, force: true });

  // Killed after its last step: all is done, though nobody was told.
  await postgres.restore();
  await postgres.start();
  const untold = await program(['recover', '--yes'], {
    GATEHOUSE_INSECURE_FAILPOINTS: 'recover.ended=kill',
  });
  expect([untold.code, untold.stdout]).toEqual([null, expect.not.stringContaining('Recovered.')]);
  const told = await program(['recover', '--yes']);
  expect([told.code, told.stdout]).toEqual([0, expect.stringContaining('Recovered.')]);
  const early = await start();
  expect(await accepted(early, ended)).toEqual([]);
  await early.close();

  // Restored again; the recovery is killed after each of its steps before, and goes on.
  await postgres.restore();
  await postgres.start();
  const dry = await program(['recover']);
  expect([dry.code, dry.stdout]).toEqual([1, expect.stringContaining('Nothing was changed')]);
  expect(dry.stdout).toContain('leaked (clients)');
  for (const step of ['recover.begun', 'recover.keys', 'recover.slice']) {
    const killed = await program(['recover', '--yes'], {
      GATEHOUSE_INSECURE_FAILPOINTS: `${step}=kill`,
    });
    expect(killed.code, step).toBeNull();
    expect((await program(['serve'])).stderr, step).toContain('has not ended');
  }
  const done = await program(['recover', '--yes']);
  expect([done.code, done.stdout]).toEqual([0, expect.stringContaining('Recovered.')]);

  const node = await start();
  // One that was ended is shown by its end.
  const action = 'database.recover';
  const { list: entries } = await node.admin('GET', `/admin/audit?action=${action}`);
  expect(entries.map(({ outcome }) => outcome)).toEqual(['done', 'begun', 'begun', 'begun']);
  expect(entries[0]).toMatchObject({ detail: { counter_only: false, credentials: 1 } });
  expect(await accepted(node, ended)).toEqual([]);
  for (const { client, tokens } of [
    ...ended,
    { client: app, tokens: newcomer },
    { client: app, tokens: ahead.tokens },
    { client: app, tokens: { ...ahead.tokens, refresh: state.refresh } },
  ]) {
    expect(await node.introspect(tokens.access)).toEqual({ active: false });
    expect(await node.introspect(tokens.refresh)).toEqual({ active: false });
    expect((await node.userinfo(tokens.access)).status).toBe(401);
    const answer = errorOf(await refresh(node, client, tokens.refresh));
    expect(answer).toBe('400 invalid_grant');
  }
  expect(errorOf(await redeem(node, app, code))).toBe('400 invalid_grant');
  expect((await held.go()).headers.get('location')).toBeNull();
  const headers = { authorization: `Bearer ${made.body.secret}` };
  const leaked = await call(`${node.server.adminUrl}/admin/clients`, { headers });
  expect(leaked.status).toBe(401);

  // Everything new works, and consent that was given before is asked for again.
  const anew = await connect(node, app, remembered);
  expect(anew.loginRequest).toMatchObject({ skip: false });
  expect(anew.consentRequest).toMatchObject({ skip: false });
  expect(await node.introspect(anew.access)).toMatchObject({ active: true });
  const next = tokensOf(await refresh(node, app, anew.refresh));
  expect((await node.userinfo(next.access)).status).toBe(200);
  await node.admin('POST', '/admin/revocations', { subject: withdrawn });
  expect(await node.introspect(next.access)).toEqual({ active: false });
  expect(errorOf(await refresh(node, app, next.refresh))).toBe('400 invalid_grant');
  const own = await node.postAs(app, '/oauth2/token', { grant_type: 'client_credentials' });
  expect(own.status).toBe(200);
}, 240_000);
