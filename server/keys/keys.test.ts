import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAudit } from '#server/audit/audit.ts';
import { openKeys } from '#server/keys/keys.ts';
import { idTokenSet, scheduleOf, slotsOf } from '#server/keys/slots.ts';
import type { Keys } from '#server/node.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { withClient } from '#server/postgres/cluster.ts';
import { type Database, openDatabase } from '#server/store/database.ts';
import { deleteSpentKeys } from '#server/store/key.ts';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { signJws, verifyJws } from '#tokens/jws.ts';

const settings = {
  issuer: 'https://issuer.example',
  keyRotationDays: 90,
  flowSeconds: 1800,
  codeSeconds: 600,
  accessTokenSeconds: 3600,
  idTokenSeconds: 3600,
  refreshTokenSeconds: 2_592_000,
};
const schedule = scheduleOf(settings);
const slots = slotsOf(settings, schedule);

let testDatabase: TestDatabase;
let dataDir: string;
let database: Database;
const opened: Keys[] = [];
const lines: string[] = [];

async function open(change: { masterKeys?: string; dataDir?: string } = {}): Promise<Keys> {
  const log = createLog({ level: 'debug', write: (line) => void lines.push(line) });
  const metrics = createMetrics();
  const keys = await openKeys({
    database,
    config: { ...settings, dataDir, ...change },
    audit: createAudit(database, log, metrics),
    log,
    metrics,
  });
  opened.push(keys);
  return keys;
}

function connect(of: TestDatabase): Database {
  return openDatabase({
    url: of.urls.server,
    applicationName: 'gatehouse-pool',
    connectionsMax: 4,
    connectMsMax: 2000,
    statementMsMax: 10_000,
  });
}

async function sql<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
  const { rows } = await withClient(testDatabase.urls.owner, (client) =>
    client.query(text, values),
  );
  return rows;
}

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = connect(testDatabase);
  dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-keys-'));
});

afterAll(async () => {
  for (const keys of opened) keys.close();
  await database.close();
  await testDatabase.close();
  await rm(dataDir, { recursive: true, force: true });
});

/** A whole process that opens the keys and prints what it has. */
const script = `
import { createAudit } from '#server/audit/audit.ts';
import { openKeys } from '#server/keys/keys.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { openDatabase } from '#server/store/database.ts';
const [url, config] = process.argv.slice(1);
const database = openDatabase({
  url, applicationName: 'gatehouse-pool', connectionsMax: 2, connectMsMax: 5000,
  statementMsMax: 10_000,
});
const log = createLog({ level: 'silent' });
const metrics = createMetrics();
const keys = await openKeys({
  database, log, metrics, audit: createAudit(database, log, metrics), config: JSON.parse(config),
});
const ring = keys.current();
console.log(JSON.stringify({
  jwks: ring.jwks, mac: ring.refreshMacKid, pepper: ring.pepperKid,
  sealed: ring.seal('code', Buffer.from('sealed in a process')),
}));
keys.close();
await database.close();
`;

test('processes that start at once on an empty database make one set of keys', async () => {
  const config = JSON.stringify({ ...settings, dataDir });
  const start = () =>
    promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', script, testDatabase.urls.server, config],
      { cwd: fileURLToPath(new URL('../..', import.meta.url)) },
    );
  const runs = await Promise.all([start(), start(), start()]);
  const outputs = runs.map((run) => JSON.parse(run.stdout) as Record<string, string>);
  for (const name of ['jwks', 'mac', 'pepper']) {
    expect(new Set(outputs.map((output) => output[name])).size).toBe(1);
  }
  const keys = await open();
  for (const { sealed = '' } of outputs) {
    expect(keys.current().open('code', sealed)?.toString()).toBe('sealed in a process');
  }
  expect(await sql('select id from key')).toHaveLength(slots.length);
  const path = join(dataDir, 'master-key');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await readFile(path, 'utf8')).trim().split('\n')).toHaveLength(1);
});

test('security 53: table key holds no secret in clear, and no log line does', async () => {
  const keys = await open();
  const { d = '' } =
    keys.current().signingKey('id_token', 'RS256')?.privateKey.export({ format: 'jwk' }) ?? {};
  expect(d).not.toBe('');
  const master = (await readFile(join(dataDir, 'master-key'), 'utf8')).trim();
  const rows = await sql<{ wrapped: Buffer; public_jwk: object | null }>(
    'select wrapped, public_jwk from key',
  );
  for (const { wrapped, public_jwk } of rows) {
    expect(wrapped.includes(Buffer.from(master, 'base64'))).toBe(false);
    expect(wrapped.includes(Buffer.from('PRIVATE'))).toBe(false);
    expect(wrapped.includes(Buffer.from(d, 'base64url'))).toBe(false);
    expect(Object.keys(public_jwk ?? {})).not.toContain('d');
  }
  expect(lines.join('')).not.toContain(master);
});

describe('rotation', () => {
  test('a key is published ahead, then used, and the earlier one still opens and verifies', async () => {
    const node = await open();
    const other = await open();
    const before = node.current();
    const sealed = before.seal('code', Buffer.from('before'));
    const signing = before.signingKey('id_token', 'RS256');
    if (signing === undefined) throw new Error('no key');
    const hint = await signJws(signing, { typ: 'JWT' }, { sub: 'ana' });
    const [seq] = await sql<{ seq: string }>('select coalesce(max(seq), 0) as seq from fact');
    await sql(`update key set active_at = now() - interval '89 days 23 hours 58 minutes'`);

    // two nodes look at the schedule at the same time
    const rotated = await Promise.all([open(), open()]);
    const counts = await sql<{ keys: number; future: number }>(
      `select count(*)::int as keys, count(*) filter (where active_at > now())::int as future
       from key group by set_name, alg`,
    );
    expect(counts).toEqual(slots.map(() => ({ keys: 2, future: 1 })));
    const facts = await sql<{ target: string }>(
      `select target from fact where kind = 'keys_changed' and seq > $1`,
      [seq?.seq],
    );
    expect(new Set(facts.map((fact) => fact.target)).size).toBe(8);

    // published everywhere, used nowhere
    await other.reload();
    const jwks = JSON.parse(other.current().jwks) as { keys: unknown[] };
    expect(jwks.keys).toHaveLength(10);
    expect(other.current().jwks).toBe(rotated[0].current().jwks);
    expect(other.current().signingKey('id_token', 'RS256')?.kid).toBe(signing.kid);
    expect(other.current().refreshMacKid).toBe(before.refreshMacKid);

    // its time has come
    await sql(`update key set active_at = now() where active_at > now()`);
    await other.reload();
    const after = other.current();
    expect(after.signingKey('id_token', 'RS256')?.kid).not.toBe(signing.kid);
    expect(after.refreshMacKid).not.toBe(before.refreshMacKid);
    expect(after.open('code', sealed)?.toString()).toBe('before');
    expect(verifyJws(after.verificationKey, hint, { typ: 'JWT' })).toEqual({ sub: 'ana' });
    expect(after.refreshMac(before.refreshMacKid, Buffer.from('x'))).toEqual(
      before.refreshMac(before.refreshMacKid, Buffer.from('x')),
    );
    // a node that has not read them yet learns of them by what it cannot open
    expect(node.current().open('code', after.seal('code', Buffer.from('new')))).toBeUndefined();
    await node.settled();
    const again = after.seal('code', Buffer.from('new'));
    expect(node.current().open('code', again)?.toString()).toBe('new');
  });

  test.each([
    ['of a deployment', undefined],
    ['of a test', 12],
  ])('every node reads the table between publication and use: schedule %s', (_, short) => {
    const of = scheduleOf({ keyRotationDays: 1, insecureKeyRotationSeconds: short });
    expect(of.secretLeadSeconds).toBeGreaterThanOrEqual(2 * of.reloadSeconds);
    expect(of.signingLeadSeconds).toBeGreaterThanOrEqual(of.secretLeadSeconds);
    expect(of.rotationSeconds).toBeGreaterThanOrEqual(of.signingLeadSeconds);
  });

  test('unknown kids read the table once a second, however many there are', async () => {
    const keys = await open();
    const foreign = Buffer.alloc(60, 1);
    const queries = countQueries();
    const begun = performance.now();
    for (let n = 0; n < 1000; n += 1) {
      foreign.writeUInt32BE(n, 1);
      keys.current().open('code', foreign.toString('base64url'));
      keys.current().verificationKey(`nobody-${n}`);
    }
    await keys.settled();
    const seconds = Math.floor((performance.now() - begun) / 1000);
    const asked = queries.end();
    expect(asked).toBeGreaterThanOrEqual(1);
    expect(asked).toBeLessThanOrEqual(1 + seconds);
  });

  test('a retired key stays while something needs it, and the newest one always', async () => {
    await open();
    const kidsOf = async (setName: string) =>
      (
        await sql<{ kid: string }>('select kid from key where set_name = $1 order by active_at', [
          setName,
        ])
      ).map((row) => row.kid);
    const [oldMac = ''] = await kidsOf('gatehouse.refresh');
    const [oldPepper = ''] = await kidsOf('pepper');
    const everything = async () =>
      (await deleteSpentKeys(database, slots, schedule.marginSeconds)).length;
    expect(await everything()).toBe(0);
    await sql(
      `update key set active_at = active_at - interval '800 days',
         retired_at = retired_at - interval '800 days'`,
    );
    await sql(`insert into client (client_id, metadata) values ('app', '{}')`);
    await sql(
      `insert into client_secret (id, client_id, scheme, pepper_kid, hash)
       values (gen_random_uuid(), 'app', 'hmac', $1, sha256('x'))`,
      [oldPepper],
    );
    await sql(
      `insert into chain (id, client_id, subject, grant_id, session_id, online, refreshable,
         attempt, mac_kid, scope, audience, login_born, grant_born, authenticated_at,
         expires_at, keep_until)
       values (gen_random_uuid(), 'app', 'ana', gen_random_uuid(), gen_random_uuid(), false, true,
         gen_random_uuid(), $1, '{}', '{}', 0, 0, now(), now() + interval '1 day',
         now() + interval '1 day')`,
      [oldMac],
    );
    await sql(`update control set access_expiry_high_water = now() + interval '1 hour'`);
    // flow, code, session cookie and the four ID token keys are spent
    expect(await everything()).toBe(7);
    expect(await kidsOf('gatehouse.refresh')).toContain(oldMac);
    expect(await kidsOf('pepper')).toContain(oldPepper);
    expect(await kidsOf('gatehouse.access-token')).toHaveLength(2);

    await sql(`update control set access_expiry_high_water = 'epoch'`);
    await sql('delete from chain');
    await sql('delete from client');
    expect(await everything()).toBe(4);
    expect(await everything()).toBe(0);
    expect(await sql('select id from key')).toHaveLength(slots.length);
  });
});

test('a key made where another was deleted is another, on every node and at once', async () => {
  const reads = await open();
  await sql('delete from key');
  const [makes, idle] = [await open(), await open()];
  const before = JSON.parse(makes.current().jwks) as { keys: Record<string, unknown>[] };
  await sql('delete from key where set_name = $1', [idTokenSet]);
  await makes.reload();
  for (const keys of [makes, idle, reads]) {
    await keys.reload();
    const { keys: published } = JSON.parse(keys.current().jwks) as typeof before;
    const rows = await sql<{ kid: string; public_jwk: object }>(
      `select kid, public_jwk from key where use = 'sig'`,
    );
    const shown = published.map(({ kid, ...jwk }) => [kid, { kid, ...jwk }]);
    expect(Object.fromEntries(shown)).toEqual(
      Object.fromEntries(rows.map((row) => [row.kid, row.public_jwk])),
    );
    const { x: former } = before.keys.find(({ alg }) => alg === 'ES256') ?? {};
    const signing = keys.current().signingKey('id_token', 'ES256');
    expect(signing?.privateKey.export({ format: 'jwk' }).x).not.toBe(former);
  }
});

describe('master key', () => {
  test('control: the right one opens', async () => {
    await expect(open()).resolves.toBeDefined();
  });

  test('a lost one stops the start with a sentence, and none is made in its place', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'gatehouse-keys-'));
    await expect(open({ dataDir: empty })).rejects.toThrow(/master-key is missing, but/);
    await expect(stat(join(empty, 'master-key'))).rejects.toThrow(/ENOENT/);
    await expect(open({ masterKeys: join(empty, 'other') })).rejects.toThrow(/does not exist/);
    await rm(empty, { recursive: true });
  });

  test('a wrong one stops the start with a sentence', async () => {
    const path = join(dataDir, 'wrong');
    await writeFile(path, `${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 });
    await expect(open({ masterKeys: path })).rejects.toThrow(/not wrapped with a master key in/);
  });

  test('the first wraps, all unwrap: a new one in front takes over what is made from now on', async () => {
    const old = (await readFile(join(dataDir, 'master-key'), 'utf8')).trim();
    const path = join(dataDir, 'both');
    const fresh = Buffer.alloc(32, 9).toString('base64');
    await writeFile(path, `# rotated\n2026:${fresh}\n\nold:${old}\n`, { mode: 0o600 });
    const keys = await open({ masterKeys: path });
    expect(keys.current().signingKey('id_token', 'RS256')).toBeDefined();
    await sql('delete from key where set_name = $1 and alg = $2', [idTokenSet, 'EdDSA']);
    await keys.reload();
    expect(keys.current().signingKey('id_token', 'EdDSA')).toBeDefined();
    await expect(open()).rejects.toThrow(/^1 of \d+ keys in the database/);
    await expect(open({ masterKeys: path })).resolves.toBeDefined();
  });

  test.each([
    ['no key', '# nothing\n\n'],
    ['31 bytes', `${Buffer.alloc(31).toString('base64')}\n`],
    ['33 bytes', `${Buffer.alloc(33).toString('base64')}\n`],
    ['not base64', 'a master key that somebody made up by themselves\n'],
    ['an empty key', 'label:\n'],
  ])('a file with %s is refused without quoting it', async (_, text) => {
    const path = join(dataDir, 'bad');
    await writeFile(path, text, { mode: 0o600 });
    const error = await open({ masterKeys: path }).catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/^KeysError: The master key file/);
    expect(String(error)).not.toContain(text.trim());
  });
});

/** Counts the statements that our pool sends. */
function countQueries(): { end(): number } {
  const { query } = database;
  let count = 0;
  database.query = (...args) => {
    count += 1;
    return query(...args);
  };
  return {
    end() {
      database.query = query;
      return count;
    },
  };
}
