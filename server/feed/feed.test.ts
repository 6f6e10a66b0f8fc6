import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { DatabaseUnavailable } from '#server/store/database.ts';
import type { Feed, Mortal } from '#server/store/feed.ts';
import { type NewRevocation, revokeAll } from '#server/store/revocation.ts';
import { openProxy, type TestProxy } from '#server/testing/proxy.ts';
import { newMortal, openTestStore, type TestStore } from '#server/testing/records.ts';
import { freshMsMax, openFeed } from './feed.ts';

let store: TestStore;
let proxy: TestProxy;
let superuser: pg.Client;
const feeds: Feed[] = [];
beforeAll(async () => {
  store = await openTestStore();
  proxy = await openProxy(Number(new URL(store.urls.server).port));
  superuser = new pg.Client({ connectionString: store.urls.superuser });
  await superuser.connect();
  await superuser.query('create extension if not exists pg_stat_statements');
});
afterAll(async () => {
  await superuser?.end();
  await proxy?.close();
  await store?.close();
});
afterEach(async () => {
  proxy.release();
  await Promise.all(feeds.splice(0).map((feed) => feed.close()));
});

/** A feed of one node, whose polls are counted, by its own way to PostgreSQL. */
async function open(
  over: { factsMax?: number; remote?: boolean; lost?: ReadonlySet<string> } = {},
) {
  const told: { polls: number; keys: number; gaps: number; clients: string[]; lines: string[] } = {
    polls: 0,
    keys: 0,
    gaps: 0,
    clients: [],
    lines: [],
  };
  const feed = await openFeed({
    url: over.remote ? proxy.through(store.urls.server) : store.urls.server,
    database: store.database,
    factsMax: over.factsMax ?? 100_000,
    log: createLog({ level: 'debug', write: (line) => told.lines.push(line) }),
    metrics: {
      ...createMetrics(),
      feedPolled() {
        told.polls += 1;
      },
    },
    onClientChanged: (clientId) => told.clients.push(clientId),
    async onKeysChanged() {
      told.keys += 1;
      return over.lost?.has('keys') !== true;
    },
    onGap() {
      told.gaps += 1;
    },
  });
  feeds.push(feed);
  return { feed, told };
}

const revoke = (kind: NewRevocation['kind'], target: string) =>
  revokeAll(store.database, [{ kind, target, reason: 'test', expiresAt: null }]);

/** What a node that checks this now would say. */
async function isDead(feed: Feed, checked: Mortal): Promise<boolean> {
  await feed.fresh();
  return feed.isDead(checked);
}

describe('hot path 6: freshness', () => {
  test('an acknowledged revocation is known to every node that answers, from then on', async () => {
    const [here, there] = [await open(), await open()];
    for (let round = 0; round < 20; round += 1) {
      const doomed = newMortal();
      expect(await isDead(there.feed, doomed)).toBe(false);
      await revoke('subject', doomed.subject);
      await here.feed.acknowledged();
      expect(await isDead(there.feed, doomed)).toBe(true);
    }
  });

  test('control: without waiting for the acknowledgement, a node may still go by its last poll', async () => {
    const { feed } = await open();
    const outcomes = new Set<boolean>();
    for (let round = 0; round < 50 && !outcomes.has(false); round += 1) {
      const doomed = newMortal();
      await feed.born();
      await revoke('subject', doomed.subject);
      outcomes.add(await isDead(feed, doomed));
    }
    expect(outcomes.has(false)).toBe(true);
  });

  test('a fresh watermark costs no wait; an old one waits for the next poll', async () => {
    const { feed, told } = await open();
    // On a busy machine an answer may itself take longer than it is fresh.
    await expect.poll(async () => (await feed.born()) > 0 && feed.fresh() === undefined).toBe(true);
    await sleep(freshMsMax + 30);
    const before = told.polls;
    const stale = feed.fresh();
    expect(stale).toBeInstanceOf(Promise);
    await stale;
    expect(told.polls).toBeGreaterThan(before);
    expect(feed.lagSeconds()).toBeLessThan(5);
  });

  test('born is never older than the question', async () => {
    const { feed } = await open();
    for (let round = 0; round < 20; round += 1) {
      const subject = `user-${randomUUID()}`;
      await revoke('subject', subject);
      const loginBorn = await feed.born();
      expect(await isDead(feed, newMortal({ subject, loginBorn }))).toBe(false);
      expect(await isDead(feed, newMortal({ subject, loginBorn: loginBorn - 1 }))).toBe(true);
    }
  });

  test('nobody asks: nothing is polled. A thousand ask at once: a poll or two', async () => {
    const { feed, told } = await open();
    await sleep(100);
    const idle = told.polls;
    await sleep(500);
    expect(told.polls).toBe(idle);
    await Promise.all(Array.from({ length: 1000 }, () => feed.born()));
    expect(told.polls - idle).toBeLessThanOrEqual(3);
  });
});

describe('what a fact does here', () => {
  test('changes of clients and keys are told to the caches, and kill nothing', async () => {
    const { feed, told } = await open();
    const clientId = `app-${randomUUID()}`;
    await store.rows.query(
      `insert into fact (seq, kind, target, expires_at) values
         (nextval('fact_seq'), 'client_changed', $1, now() + interval '1 hour'),
         (nextval('fact_seq'), 'keys_changed', 'gatehouse.code', now() + interval '1 hour')`,
      [clientId],
    );
    await feed.born();
    expect(told.clients).toContain(clientId);
    expect(told.keys).toBe(1);
    expect(feed.isDead(newMortal({ clientId }))).toBe(false);
    await revoke('client', clientId);
    await feed.born();
    expect(told.clients.filter((one) => one === clientId)).toHaveLength(2);
    expect(feed.isDead(newMortal({ clientId }))).toBe(true);
  });

  test('a node that starts knows all that was revoked before', async () => {
    const doomed = [newMortal(), newMortal(), newMortal()] as const;
    await revoke('subject', doomed[0].subject);
    await revoke('client', doomed[1].clientId);
    await revokeAll(store.database, [
      { kind: 'token', target: doomed[2].tokenId, reason: 'test', expiresAt: null },
    ]);
    const { feed } = await open();
    expect(doomed.map((one) => feed.isDead(one))).toEqual([true, true, true]);
    expect(feed.isDead(newMortal())).toBe(false);
  });

  test('keys that changed are read again before anything is fresh', async () => {
    const lost = new Set<string>();
    const { feed, told } = await open({ lost });
    const before = told.keys;
    lost.add('keys');
    await store.rows.query(
      `insert into fact (seq, kind, target, expires_at)
       select nextval('fact_seq'), 'keys_changed', 'all', now() + interval '1 hour'`,
    );
    await expect(feed.born()).rejects.toThrow(DatabaseUnavailable);
    expect(told.keys).toBeGreaterThan(before);
    // control: once they can be read it goes on by itself
    lost.delete('keys');
    await expect(feed.born()).resolves.toBeGreaterThan(0);
  });

  test('a node starts however many facts there are, if it takes longer than a check may wait', async () => {
    await store.rows.query(
      `insert into fact (seq, kind, target, expires_at)
       select nextval('fact_seq'), 'chain', gen_random_uuid()::text, now() + interval '1 hour'
       from generate_series(1, 300000)`,
    );
    const { feed } = await open({ factsMax: 1_000_000 });
    expect(feed.size()).toBeGreaterThanOrEqual(300_000);
    await store.rows.query(`delete from fact where seq < (select max(seq) from fact)`);
  }, 60_000);

  test('R21: more facts than memory may hold: PostgreSQL is asked, and knows them', async () => {
    const subjects = Array.from({ length: 30 }, () => `user-${randomUUID()}`);
    for (const subject of subjects) await revoke('subject', subject);
    const { feed, told } = await open({ factsMax: 10 });
    expect([feed.isOver(), feed.size()]).toEqual([true, 0]);
    expect(told.lines.join('')).toContain('facts_over_limit');
    const checks = await Promise.all([
      ...subjects.map((subject) => isDead(feed, newMortal({ subject }))),
      isDead(feed, newMortal()),
    ]);
    expect(checks).toEqual([...subjects.map(() => true), false]);
  });

  test('R21: a node over the limit asks about one token many times in one statement', async () => {
    await store.rows.query(
      `insert into fact (seq, kind, target, expires_at)
       select nextval('fact_seq'), 'chain', gen_random_uuid()::text, now() + interval '1 hour'
       from generate_series(1, 20)`,
    );
    const { feed } = await open({ factsMax: 10 });
    expect(feed.isOver()).toBe(true);
    const same = newMortal();
    const before = await questions();
    await Promise.all(Array.from({ length: 100 }, () => isDead(feed, same)));
    const asked = (await questions()) - before;
    expect(asked).toBeGreaterThan(0);
    expect(asked).toBeLessThan(10);
  });

  test('R21: once so many have ended that they fit, a node goes by memory again', async () => {
    const lasting = newMortal();
    const late = newMortal();
    await store.rows.query('delete from fact where seq < (select max(seq) from fact)');
    await revoke('subject', lasting.subject);
    await store.rows.query(
      `insert into fact (seq, kind, target, expires_at)
       select nextval('fact_seq'), 'chain', gen_random_uuid()::text, now() + interval '8 seconds'
       from generate_series(1, 200)`,
    );
    const { feed, told } = await open({ factsMax: 100 });
    expect(feed.isOver()).toBe(true);
    await revoke('subject', late.subject);
    for (let tries = 0; tries < 200 && feed.isOver(); tries += 1) {
      // never open on the way: who is dead stays dead, by memory or by PostgreSQL
      expect(await isDead(feed, lasting)).toBe(true);
      await sleep(100);
    }
    expect(feed.isOver()).toBe(false);
    expect(told.lines.join('')).toContain('facts_within_limit');
    const checks = [lasting, late, newMortal()].map((one) => isDead(feed, one));
    expect(await Promise.all(checks)).toEqual([true, true, false]);
  });
});

describe('an outage is never an open door', () => {
  test('packets are dropped: a check is refused after a second, and answered once they pass', async () => {
    const { feed } = await open({ remote: true });
    const doomed = newMortal();
    expect(await isDead(feed, doomed)).toBe(false);
    proxy.hold();
    await revoke('subject', doomed.subject);
    await sleep(freshMsMax + 10);
    const asked = performance.now();
    await expect(isDead(feed, doomed)).rejects.toThrow(DatabaseUnavailable);
    // A second, and what a busy machine takes on top; a statement of the pools would have five.
    expect(performance.now() - asked).toBeLessThan(4_500);
    await expect(feed.born()).rejects.toThrow(DatabaseUnavailable);
    proxy.release();
    await untilFresh(feed);
    expect(await isDead(feed, doomed)).toBe(true);
  });

  test('its connection is killed: it connects again by itself, and misses nothing', async () => {
    const { feed } = await open({ remote: true });
    for (let round = 0; round < 5; round += 1) {
      await feed.born();
      const { rows } = await superuser.query(
        `select count(pg_terminate_backend(a.pid))::int as ended from pg_stat_activity a
         where a.datname = current_database() and a.application_name = 'gatehouse-feed'`,
      );
      expect(rows[0].ended).toBeGreaterThan(0);
      const doomed = newMortal();
      await revoke('subject', doomed.subject);
      await feed.acknowledged();
      expect(await isDead(feed, doomed)).toBe(true);
    }
    proxy.cut();
    expect(await feed.born()).toBeGreaterThan(0);
  });

  test('R9: a database that is fenced, or another epoch, is not believed', async () => {
    const { feed } = await open();
    const set = (columns: string) => store.rows.query(`update control set ${columns}`);
    for (const columns of [`state = 'fenced'`, `epoch = 2`]) {
      await set(columns);
      await sleep(freshMsMax + 10);
      await expect(isDead(feed, newMortal()), columns).rejects.toThrow(DatabaseUnavailable);
      await set(`state = 'live', epoch = 1`);
      await untilFresh(feed);
    }
  });
});

/** How often PostgreSQL was asked who is dead, as it counted itself. */
async function questions(): Promise<number> {
  const { rows } = await superuser.query<{ calls: number }>(
    `select coalesce(sum(s.calls), 0)::int as calls from pg_stat_statements s
     where s.dbid = (select d.oid from pg_database d where d.datname = current_database())
       and s.query like '%from cutoff k%' and s.query like '%i.token_id and f.kind%'`,
  );
  return rows[0]?.calls ?? 0;
}

/** Resolves when the feed answers again. */
async function untilFresh(feed: Feed): Promise<void> {
  for (let tries = 0; tries < 20; tries += 1) {
    const fresh = await Promise.resolve(feed.fresh()).then(
      () => true,
      () => false,
    );
    if (fresh) return;
  }
  throw new Error('the feed did not recover');
}
