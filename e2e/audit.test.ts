import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { finishProgram } from '#server/testing/program.ts';
import {
  basic,
  call,
  type Deployment,
  deploy,
  type Json,
  openBrowser,
  type RegisteredClient,
} from './deployment.ts';
import {
  connect,
  halfway,
  newPkce,
  redeem,
  refresh,
  signIn,
  tokensOf,
  travel,
} from './login-app.ts';

let deployment: Deployment;
let client: RegisteredClient;

beforeAll(async () => {
  deployment = await deploy({
    env: { GATEHOUSE_RATE_LIMITS: 'on', GATEHOUSE_REFRESH_GRACE_SECONDS: '0' },
  });
  client = await deployment.register();
});
afterAll(() => deployment?.close());

const listed = async (query: string): Promise<readonly Json[]> => {
  const answer = await deployment.admin('GET', `/admin/audit?page_size=1000&${query}`);
  expect(answer.status, answer.text).toBe(200);
  return answer.list;
};
const field = (entry: Json | undefined, name: string): Json => ({ ...Object(entry?.[name]) });

/** The newest entry of an action. */
async function newest(action: string): Promise<Json> {
  // What is only counted is written beside the answer, not before it.
  for (let tries = 0; tries < 100; tries += 1) {
    const [entry] = await listed(`action=${action}`);
    if (entry !== undefined) return entry;
    await sleep(20);
  }
  throw new Error(`there is no entry ${action}`);
}

const privateJwk = () => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  alg: 'ES256',
  use: 'sig',
});

describe('changes of administrators', () => {
  test('a client, from its registration to its end', async () => {
    const { admin } = deployment;
    const { id } = await deployment.register({ client_name: 'Audited' });
    const path = `/admin/clients/${id}`;
    await admin('PATCH', path, [{ op: 'replace', path: '/client_name', value: 'Other' }]);
    await admin('PUT', `${path}/lifespans`, {
      client_credentials_grant_access_token_lifespan: '5m',
    });
    await admin('PUT', path, { client_name: 'Third', redirect_uris: ['https://a.example/cb'] });
    await admin('POST', `${path}/secrets/rotate`);
    await admin('DELETE', `${path}/secrets/rotate`);
    await admin('DELETE', `/admin/oauth2/tokens?client_id=${id}`);
    const last = await admin('DELETE', path);
    const entries = await listed(`target=${id}`);
    expect(entries.map(({ action }) => action)).toEqual([
      'client.delete',
      'client.revoke_tokens',
      'client.end_old_secrets',
      'client.rotate_secret',
      'client.replace',
      'client.set_lifespans',
      'client.patch',
      'client.create',
    ]);
    for (const entry of entries) {
      expect(entry).toMatchObject({ outcome: 'done', address: '127.0.0.1', count: 1 });
      expect(field(entry, 'actor')).toEqual({ kind: 'admin_token', id: '' });
      expect(field(entry, 'target')).toEqual({ kind: 'client', id });
    }
    const byRequest = await listed(`request_id=${last.headers.get('x-request-id')}`);
    expect(byRequest).toEqual([entries[0]]);
  });

  test('keys and sets of keys', async () => {
    const { admin } = deployment;
    const made = await admin('POST', '/admin/keys/audited', {
      alg: 'ES256',
      use: 'sig',
      kid: 'k1',
    });
    expect(made.status).toBe(201);
    await admin('PUT', '/admin/keys/audited/as-it-is-not-called', { ...privateJwk(), kid: 'k2' });
    expect(await newest('key.import')).toMatchObject({ detail: { kids: ['k2'] } });
    await admin('PUT', '/admin/keys/audited', { keys: [{ ...privateJwk(), kid: 'k3' }] });
    await admin('DELETE', '/admin/keys/audited/k3');
    await admin('DELETE', '/admin/keys/audited');
    await admin('POST', '/admin/keys/hydra.jwt.access-token/rotate');
    expect(await newest('key_set.rotate')).toMatchObject({ outcome: 'done' });
    const actions = ['key.create', 'key.import', 'key_set.import', 'key.delete', 'key_set.delete'];
    for (const action of actions) {
      const entry = await newest(action);
      expect(entry, action).toMatchObject({ outcome: 'done' });
      expect(field(entry, 'target').id, action).toMatch(/^audited/);
    }
  });

  test('credentials; and what one does is under its name', async () => {
    const { admin } = deployment;
    const made = await admin('POST', '/admin/credentials', { name: 'deploy job', role: 'clients' });
    const headers = { authorization: `Bearer ${made.body.secret}` };
    const gone = `${deployment.server.adminUrl}/admin/clients/nobody`;
    expect((await call(gone, { method: 'DELETE', headers })).status).toBe(404);
    const entry = await newest('client.delete');
    expect(entry).toMatchObject({ outcome: 'refused', detail: { status: 404 } });
    expect(field(entry, 'actor')).toEqual({
      kind: 'credential',
      id: made.body.id,
      name: 'deploy job',
    });
    await admin('DELETE', `/admin/credentials/${made.body.id}`);
    expect(field(await newest('credential.create'), 'target').id).toBe(made.body.id);
    expect(field(await newest('credential.delete'), 'target').id).toBe(made.body.id);
  });

  test('revocations by every door', async () => {
    const { admin } = deployment;
    const tokens = await connect(deployment, client);
    await admin('POST', '/admin/revocations', { token: tokens.access, reason: 'lost phone' });
    const entry = await newest('revocation.create');
    expect(entry).toMatchObject({ outcome: 'done', reason: 'lost phone' });
    expect(field(entry, 'target').kind).toBe('token');
    const grants = await admin('GET', '/admin/oauth2/auth/sessions/consent?subject=alice');
    const grant = String(grants.list[0]?.grant_id);
    await admin('POST', `/admin/grants/${grant}/narrow`, { scope: 'openid' });
    expect(field(await newest('grant.narrow'), 'target').id).toBe(grant);
    await admin('DELETE', '/admin/oauth2/auth/sessions/consent?subject=alice&all=true');
    await admin('DELETE', '/admin/oauth2/auth/sessions/login?subject=alice');
    for (const action of ['consent.revoke', 'session.end']) {
      expect(field(await newest(action), 'target').id, action).toBe('alice');
    }
    const one = `client=${client.id}&all=true`;
    await admin('DELETE', `/admin/oauth2/auth/sessions/consent?subject=alice&${one}`);
    expect((await newest('consent.revoke')).reason).toBe(`client ${client.id}`);
    const again = await connect(deployment, client);
    await deployment.postAs(client, '/oauth2/revoke', { token: again.refresh });
    const byApp = await newest('token.revoke');
    expect(field(byApp, 'actor')).toEqual({ kind: 'client', id: client.id });
    expect(field(byApp, 'target').kind).toBe('chain');
    // What is dead is not revoked again.
    await deployment.postAs(client, '/oauth2/revoke', { token: again.refresh });
    expect((await newest('token.revoke')).id).toBe(byApp.id);
    // A consent that is named by its request is found by that.
    await connect(deployment, client);
    const given = await admin('GET', '/admin/oauth2/auth/sessions/consent?subject=alice');
    const id = String(given.list[0]?.consent_request_id);
    await admin('DELETE', `/admin/oauth2/auth/sessions/consent?consent_request_id=${id}`);
    const named = await newest(`consent.revoke&target=${id}`);
    expect(field(named, 'target')).toEqual({ kind: 'consent request', id });
  });

  test('a sign-out by way of an app', async () => {
    const tokens = await connect(deployment, client, { login: { subject: 'bob', remember: true } });
    const browser = openBrowser(tokens.browser.cookies);
    const url = `${deployment.server.publicUrl}/oauth2/sessions/logout?id_token_hint=${tokens.id}`;
    await travel(deployment, browser, await browser.get(url));
    expect(field(await newest('session.sign_out'), 'actor')).toEqual({
      kind: 'subject',
      id: 'bob',
    });
  });

  const run = (line: string) => {
    const { server } = deployment;
    const env = {
      GATEHOUSE_PUBLIC_PORT: new URL(server.publicUrl).port,
      GATEHOUSE_ADMIN_PORT: new URL(server.adminUrl).port,
      GATEHOUSE_ADMIN_TOKEN: server.adminToken,
      GATEHOUSE_DATA_DIR: server.dataDir,
      GATEHOUSE_DATABASE_URL: server.database.urls.server,
    };
    return finishProgram(line.split(' '), env, 'a secret 1\n');
  };

  test('users, by the operator at the command line', async () => {
    await run('user create audited@example.com --password-stdin');
    await run('user set-password audited@example.com --password-stdin');
    await run('user disable audited@example.com');
    await run('user enable audited@example.com');
    await run('user create audited@example.com --password-stdin');
    const entries = await listed('action=user.*');
    expect(entries.map(({ action, outcome }) => `${action} ${outcome}`)).toEqual([
      'user.create refused',
      'user.enable done',
      'user.disable done',
      'user.set_password done',
      'user.create done',
    ]);
    expect(field(entries[0], 'actor').kind).toBe('operator');
    expect(new Set(entries.slice(1).map((entry) => field(entry, 'target').id)).size).toBe(1);
  });

  test('a change of a user that fails: the entry says so, and the operator is told why', async () => {
    const { urls } = deployment.server.database;
    const role = decodeURIComponent(new URL(urls.server).username);
    const owner = new pg.Client({ connectionString: urls.owner });
    await owner.connect();
    await run('user create failing@example.com --password-stdin');
    await owner.query(`revoke update on identity_user from ${role}`);
    const { code, stderr } = await run('user disable failing@example.com');
    await owner.query(`grant update on identity_user to ${role}`);
    await owner.end();
    expect(stderr).toContain(`The role "${role}" at `);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
    const entry = await newest('user.disable');
    expect(entry).toMatchObject({ outcome: 'failed', detail: { login: 'failing@example.com' } });
  });
});

describe('events of security', () => {
  test('a code that is redeemed twice', async () => {
    const signedIn = await signIn(deployment, client);
    tokensOf(await redeem(deployment, client, signedIn));
    expect((await redeem(deployment, client, signedIn)).status).toBe(400);
    expect(await newest('code.replay')).toMatchObject({ reason: 'code_replayed' });
  });

  test('a code and a refresh token in the hands of another app, and a code with a wrong verifier', async () => {
    const thief = await deployment.register();
    const signedIn = await signIn(deployment, client);
    expect((await redeem(deployment, thief, signedIn)).status).toBe(400);
    const stolen = await newest('code.stray');
    expect(stolen).toMatchObject({ outcome: 'refused', reason: 'code_invalid' });
    expect(field(stolen, 'actor')).toEqual({ kind: 'client', id: thief.id });
    const guess = { code_verifier: newPkce().verifier };
    expect((await redeem(deployment, client, signedIn, guess)).status).toBe(400);
    await expect.poll(() => newest('code.stray')).toMatchObject({ reason: 'code_verifier' });

    const tokens = tokensOf(await redeem(deployment, client, signedIn));
    expect((await refresh(deployment, thief, tokens.refresh)).status).toBe(400);
    const stray = await newest('refresh.stray');
    expect(field(stray, 'actor')).toEqual({ kind: 'client', id: thief.id });
    expect(field(stray, 'target')).toEqual(field(stolen, 'target'));
    tokensOf(await refresh(deployment, client, tokens.refresh));
  });

  test('a spent refresh token, a forged one, and one that is newer than its row', async () => {
    const tokens = await connect(deployment, client);
    const second = tokensOf(await refresh(deployment, client, tokens.refresh));
    expect((await refresh(deployment, client, tokens.refresh)).status).toBe(400);
    expect(field(await newest('refresh.reuse'), 'actor').id).toBe(client.id);

    const forged = second.refresh.slice(0, -2) + (second.refresh.endsWith('AA') ? 'BB' : 'AA');
    expect((await refresh(deployment, client, forged)).status).toBe(400);
    expect(field(await newest('token.forged'), 'target').id).toBe(client.id);

    const { refresh: first } = await connect(deployment, client);
    const next = tokensOf(await refresh(deployment, client, first));
    const rows = new pg.Client({ connectionString: deployment.server.database.urls.owner });
    await rows.connect();
    await rows.query('update chain set generation = 0, rotated_at = null where revoked_at is null');
    await rows.end();
    tokensOf(await refresh(deployment, client, next.refresh));
    expect(field(await newest('refresh.ahead'), 'target').kind).toBe('chain');
  });

  test('guesses at a client, and when they are slowed down', async () => {
    const guess = () =>
      deployment.post(
        '/oauth2/token',
        { grant_type: 'client_credentials' },
        basic({ id: 'guessed', secret: 'wrong' }),
      );
    const statuses = new Set<number>();
    for (let n = 0; n < 110; n += 1) statuses.add((await guess()).status);
    expect([...statuses]).toEqual([401, 429]);
    for (const action of ['client.guess', 'client.guess_slowed']) {
      const entry = await newest(action);
      // A new minute may have begun in between.
      expect((await listed(`action=${action}`)).length, action).toBeLessThanOrEqual(3);
      expect(field(entry, 'target')).toEqual({ kind: 'client', id: 'guessed' });
      expect(field(entry, 'actor').kind).toBe('anonymous');
    }
  });

  test('a browser with a sign-in that another began, and requests that come too often', async () => {
    const begun = await halfway(deployment, client, 'login', { subject: 'mallory' });
    expect((await call(begun.next)).status).toBe(403);
    expect(field(await newest('flow.stray'), 'target')).toEqual({ kind: 'client', id: client.id });

    const url = `${deployment.server.publicUrl}/oauth2/auth?client_id=x&state=${'s'.repeat(700)}`;
    const answers = await Promise.all(Array.from({ length: 90 }, () => call(url)));
    expect(new Set(answers.map(({ status }) => status))).toContain(429);
    expect(field(await newest('request.slowed'), 'target')).toEqual({
      kind: 'endpoint',
      id: 'authorize',
    });
  });

  test('an admin door that is refused a thousand times has a few entries', async () => {
    const url = `${deployment.server.adminUrl}/admin/clients`;
    const headers = { authorization: 'Bearer wrong-wrong-wrong' };
    for (let n = 0; n < 40; n += 1) {
      await Promise.all(Array.from({ length: 25 }, () => call(url, { headers })));
    }
    const entry = await newest('admin.deny');
    expect(entry).toMatchObject({ reason: 'admin_unauthorized', outcome: 'refused' });
    expect((await listed('action=admin.deny')).length).toBeLessThanOrEqual(3);
  });

  test('unsafe settings and a key that is due, at a start; counts, at a stop', async () => {
    const { database } = deployment.server;
    const rows = new pg.Client({ connectionString: database.urls.owner });
    await rows.connect();
    await rows.query(
      "update key set active_at = active_at - interval '91 days' where alg = 'PS256'",
    );
    await rows.end();
    const second = await deploy({
      database,
      env: {
        GATEHOUSE_RATE_LIMITS: 'off',
        GATEHOUSE_MASTER_KEYS: `${deployment.server.dataDir}/master-key`,
        GATEHOUSE_PAIRWISE_SALT: readFileSync(
          `${deployment.server.dataDir}/pairwise-salt`,
          'utf8',
        ).trim(),
      },
    });
    for (let n = 0; n < 5; n += 1) await call(`${second.server.adminUrl}/admin/keys/x`);
    await second.close();
    const entry = await newest('setting.insecure');
    expect(String(entry.reason)).toContain('GATEHOUSE_RATE_LIMITS is off');
    const rotated = await newest('key.rotate');
    expect(field(rotated, 'actor').kind).toBe('system');
    expect(field(rotated, 'target').id).toMatch(/^hydra.openid.id-token /);
    // The first node may count its own just now, which were at another door.
    const denied = (await listed('action=admin.deny')).filter((entry) =>
      String(field(entry, 'target').id).startsWith('/admin/keys'),
    );
    expect(denied.map(({ count }) => count)).toEqual([4, 1]);
  });
});

describe('the door', () => {
  const placeAt = (at: string) =>
    Buffer.from(`${at} 01890000-0000-7000-8000-000000000000`).toString('base64url');
  test.each([
    ['page_size=0x', 'page_size'],
    ['page_token=%21', 'page_token'],
    ['page_token=eHg', 'page_token'],
    ['from=yesterday', 'from'],
    ['from=2026-02-30T00:00:00Z', 'from'],
    ['from=0000-01-01T00:00:00Z', 'from'],
    ['from=2026-01-01T24:30:00Z', 'from'],
    ['to=2026-01-01T00:00:00%2B23:59', 'to'],
    ['to=2026-01-01T00:00:00-16:00', 'to'],
    [`page_token=${placeAt('2026-02-30T00:00:00Z')}`, 'page_token'],
    [`page_token=${placeAt('0000-01-01T00:00:00Z')}`, 'page_token'],
    ['to=2026-13-45T00:00:00Z', 'to'],
    ['action=client.destroy', 'action'],
    ['action=x.*', 'action'],
    ['request_id=1', 'request_id'],
    ['actor=%00', 'actor'],
    [`target=${'x'.repeat(256)}`, 'target'],
  ])('%s is refused with a sentence', async (query, sentence) => {
    const answer = await deployment.admin('GET', `/admin/audit?${query}`);
    expect(answer.status).toBe(400);
    expect(String(answer.body.error_description)).toContain(sentence);
  });

  test('the role audit opens it and nothing else; the role clients does not', async () => {
    const secretOf = async (role: string) => {
      const made = await deployment.admin('POST', '/admin/credentials', {
        name: `of ${role}`,
        role,
      });
      return String(made.body.secret);
    };
    const status = async (secret: string, path: string) =>
      (
        await call(deployment.server.adminUrl + path, {
          headers: { authorization: `Bearer ${secret}` },
        })
      ).status;
    const auditor = await secretOf('audit');
    expect(await status(auditor, '/admin/audit')).toBe(200);
    for (const path of ['/admin/clients', '/admin/keys/x', '/admin/credentials', '/metrics']) {
      expect(await status(auditor, path), path).toBe(403);
    }
    expect(await status(await secretOf('clients'), '/admin/audit')).toBe(403);
    // Whose credential tried the doors of others is known.
    for (const name of ['of clients', 'of audit']) {
      const entry = await newest(`admin.deny&actor=${encodeURIComponent(name)}`);
      expect(field(entry, 'actor')).toMatchObject({ kind: 'credential', name });
    }
  });

  test('pages follow one another by Link, without repeating an entry', async () => {
    const ids: unknown[] = [];
    for (let next: string | undefined = '/admin/audit?page_size=5'; next !== undefined; ) {
      const answer = await deployment.admin('GET', next);
      ids.push(...answer.list.map(({ id }) => id));
      next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    expect(ids.length).toBeGreaterThan(20);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('changes made side by side each have their entry, and no secret is in any', async () => {
    const made = await Promise.all(Array.from({ length: 60 }, () => deployment.register()));
    const secrets = made.map(({ secret }) => secret);
    const entries = await listed('action=client.create');
    const targets = new Set(entries.map((entry) => field(entry, 'target').id));
    expect(made.filter(({ id }) => !targets.has(id))).toEqual([]);
    const everything = JSON.stringify(await listed(''));
    expect(secrets.filter((secret) => everything.includes(secret))).toEqual([]);
    expect(everything).not.toMatch(/gh_[a-z]{2}_|eyJ|wrong-wrong|a secret 1/);
  });
});

/** Actions whose test stands elsewhere, because it needs more than a running server. */
const elsewhere: Readonly<Record<string, string>> = {
  'password.guess': 'server/identity/login.test.ts',
  'user.sign_up': 'server/identity/login.test.ts',
  'password.guess_slowed': 'server/identity/login.test.ts',
  'user.sign_up_slowed': 'server/identity/login.test.ts',
  'key.expire': 'e2e/key-rotation.test.ts',
  'pairwise_salt.forget': 'e2e/pairwise-salt.test.ts',
  'database.recover': 'e2e/recovery.test.ts',
  'schema.up': 'e2e/commands.test.ts',
  'schema.down': 'e2e/commands.test.ts',
};

test('every action of the list was provoked', async () => {
  const page = readFileSync(new URL('../docs/audit.md', import.meta.url), 'utf8');
  const actions = [...page.matchAll(/^\| `([a-z_]+\.[a-z_]+)` \|/gm)].map(([, name]) =>
    String(name),
  );
  expect(actions.length).toBeGreaterThan(30);
  const seen = new Set((await listed('')).map(({ action }) => action));
  const missing = actions.filter((action) => {
    const file = elsewhere[action];
    if (file === undefined) return !seen.has(action);
    return !readFileSync(new URL(`../${file}`, import.meta.url), 'utf8').includes(`'${action}'`);
  });
  expect(missing).toEqual([]);
});
