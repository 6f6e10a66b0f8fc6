import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestStore, type TestStore } from '#server/testing/records.ts';
import { raiseAccessSeconds, settleAccessSeconds } from './control.ts';
import { revokeAll } from './revocation.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());
beforeEach(async () => {
  await store.rows.query(
    `update control set access_seconds_max = 60, access_expiry_high_water = 'epoch',
       access_asserted_at = now() where singleton`,
  );
});

const saidAgo = (minutes: number) =>
  store.rows.query(
    `update control set access_asserted_at = now() - make_interval(mins => $1) where singleton`,
    [minutes],
  );

/** `water`: seconds from when it was last said to the water mark; 0: that lies before. */
async function control() {
  const { rows } = await store.rows.query(
    `select o.access_seconds_max as seconds,
       greatest(0, round(extract(epoch from o.access_expiry_high_water - o.access_asserted_at)))::int
         as water,
       round(extract(epoch from now() - o.access_asserted_at) / 60)::int as said
     from control o`,
  );
  return rows[0];
}

/** How long after now, or after the water mark where that is later, a fact told now is kept. */
async function kept(): Promise<{ readonly seconds: number; readonly beyondWater: number }> {
  const target = `user-${randomUUID()}`;
  await revokeAll(store.database, [{ kind: 'subject', target, reason: 'test', expiresAt: null }]);
  return keptOf(target);
}

async function keptOf(target: string) {
  const { rows } = await store.rows.query(
    `select round(extract(epoch from f.expires_at - f.created_at))::int as seconds,
       round(extract(epoch from f.expires_at - o.access_expiry_high_water))::int as "beyondWater"
     from fact f, control o where f.target = $1`,
    [target],
  );
  return rows[0];
}

describe('hot path 6: how long facts are kept', () => {
  test('rises with the longest lifetime, at once', async () => {
    await raiseAccessSeconds(store.database, 7200);
    await raiseAccessSeconds(store.database, 3600);
    expect(await control()).toEqual({ seconds: 7200, water: 0, said: 0 });
    expect(await kept()).toMatchObject({ seconds: 7800 });
    await settleAccessSeconds(store.database, 9000);
    expect(await control()).toEqual({ seconds: 9000, water: 0, said: 0 });
  });

  test('does not fall while a node still says that it needs the longer one', async () => {
    await raiseAccessSeconds(store.database, 7200);
    await saidAgo(19);
    await settleAccessSeconds(store.database, 60);
    expect(await control()).toEqual({ seconds: 7200, water: 0, said: 19 });
    await settleAccessSeconds(store.database, 7200);
    expect(await control()).toEqual({ seconds: 7200, water: 0, said: 0 });
    await saidAgo(3);
    await settleAccessSeconds(store.database, 7200);
    expect(await control()).toMatchObject({ said: 3 });
  });

  test('falls when nobody has needed it for a while, and facts outlast what was issued', async () => {
    await raiseAccessSeconds(store.database, 7200);
    await saidAgo(21);
    await settleAccessSeconds(store.database, 60);
    expect(await control()).toEqual({ seconds: 60, water: 7200, said: 0 });
    expect(await kept()).toMatchObject({ beyondWater: 600 });
    await store.rows.query(
      `update control set access_expiry_high_water = now() - interval '1 second' where singleton`,
    );
    expect(await kept()).toMatchObject({ seconds: 660 });
  });

  test('a second fall keeps the higher water mark', async () => {
    await raiseAccessSeconds(store.database, 7200);
    await saidAgo(21);
    await settleAccessSeconds(store.database, 600);
    expect(await control()).toEqual({ seconds: 600, water: 7200, said: 0 });
    const water = 'select o.access_expiry_high_water::text as water from control o';
    const before = (await store.rows.query(water)).rows;
    await saidAgo(21);
    await settleAccessSeconds(store.database, 60);
    expect(await control()).toMatchObject({ seconds: 60, said: 0 });
    expect((await store.rows.query(water)).rows).toEqual(before);
  });

  test('a fact that waited for its turn while the lifetime rose is kept for the longer one', async () => {
    const target = `user-${randomUUID()}`;
    const holder = new pg.Client({ connectionString: store.urls.owner });
    await holder.connect();
    await holder.query('begin');
    await holder.query('select pg_advisory_xact_lock(4744001)');
    const waiting = revokeAll(store.database, [
      { kind: 'subject', target, reason: 'test', expiresAt: null },
    ]);
    const waiters = `select l.pid from pg_locks l join pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'advisory' and not l.granted and a.datname = current_database()`;
    await expect.poll(async () => (await store.rows.query(waiters)).rows.length).toBeGreaterThan(0);
    await raiseAccessSeconds(store.database, 7200);
    await holder.query('commit');
    await holder.end();
    await waiting;
    expect(await keptOf(target)).toMatchObject({ seconds: 7800 });
  });
});
