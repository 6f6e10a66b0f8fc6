import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openFeed } from '#server/feed/feed.ts';
import { DatabaseRestored } from '#server/feed/history.ts';
import type { PositionFile } from '#server/feed/position.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { type Database, openDatabase } from '#server/store/database.ts';
import type { Feed, Mortal } from '#server/store/feed.ts';
import { refreshChains } from '#server/store/refresh.ts';
import { revokeAll } from '#server/store/revocation.ts';
import { resumeSession } from '#server/store/session.ts';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { newAttempt, writeLogin } from '#server/testing/records.ts';
import { lookAtRecovery, RecoveryRefused, recover, seqJump } from './recovery.ts';

let db: TestDatabase;
let rows: pg.Client;
const open: { close(): Promise<void> }[] = [];
beforeEach(async () => {
  db = await createTestDatabase();
  rows = new pg.Client({ connectionString: db.urls.owner });
  await rows.connect();
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  await rows.end();
  await db.close();
});

const mend = (over: { counterOnly?: boolean; keepCredentials?: boolean } = {}) =>
  recover({
    ownerUrl: db.urls.owner,
    counterOnly: false,
    keepCredentials: false,
    log: () => {},
    failpoints: undefined,
    ...over,
  });
const look = () => lookAtRecovery(db.urls.owner);

function pool(): Database {
  const database = openDatabase({
    url: db.urls.server,
    applicationName: 'a-test',
    connectionsMax: 2,
    connectMsMax: 5000,
    statementMsMax: 10_000,
  });
  open.push(database);
  return database;
}

async function feedOn(database: Database, position?: PositionFile): Promise<Feed> {
  const feed = await openFeed({
    url: db.urls.server,
    database,
    factsMax: 1000,
    log: createLog({ level: 'debug', write: () => {} }),
    metrics: createMetrics(),
    onClientChanged: () => {},
    onKeysChanged: async () => true,
    onGap: () => {},
    ...(position === undefined ? {} : { position }),
  });
  open.push(feed);
  return feed;
}

const revoke = (database: Database, subject: string) =>
  revokeAll(database, [{ kind: 'subject', target: subject, reason: 'test', expiresAt: null }]);
const newest = async () =>
  Number((await rows.query('select max(seq) as seq from fact')).rows[0]?.seq ?? 0);

function mortal(born: number, over: Partial<Mortal> = {}): Mortal {
  return {
    tokenId: '00000000-0000-4000-8000-000000000001',
    chainId: '',
    grantId: '',
    grantVersion: 1,
    sessionId: '',
    online: false,
    subject: 'ada',
    clientId: 'app',
    loginBorn: born,
    grantBorn: born,
    ...over,
  };
}

describe('recover', () => {
  test('what was handed out is dead, by rows and by numbers; what comes after lives', async () => {
    const database = pool();
    const { session, chain } = await writeLogin(database);
    await revoke(database, 'somebody');
    const before = await newest();
    await mend();
    expect(await newest()).toBeGreaterThanOrEqual(before + seqJump);
    expect((await resumeSession(database, session.id, 'app')).kind).toBe('dead');
    expect((await refreshChains(database, [newAttempt(chain)]))[0]?.kind).toBe('dead');
    const feed = await feedOn(database);
    const born = await feed.born();
    expect(await feed.isDead(mortal(before))).toBe(true);
    expect(await feed.isDead(mortal(before + seqJump - 1))).toBe(true);
    // Client credentials are born after every login, and die by when they were granted.
    expect(await feed.isDead(mortal(before, { loginBorn: 2 ** 48 - 1 }))).toBe(true);
    expect(await feed.isDead(mortal(born))).toBe(false);
    const anew = await writeLogin(database, {
      session: { loginBorn: born, subject: session.subject },
    });
    expect((await resumeSession(database, anew.session.id, 'app')).kind).toBe('live');
    expect((await refreshChains(database, [newAttempt(anew.chain)]))[0]?.kind).toBe('refreshed');
  });

  test('keys of all that is sealed are gone, others stay', async () => {
    const database = pool();
    const sets = async () =>
      (await rows.query('select distinct set_name from key order by set_name')).rows.map(
        (row) => row.set_name,
      );
    for (const [index, set] of ['gatehouse.flow', 'gatehouse.refresh', 'pepper'].entries()) {
      await rows.query(
        `insert into key (id, set_name, kid, alg, use, wrapped, active_at)
         values (gen_random_uuid(), $1, $2, 'A256GCM', 'seal', $3, now())`,
        [set, `kid${index}`, Buffer.alloc(48)],
      );
    }
    await revoke(database, 'somebody');
    await mend();
    expect(await sets()).toEqual(['pepper']);
  });

  test('several times over: numbers stay exact in tokens, rows and comparisons', async () => {
    const database = pool();
    await revoke(database, 'somebody');
    let last = 0;
    for (let times = 1; times <= 5; times += 1) {
      await mend();
      await revoke(database, `user-${times}`);
      const seq = await newest();
      expect(seq).toBeGreaterThan(last + seqJump);
      expect(Number.isSafeInteger(seq)).toBe(true);
      last = seq;
    }
    const feed = await feedOn(database);
    expect(feed.known()).toBe(last);
    expect(await feed.isDead(mortal(last, { subject: 'user-5' }))).toBe(false);
    expect(await feed.isDead(mortal(last - 1, { subject: 'user-5' }))).toBe(true);
    expect(await feed.isDead(mortal(last - 1, { subject: 'user-4' }))).toBe(false);
  });

  test.each([false, true])(
    'restored to the end of a recovery: it is one more history (counter only: %s)',
    async (counterOnly) => {
      const database = pool();
      await revoke(database, 'somebody');
      await mend({ counterOnly });
      // A base backup is taken now, nodes start, and what follows is lost.
      const seen = noted(await history(), (await newest()) + 7, Date.now() / 1000 + hour);
      const lostBorn = seen.noted?.seq ?? 0;
      await expect(feedOn(database, seen)).rejects.toThrow('gatehouse recover');
      expect((await look()).due).toBe('whole');
      await mend({ counterOnly });
      const feed = await feedOn(database, seen);
      expect(await feed.isDead(mortal(lostBorn))).toBe(!counterOnly);
      expect(await newest()).toBeGreaterThan(lostBorn + seqJump - 100);
    },
  );

  test('counter only: nothing is revoked, and new facts reach what was born in the lost writes', async () => {
    const database = pool();
    const { session } = await writeLogin(database);
    await revoke(database, 'somebody');
    const lostBorn = (await newest()) + 500;
    await mend({ counterOnly: true });
    expect((await resumeSession(database, session.id, 'app')).kind).toBe('live');
    // For as long as any client's tokens may live, which the lost writes may have let live longer.
    const kept = await rows.query(
      `select o.access_expiry_high_water > now() + interval '365 days' as whole from control o`,
    );
    expect(kept.rows).toEqual([{ whole: true }]);
    const feed = await feedOn(database);
    expect(await feed.isDead(mortal(lostBorn))).toBe(false);
    await revoke(database, 'ada');
    await feed.acknowledged();
    await feed.fresh();
    expect(await feed.isDead(mortal(lostBorn))).toBe(true);
  });

  test('admin credentials go, unless they are to be kept', async () => {
    const insert = () =>
      rows.query(
        `insert into admin_credential (id, name, role, hash)
         values (gen_random_uuid(), 'login-app', 'handshake', $1)`,
        [Buffer.alloc(32)],
      );
    const count = async () =>
      (await rows.query('select count(*)::int as n from admin_credential')).rows[0].n;
    await insert();
    await revoke(pool(), 'somebody');
    expect((await look()).credentials).toEqual([{ name: 'login-app', role: 'handshake' }]);
    await mend({ keepCredentials: true });
    expect(await count()).toBe(1);
    await revoke(pool(), 'somebody');
    await mend();
    expect(await count()).toBe(0);
  });

  test('refuses while a node is connected, and says to stop it', async () => {
    const node = new pg.Client({
      connectionString: db.urls.server,
      application_name: 'gatehouse-feed',
    });
    await node.connect();
    await expect(mend()).rejects.toThrow(/gatehouse-feed.*Stop every node/s);
    await node.end();
    expect((await rows.query('select state from control')).rows[0].state).toBe('live');
  });

  test('refuses a database that a switch has fenced, and a counter without room', async () => {
    await rows.query(`update control set state = 'fenced'`);
    await expect(mend()).rejects.toThrow(RecoveryRefused);
    await rows.query(`update control set state = 'live'`);
    await rows.query(`select setval('fact_seq', ${2 ** 48 - 2 ** 41})`);
    await expect(mend()).rejects.toThrow(/no room/);
    expect((await rows.query('select state from control')).rows[0].state).toBe('live');
  });

  test('interrupted after each step it goes on from there, and moves the counter once', async () => {
    const database = pool();
    const { session } = await writeLogin(database);
    await revoke(database, 'somebody');
    const before = await newest();
    for (const name of ['recover.begun', 'recover.keys', 'recover.slice']) {
      const failpoints = {
        isArmed: () => true,
        reach: async (reached: string) => {
          if (reached === name) throw new Error(`interrupted at ${name}`);
        },
      };
      const options = { ownerUrl: db.urls.owner, counterOnly: false, keepCredentials: false };
      await expect(recover({ ...options, log: () => {}, failpoints })).rejects.toThrow(name);
      expect((await look()).due).toBe('rest');
      // Nobody serves from it meanwhile.
      await expect(feedOn(database)).rejects.toThrow(DatabaseRestored);
    }
    await mend();
    expect(await newest()).toBeLessThan(before + 2 * seqJump);
    expect((await resumeSession(database, session.id, 'app')).kind).toBe('dead');
  });
});

/** A position file that an earlier process has left. */
const noted = (history: string, seq: number, expiresAt: number): PositionFile => ({
  noted: { history, seq, expiresAt },
  note: () => {},
  close: async () => {},
});
const history = async () =>
  String((await rows.query('select history from control')).rows[0].history);
const hour = 3600;

describe('a database that has lost what it had said', () => {
  test('a node that runs refuses for good, and names the command', async () => {
    const database = pool();
    await revoke(database, 'somebody');
    await revoke(database, 'ada');
    const feed = await feedOn(database);
    expect(await feed.isDead(mortal(0))).toBe(true);
    await rows.query('delete from fact where seq = (select max(seq) from fact)');
    await sleep(60);
    await expect(feed.fresh()).rejects.toThrow('gatehouse recover');
    expect(feed.refusal()).toContain('gatehouse recover');
    // Also once others have written on, so that there are facts beyond its cursor again.
    await revoke(database, 'another');
    await expect(feed.born()).rejects.toThrow('gatehouse recover');
  });

  test('newer facts do not hide it, as long as the lost one cannot have been swept', async () => {
    const database = pool();
    await revoke(database, 'ada');
    const feed = await feedOn(database);
    await rows.query('delete from fact');
    await revoke(database, 'another');
    await sleep(60);
    await expect(feed.fresh()).rejects.toThrow('gatehouse recover');
  });

  test('control: a fact that ended and was swept is not missed', async () => {
    const database = pool();
    await revoke(database, 'ada');
    await rows.query(
      `update fact set created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'`,
    );
    const feed = await feedOn(database);
    await revoke(database, 'another');
    await rows.query('delete from fact where seq < (select max(seq) from fact)');
    await sleep(60);
    await feed.fresh();
    expect(feed.refusal()).toBeUndefined();
  });

  test('a node that starts knows by what this machine has seen', async () => {
    const database = pool();
    await revoke(database, 'ada');
    const [seq, is, later] = [await newest(), await history(), Date.now() / 1000 + hour];
    await expect(feedOn(database, noted(is, seq + 1, 0))).rejects.toThrow(DatabaseRestored);
    await rows.query('update fact set seq = seq + 10');
    await expect(feedOn(database, noted(is, seq, later))).rejects.toThrow(DatabaseRestored);
    // control: what ended may have been swept; another database has another history
    await feedOn(database, noted(is, seq, 0));
    await feedOn(database, noted('another', seq + 100, later));
  });

  test('after a recovery it starts again, and one that was running does not go on', async () => {
    const database = pool();
    await revoke(database, 'ada');
    const before = noted(await history(), (await newest()) + 5, Date.now() / 1000 + hour);
    await expect(feedOn(database, before)).rejects.toThrow(DatabaseRestored);
    await mend();
    const feed = await feedOn(database, before);
    await rows.query('update control set history = gen_random_uuid()');
    await sleep(60);
    await expect(feed.fresh()).rejects.toThrow(/recovered since/);
  });
});
