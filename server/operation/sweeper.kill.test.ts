import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { failpointMoments } from '#server/config/failpoint.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { sweepOnce } from './sweeper.ts';

let database: TestDatabase;
let rows: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  rows = new pg.Client({ connectionString: database.urls.owner });
  await rows.connect();
});
afterAll(async () => {
  await rows?.end();
  await database?.close();
});

const root = fileURLToPath(new URL('../..', import.meta.url));
const perTable = 600;
const zero = `'00000000-0000-0000-0000-000000000000'`;

/** More than a slice of what is over, and one row that lives, in each table. */
const inserts: Readonly<Record<string, string>> = {
  chain: `insert into chain (id, client_id, subject, grant_id, session_id, online, refreshable,
      attempt, mac_kid, scope, audience, login_born, grant_born, authenticated_at, created_at,
      expires_at, keep_until)
    select gen_random_uuid(), 'app', 'ann', ${zero}, ${zero}, false, i = 0, ${zero}, 'k', '{}', '{}',
      0, 0, now(), now() - interval '9 days',
      case when i = 0 then now() + interval '1 day' else now() - interval '1 day' end,
      now() - interval '1 day'
    from generate_series(0, ${perTable}) i`,
  session: `insert into session (id, subject, login_born, authenticated_at, remember, created_at,
      expires_at)
    select gen_random_uuid(), 'ann', 100, now(), false, now() - interval '9 days',
      case when i = 0 then now() + interval '1 day' else now() - interval '8 days' end
    from generate_series(0, ${perTable}) i`,
  grant: `insert into "grant" (subject, client_id, id, scope, audience, login_born, grant_born,
      last_flow_id, session_id, revoked_at)
    select 'ann', 'app' || i, gen_random_uuid(), '{}', '{}', 100, 100, ${zero}, ${zero},
      case when i > 0 then now() - interval '8 days' end
    from generate_series(0, ${perTable}) i`,
  fact: `insert into fact (seq, kind, target, created_at, expires_at)
    select i + 1, 'subject', 'ann', now() - interval '9 days',
      case when i = ${perTable} then now() + interval '1 day' else now() - interval '8 days' end
    from generate_series(0, ${perTable}) i`,
  cutoff: `insert into cutoff (kind, target, seq, created_at)
    select 'client', 'app' || i, 7, case when i > 0 then now() - interval '99 days' else now() end
    from generate_series(0, ${perTable}) i`,
  flow_reference: `insert into flow_reference (id, sealed, created_at, expires_at)
    select gen_random_uuid(), decode(repeat('00', 16), 'hex'), now() - interval '9 days',
      case when i = 0 then now() + interval '1 day' else now() - interval '8 days' end
    from generate_series(0, ${perTable}) i`,
  key: `insert into key (id, set_name, kid, alg, use, wrapped, created_at, active_at, expires_at)
    select gen_random_uuid(), 's', 'k' || i, 'A256GCM', 'enc', decode(repeat('00', 48), 'hex'),
      now() - interval '9 days', now() - interval '9 days',
      case when i > 0 then now() - interval '8 days' end
    from generate_series(0, ${perTable}) i`,
};

/** A sweeping process of its own, armed; gives the signal that ended it. */
async function sweepAndDie(failpoint: string): Promise<unknown> {
  const program = `
    import { armFailpoints } from '#server/failpoints.ts';
    import { createLog } from '#server/operation/log.ts';
    import { createMetrics } from '#server/operation/metrics.ts';
    import { sweepOnce } from '#server/operation/sweeper.ts';
    const [url, failpoint] = process.argv.slice(1);
    const log = createLog({ level: 'silent' });
    const failpoints = armFailpoints([failpoint]);
    await sweepOnce({ url, log, metrics: createMetrics(), failpoints });`;
  const options = ['--input-type=module', '-e', program];
  const child = spawn(process.execPath, [...options, database.urls.server, failpoint], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [, signal] = await once(child, 'exit');
  return signal;
}

const count = async (table: string) =>
  (await rows.query<{ n: number }>(`select count(*)::int as n from "${table}"`)).rows[0]?.n;

test('a process that is killed while it sweeps: whole slices are gone or none, nothing that lives, and another goes on', async () => {
  const moments = Object.keys(failpointMoments);
  for (const [table, insert] of Object.entries(inserts)) {
    await rows.query(`delete from "${table}"`);
    await rows.query(insert);
    const moment = moments[randomInt(moments.length)] ?? 'after';
    const point = `sweep_${table}.${moment}`;
    expect(await sweepAndDie(`${point}=kill`), point).toBe('SIGKILL');
    const left = (await count(table)) ?? 0;
    if (moment === 'before') expect(left, point).toBe(perTable + 1);
    if (moment === 'after') expect(left, point).toBeLessThan(perTable + 1);
    // Its lock went with its connection, at the latest when PostgreSQL has noticed.
    const [url, log] = [database.urls.server, createLog({ level: 'silent' })];
    await expect
      .poll(() => sweepOnce({ url, log, metrics: createMetrics() }), { timeout: 20_000 })
      .toBeDefined();
    expect(await count(table), point).toBe(1);
  }
}, 120_000);
