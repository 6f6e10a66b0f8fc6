import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openSweepConnection } from '#server/store/sweep.ts';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { startSweeper, sweepOnce } from './sweeper.ts';

let database: TestDatabase;
let rows: pg.Client;
const metrics = createMetrics();
const lines: string[] = [];
const log = createLog({ level: 'debug', write: (line) => lines.push(line) });

beforeAll(async () => {
  database = await createTestDatabase();
  rows = new pg.Client({ connectionString: database.urls.owner });
  await rows.connect();
});
afterAll(async () => {
  await rows.end();
  await database.close();
});
beforeEach(async () => {
  lines.length = 0;
  await rows.query('truncate chain, session, "grant", fact, cutoff, flow_reference, key');
});

const sweep = () => sweepOnce({ url: database.urls.server, log, metrics });

/** A time relative to now, as PostgreSQL reads it; null stays null. */
const at = (offset: string | null) => (offset === null ? null : `now() + interval '${offset}'`);

interface SessionTimes {
  id?: string;
  expires?: string;
  ended?: string | null;
  revoked?: string | null;
  subject?: string;
  loginBorn?: number;
}
async function addSession(given: SessionTimes = {}): Promise<string> {
  const id = given.id ?? randomUUID();
  const { expires = '1 day', ended = null, revoked = null } = given;
  await rows.query(
    `insert into session (id, subject, login_born, authenticated_at, remember,
       created_at, expires_at, ended_at, revoked_at)
     values ($1, $2, $3, now(), false, now() - interval '400 days', ${at(expires)},
       ${at(ended)}, ${at(revoked)})`,
    [id, given.subject ?? 'ann', given.loginBorn ?? 0],
  );
  return id;
}

interface ChainTimes {
  session?: string;
  refreshable?: boolean;
  expires?: string;
  absolute?: string | null;
  revoked?: string | null;
  keep?: string;
}
async function addChain(given: ChainTimes = {}): Promise<string> {
  const id = randomUUID();
  const { expires = '1 day', absolute = null, revoked = null, keep = '-1 hour' } = given;
  await rows.query(
    `insert into chain (id, client_id, subject, grant_id, session_id, online, refreshable, attempt,
       mac_kid, scope, audience, login_born, grant_born, authenticated_at,
       created_at, expires_at, absolute_expires_at, keep_until, revoked_at)
     values ($1, 'app', 'ann', $1, $2, false, $3, $1, 'k', '{}', '{}', 0, 0, now(),
       now() - interval '400 days', ${at(expires)}, ${at(absolute)}, ${at(keep)}, ${at(revoked)})`,
    [id, given.session ?? randomUUID(), given.refreshable ?? true],
  );
  return id;
}

async function addGrant(subject: string, revoked: string | null, born = 0): Promise<void> {
  await rows.query(
    `insert into "grant" (subject, client_id, id, scope, audience, login_born, grant_born,
       last_flow_id, session_id, revoked_at)
     values ($1, 'app', $2, '{}', '{}', $3, $3, $2, $2, ${at(revoked)})`,
    [subject, randomUUID(), born],
  );
}

async function addCutoff(kind: string, target: string, seq: number, created: string) {
  await rows.query(
    `insert into cutoff (kind, target, seq, created_at) values ($1, $2, $3, ${at(created)})`,
    [kind, target, seq],
  );
}

async function count(table: string): Promise<number> {
  const result = await rows.query<{ n: number }>(`select count(*)::int as n from ${table}`);
  return result.rows[0]?.n ?? -1;
}

describe('a chain', () => {
  test.each<[string, ChainTimes, boolean]>([
    ['lives', {}, true],
    ['is revoked, and its replay must be seen', { revoked: '-1 hour', keep: '1 minute' }, true],
    ['is revoked', { revoked: '-1 hour' }, false],
    ['has idled out', { expires: '-1 minute' }, false],
    ['has idled out, a token of it lives', { expires: '-1 minute', keep: '1 minute' }, true],
    ['is past its absolute end', { absolute: '-1 minute' }, false],
    ['was never refreshable', { refreshable: false }, false],
    ['was never refreshable, a token lives', { refreshable: false, keep: '1 minute' }, true],
  ])('that %s', async (_, times, stays) => {
    await addChain(times);
    await sweep();
    expect(await count('chain')).toBe(stays ? 1 : 0);
  });
});

describe('a session', () => {
  test.each<[string, SessionTimes, boolean]>([
    ['lives', {}, true],
    ['expired yesterday', { expires: '-1 day' }, true],
    ['expired three days ago', { expires: '-3 days' }, false],
    ['ended three days ago', { ended: '-3 days' }, false],
    ['was revoked three days ago', { revoked: '-3 days' }, false],
    ['was revoked an hour ago', { revoked: '-1 hour' }, true],
  ])('that %s', async (_, times, stays) => {
    await addSession(times);
    await sweep();
    expect(await count('session')).toBe(stays ? 1 : 0);
  });

  test('that has ended stays while a chain hangs from it, since a refresh reads it', async () => {
    const session = await addSession({ ended: '-300 days' });
    await addChain({ session });
    await sweep();
    expect(await count('session')).toBe(1);
    await rows.query('update chain set revoked_at = now()');
    await sweep();
    expect(await count('session')).toBe(0);
  });

  test('that a cutoff killed three days ago goes, one born after it stays', async () => {
    await addCutoff('subject', 'ann', 10, '-3 days');
    await addSession({ loginBorn: 9 });
    await addSession({ loginBorn: 10 });
    await sweep();
    expect((await rows.query('select login_born from session')).rows).toEqual([
      { login_born: '10' },
    ]);
  });
});

describe('a grant', () => {
  test.each<[string, string | null, boolean]>([
    ['lives', null, true],
    ['was revoked an hour ago', '-1 hour', true],
    ['was revoked three days ago', '-3 days', false],
  ])('that %s', async (_, revoked, stays) => {
    await addGrant('ann', revoked);
    await sweep();
    expect(await count('"grant"')).toBe(stays ? 1 : 0);
  });

  test('of a client that was cut off goes, also when nobody revoked it by itself', async () => {
    await addCutoff('client', 'app', 10, '-3 days');
    await addGrant('ann', null, 9);
    await addGrant('bob', null, 10);
    await sweep();
    expect((await rows.query('select subject from "grant"')).rows).toEqual([{ subject: 'bob' }]);
  });
});

describe('a cutoff', () => {
  test('stays 90 days, and while something born before it is left', async () => {
    await addCutoff('subject', 'ann', 10, '-89 days');
    await addCutoff('subject', 'bob', 10, '-91 days');
    await addCutoff('client', 'app', 10, '-91 days');
    const session = await addSession({ subject: 'bob', loginBorn: 3 });
    const chain = await addChain({ session, revoked: '-1 day', keep: '1 minute' });
    await sweep();
    const left = await rows.query('select kind, target from cutoff order by kind, target');
    expect(left.rows).toEqual([
      { kind: 'subject', target: 'ann' },
      { kind: 'subject', target: 'bob' },
    ]);
    await rows.query(
      `update chain set keep_until = now() - interval '1 minute' where id = '${chain}'`,
    );
    await sweep();
    expect(await count('cutoff')).toBe(1);
  });
});

test('cutoffs stay where the sweep of grants did not come to its end: one that they kill may be left', async () => {
  await addCutoff('client', 'app', 10, '-91 days');
  await addGrant('ann', null, 9);
  await rows.query('begin; lock table "grant" in share mode');
  expect(await sweep()).not.toHaveProperty('cutoff');
  expect(lines.join('')).toContain('sweep_of_table_failed');
  await rows.query('commit');
  expect([await count('cutoff'), await count('"grant"')]).toEqual([1, 1]);
  expect(await sweep()).toMatchObject({ grant: 1, cutoff: 1 });
});

describe('a fact', () => {
  test('goes when it has expired, the newest stays for ever', async () => {
    for (const seq of [1, 2, 3]) {
      await rows.query(
        `insert into fact (seq, kind, target, created_at, expires_at)
         values ($1, 'chain', 'x', now() - interval '2 days', now() + $2::interval)`,
        [seq, seq === 2 ? '1 hour' : '-1 hour'],
      );
    }
    await sweep();
    const left = await rows.query('select seq from fact order by seq');
    expect(left.rows).toEqual([{ seq: '2' }, { seq: '3' }]);
  });
});

test('expired flow references and keys go, others stay', async () => {
  for (const offset of ['-1 minute', '1 hour']) {
    await rows.query(
      `insert into flow_reference (id, sealed, created_at, expires_at)
       values ($1, $2, now() - interval '1 day', ${at(offset)})`,
      [randomUUID(), Buffer.alloc(16)],
    );
    await rows.query(
      `insert into key (id, set_name, kid, alg, use, wrapped, active_at, expires_at)
       values ($1, 's', $2, 'a', 'seal', $3, now() - interval '1 day', ${at(offset)})`,
      [randomUUID(), randomUUID(), Buffer.alloc(48)],
    );
  }
  expect(await sweep()).toMatchObject({ flow_reference: 1, key: 1 });
  expect(await count('flow_reference')).toBe(1);
  expect(await count('key')).toBe(1);
});

test('R22: a table of many slices is swept to its end, living rows between stay', async () => {
  await rows.query(
    `insert into chain (id, client_id, subject, grant_id, session_id, online, refreshable, attempt,
       mac_kid, scope, audience, login_born, grant_born, authenticated_at,
       created_at, expires_at, keep_until)
     select gen_random_uuid(), 'app', 'ann', gen_random_uuid(), gen_random_uuid(), false, true,
       gen_random_uuid(), 'k', '{}', '{}', 0, 0, now(), now() - interval '2 days',
       now() + case when n % 7 = 0 then interval '1 day' else interval '-1 day' end,
       now() - interval '1 day'
     from generate_series(1, 2100) n`,
  );
  expect((await sweep())?.chain).toBe(1800);
  expect(await count('chain')).toBe(300);
  expect(await metrics.exposition()).toMatch(/gatehouse_swept_rows_total\{table="chain"\} \d+/);
});

test('one node at a time: while another holds the lock nothing is swept', async () => {
  const other = await openSweepConnection(database.urls.server);
  expect(other).toBeDefined();
  const name = await rows.query(
    `select count(*)::int as n from pg_stat_activity
     where datname = current_database() and application_name = 'gatehouse-sweeper'`,
  );
  expect(name.rows).toEqual([{ n: 1 }]);
  expect(await sweep()).toBeUndefined();
  await other?.close();
  expect(await sweep()).toBeDefined();
});

test('the sweeper runs by itself, and stops when told', async () => {
  await addChain({ revoked: '-1 hour' });
  const options = { url: database.urls.server, log, metrics, intervalSeconds: 0.05 };
  const sweeper = startSweeper(options);
  await expect.poll(() => count('chain')).toBe(0);
  await sweeper.stop();
});

test('a database that is away is a warning, not the end', async () => {
  const url = 'postgres://nobody@127.0.0.1:1/none';
  const sweeper = startSweeper({ url, log, metrics, intervalSeconds: 0.01 });
  await expect.poll(() => lines.join('')).toContain('sweep_failed');
  await sweeper.stop();
});
