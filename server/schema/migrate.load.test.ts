import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Load, openLoad } from '#migrate/online/proof/load.ts';
import { watchWaits } from '#migrate/online/proof/lock-waits.ts';
import { withClient } from '#server/postgres/cluster.ts';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { migrate, releasedMigrations } from './migrate.ts';

let database: TestDatabase;
let load: Load | undefined;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await load?.close();
  await database.close();
});

/** Rows as the first release left them: every later migration meets tables that are in use. */
const seed = `
  insert into fact (seq, kind, target, expires_at)
    select n, 'chain', n::text, now() + interval '1 hour' from generate_series(1, 20000) n;
  insert into session (id, subject, login_born, authenticated_at, remember, expires_at)
    select gen_random_uuid(), n::text, 0, now(), false, now() + interval '1 hour'
    from generate_series(1, 20000) n;
  insert into "grant" (subject, client_id, id, scope, audience, login_born, grant_born, last_flow_id, session_id)
    select n::text, 'c', gen_random_uuid(), '{a}', '{}', 0, 0, gen_random_uuid(), gen_random_uuid()
    from generate_series(1, 20000) n;
  insert into client (client_id, metadata) select n::text, '{}' from generate_series(1, 2000) n;`;

const writes = [
  'update control set epoch = epoch',
  `insert into fact (seq, kind, target, expires_at)
     values ((random() * 1e15)::bigint + 100000, 'chain', 'x', now() + interval '1 hour')`,
  `update "grant" set handled_at = now() where subject = (1 + floor(random() * 20000))::int::text`,
  `update session set ended_at = now() where id = (select id from session limit 1)`,
  `update client set updated_at = now() where client_id = (1 + floor(random() * 2000))::int::text`,
];

test('R8: every shipped migration, under writes to all tables: no write waits longer than the lock timeout', async () => {
  const ownerUrl = database.urls.owner;
  await withClient(ownerUrl, (client) =>
    client.query('drop schema public cascade; create schema public'),
  );
  await migrate({ ownerUrl, until: 2 });
  await withClient(ownerUrl, (client) => client.query(seed));
  load = await openLoad(ownerUrl, 3, (n) => writes[n % writes.length] ?? '');
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  for (const { number, name } of (await releasedMigrations()).slice(2)) {
    load.reset();
    const watch = await watchWaits(database.urls.superuser, 'gatehouse-migrate');
    await migrate({ ownerUrl, until: number });
    const waited = await watch.stop();
    console.log(
      `${number} ${name}: a write waited ${Math.round(waited)} ms for a lock, and took ` +
        `${Math.round(load.longestMs())} ms at most`,
    );
    expect(load.failures).toEqual([]);
    expect(waited, name).toBeLessThan(600);
  }
}, 120_000);
