import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { migrationOf } from './migration.ts';
import type { Notice } from './notice.ts';
import { joinRelease, runningReleases } from './releases.ts';
import { down, type OnlineOptions, status, up } from './runner.ts';

const lockKey = 73;
let database: TestDatabase;
let admin: pg.Client;
let url = '';
const schemas = { count: 0 };
const opened: pg.Client[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  admin = await connect(database.urls.owner);
});
afterAll(async () => {
  for (const client of opened) await client.end().catch(() => {});
  await database.close();
});
/** A schema of its own per test is as good as a database: everything goes by the search path. */
beforeEach(async () => {
  schemas.count += 1;
  await admin.query(`create schema s${schemas.count}`);
  const own = new URL(database.urls.owner);
  own.searchParams.set('options', `-csearch_path=s${schemas.count}`);
  url = own.href;
});

async function connect(at: string, name = 'somebody'): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: at, application_name: name });
  client.on('error', () => {});
  await client.connect();
  opened.push(client);
  return client;
}

function options(files: Readonly<Record<string, string>>, told: Notice[] = []): OnlineOptions {
  return {
    url,
    migrations: Object.entries(files).map(([name, sql]) => migrationOf(name, sql)),
    applicationName: 'migrate-test',
    lockKey,
    limits: { lockMsMax: 200, backoffMsMin: 50, backoffMsMax: 200, attemptsMax: 5, batchRest: 0 },
    tell: (notice) => told.push(notice),
  };
}

const base = {
  '0001_base.expand.sql':
    'create table item (id integer primary key, label text not null, note text);\n' +
    "insert into item (id, label) select n, 'Item ' || n from generate_series(1, 1000) n;",
};
const column = { ...base, '0002_more.expand.sql': 'alter table item add column more integer;' };

test('a table that somebody holds for long is not even asked for, and who holds it is told', async () => {
  await up(options(base));
  const holder = await connect(url, 'nightly-report');
  await holder.query('begin; select id from item limit 1');
  const writer = await connect(url);
  const waits: number[] = [];
  const told: Notice[] = [];
  const patient = options(column, told);
  const running = up({ ...patient, limits: { ...patient.limits, attemptsMax: 100 } });
  for (let n = 0; n < 20; n += 1) {
    const begun = performance.now();
    await writer.query('update item set note = $1 where id = 1', [String(n)]);
    waits.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await expect.poll(() => told.find(({ kind }) => kind === 'blocked')).toBeDefined();
  const [first] = told.filter(({ kind }) => kind === 'blocked');
  expect(first?.sentence).toMatch(/pid \d+ \(nightly-report, a transaction of \d+ s\) holds item/);
  const asked = await admin.query(
    `select 1 from pg_locks l join pg_stat_activity a on a.pid = l.pid
     where a.application_name = 'migrate-test' and not l.granted`,
  );
  expect(asked.rowCount).toBe(0);
  await holder.query('commit');
  await running;
  expect((await status(options(column))).pending).toEqual([]);
  expect(Math.min(...waits)).toBeLessThan(200);
});

test('of a partitioned table each partition is looked at before any is asked for', async () => {
  const parted = {
    '0001_parted.expand.sql':
      'create table item (id integer primary key, note text) partition by range (id);\n' +
      'create table item_low partition of item for values from (0) to (9);\n' +
      'create table item_high partition of item for values from (9) to (99);',
  };
  await up(options(parted));
  const holder = await connect(url, 'nightly-report');
  await holder.query('begin; select id from item_high');
  const told: Notice[] = [];
  const more = { ...parted, '0002_more.expand.sql': 'alter table item add column more integer;' };
  await expect(up(options(more, told))).rejects.toThrow(/nightly-report.*holds item_high/);
  const blocking = told.flatMap(({ kind, data }) => (kind === 'blocked' ? [data.blocking] : []));
  expect(blocking[0]).toMatchObject([{ relation: 'item_high' }]);
  const part = 'create table item_top partition of item for values from (99) to (999);';
  await up(options({ ...parted, '0002_top.expand.sql': part }));
  await holder.query('commit');
});

test('a table that stays busy is given up after a bounded number of attempts, and nothing is left', async () => {
  await up(options(base));
  const holder = await connect(url, 'nightly-report');
  await holder.query('begin; select id from item limit 1');
  await expect(up(options(column))).rejects.toThrow(/5 times.*nightly-report/s);
  await holder.query('commit');
  const { rows } = await admin.query(
    `select 1 from information_schema.columns
     where table_schema = 's${schemas.count}' and column_name = 'more'`,
  );
  expect(rows).toEqual([]);
  await up(options(column));
});

test('what the linter refuses is not run, and nothing before it in the file either', async () => {
  await up(options(base));
  const bad = {
    ...base,
    '0002_bad.expand.sql':
      'alter table item add column more integer;\n-- migrate:commit\ncreate index bad on item (label);',
  };
  await expect(up(options(bad))).rejects.toThrow(/line 3: \[create-index\].*concurrently/s);
  expect((await status(options(bad))).underWay).toEqual([]);
});

test('batches go through every row once, in order of the key, and tell how far they are', async () => {
  const told: Notice[] = [];
  const filled = {
    ...base,
    '0002_fill.backfill.sql':
      '-- migrate:batch item (id) rows 7\n' +
      "update item set note = coalesce(note, '') || 'x' where id between $1 and $2;",
  };
  await up(options(filled, told));
  const client = await connect(url);
  const { rows } = await client.query('select note, count(1)::int as n from item group by note');
  expect(rows).toEqual([{ note: 'x', n: 1000 }]);
  const journal = await client.query('select cursor, rows_done::int as rows from schema_step');
  expect(journal.rows).toContainEqual({ cursor: ['1000'], rows: 1000 });
});

test('a backfill that a row refuses says where, and goes on there with the corrected file', async () => {
  const fill = (by: string, value: string) => ({
    ...base,
    '0002_more.expand.sql': 'alter table item add column more integer;',
    '0003_fill.backfill.sql':
      `-- migrate:batch item (${by}) rows 100\n` +
      `update item set more = ${value} where ${by} between $1 and $2;`,
  });
  await up(options(base));
  const client = await connect(url);
  await client.query(`update item set label = 'none' where id = 950`);
  const told: Notice[] = [];
  const number = `replace(label, 'Item ', '')::integer`;
  await expect(up(options(fill('id', number), told))).rejects.toThrow(
    /0003_fill \(backfill\), step 1, line 2: invalid input syntax.*"none"/,
  );
  expect(told.at(-1)?.sentence).toMatch(
    /refused within the \d+ rows of item whose \(id\) is \(\d+\) to \(\d+\)/,
  );
  const { rows: done } = await client.query('select count(more)::int as n from item');
  expect(done[0].n).toBeGreaterThan(0);
  await expect(up(options(fill('label', number)))).rejects.toThrow(
    /Step 1 of migration.*was changed/,
  );
  const again: Notice[] = [];
  await up(options(fill('id', `nullif(replace(label, 'Item ', ''), 'none')::integer`), again));
  expect(again[0]?.sentence).toContain(`the ${done[0].n} rows that are done stay as they are`);
  const { rows } = await client.query(
    'select count(more)::int as n, sum(more)::int as s from item',
  );
  expect(rows).toEqual([{ n: 999, s: 500_500 - 950 }]);
});

test('who waits for an advisory lock, to lead or for a job, does not hold a backfill up', async () => {
  const fill =
    '-- migrate:batch item (id)\nupdate item set note = label where id between $1 and $2;';
  await up(options(base));
  const leader = await connect(url);
  await leader.query('select pg_advisory_lock(5)');
  const standby = (await connect(url)).query('select pg_advisory_lock(5)');
  const patient = options({ ...base, '0002_fill.backfill.sql': fill });
  await up({ ...patient, limits: { ...patient.limits, waitersMax: 0 } });
  expect((await status(patient)).pending).toEqual([]);
  await leader.end();
  await standby;
});

test('batches by a key of two columns, and by uuid', async () => {
  const files = {
    '0001_two.expand.sql':
      'create table pair (a text, b integer, n integer not null default 0, primary key (a, b));\n' +
      "insert into pair (a, b) select 'k' || n % 7, n from generate_series(1, 200) n;\n" +
      'create table named (id uuid primary key, n integer not null default 0);\n' +
      'insert into named (id) select gen_random_uuid() from generate_series(1, 100) n;',
    '0002_fill.backfill.sql':
      '-- migrate:batch pair (a, b) rows 9\n' +
      'update pair set n = n + 1 where (a, b) >= ($1, $2) and (a, b) <= ($3, $4);\n' +
      '-- migrate:commit\n-- migrate:batch named (id) rows 9\n' +
      'update named set n = n + 1 where id between $1 and $2;',
  };
  await up(options(files));
  const client = await connect(url);
  const { rows } = await client.query(
    'select (select array_agg(distinct n) from pair) as pair, (select array_agg(distinct n) from named) as named',
  );
  expect(rows).toEqual([{ pair: [1], named: [1] }]);
});

test('a statement that fails leaves its step undone; corrected, it goes on there', async () => {
  const broken = (last: string) => ({
    ...base,
    '0002_more.expand.sql': `alter table item add column more integer;\n-- migrate:commit\n${last};`,
  });
  const wrong = broken('alter table item alter column gone set default 1');
  await expect(up(options(wrong))).rejects.toThrow(
    /0002_more \(expand\), step 2, line 3: column "gone" .* does not exist/,
  );
  expect((await status(options(wrong))).underWay).toMatchObject([{ step: 1, isDone: true }]);
  const changed = broken('alter table item alter column more set default 1');
  const rewritten = { ...changed };
  rewritten['0002_more.expand.sql'] = rewritten['0002_more.expand.sql'].replace(
    'more integer',
    'more bigint',
  );
  await expect(up(options(rewritten))).rejects.toThrow(/Step 1 of migration.*was changed/);
  await up(options(changed));
  expect((await status(options(changed))).pending).toEqual([]);
});

test('whatever PostgreSQL refuses of a statement is told with its line, and a role that may not with what to do', async () => {
  await up(options(base));
  const refusal = (sql: string) =>
    up(
      options({ ...base, '0002_refused.expand.sql': `select 1;\n-- migrate:commit\n${sql};` }),
    ).catch((error) => error);
  const client = await connect(url);
  await client.query(
    `update item set note = (select string_agg(md5(n::text), '') from generate_series(1, 500) n)`,
  );
  const large = `create index concurrently if not exists item_note on item (note)`;
  expect(await refusal(large)).toMatchObject({
    name: 'MigrationRefused',
    message: expect.stringMatching(/step 2, line 3: index row .* bytes/),
  });
  await client.query("create type mood as enum ('ok')");
  const early = `alter type mood add value 'low';\ninsert into item (id, label) values (-1, 'low'::mood::text)`;
  expect(await refusal(early)).toMatchObject({
    name: 'MigrationRefused',
    message: expect.stringMatching(/step 2, line 4: unsafe use of new value/),
  });
  const foreign = new pg.Client({ connectionString: database.urls.superuser });
  await foreign.connect();
  await foreign.query(`alter table s${schemas.count}.item owner to current_user`);
  await foreign.end();
  expect(await refusal('alter table item add column more integer')).toMatchObject({
    message: expect.stringMatching(
      /line 3: must be owner of table item.*Run it as the role that owns/,
    ),
  });
});

test('an index that turns out not to be unique is told as an error, and is built once that is mended', async () => {
  const files = {
    ...base,
    '0002_unique.expand.sql':
      'create unique index concurrently if not exists item_note on item (note);',
  };
  await up(options(base));
  await (await connect(url)).query(`update item set note = 'same' where id < 3`);
  await expect(up(options(files))).rejects.toThrow(/could not create unique index/);
  await (await connect(url)).query('update item set note = id::text');
  const told: Notice[] = [];
  await up(options(files, told));
  expect(told.map(({ kind }) => kind)).toEqual(['rebuild', 'applied']);
});

test('timeouts and defaults that role or database set for the application do not reach a runner', async () => {
  await up(options(base));
  const slow =
    'create function slow(n integer) returns integer language plpgsql immutable as ' +
    "'begin perform pg_sleep(0.0005); return n; end';\n";
  const files = {
    ...base,
    '0002_slow.expand.sql':
      `${slow}-- migrate:commit\n` +
      'create index concurrently if not exists item_slow on item (slow(id));\n' +
      '-- migrate:commit\nalter table item add constraint slow check (slow(id) > 0) not valid;\n' +
      '-- migrate:commit\nalter table item validate constraint slow;',
  };
  const hurried = new URL(url);
  const settings = [
    'statement_timeout=200',
    'transaction_timeout=200',
    'idle_in_transaction_session_timeout=1',
    'default_transaction_read_only=on',
    'default_transaction_isolation=serializable',
  ];
  const given = settings.map((setting) => ` -c${setting}`).join('');
  hurried.searchParams.set('options', `-csearch_path=s${schemas.count}${given}`);
  const told: Notice[] = [];
  await up({ ...options(files, told), url: hurried.href });
  expect(told.map(({ kind }) => kind)).not.toContain('rebuild');
  expect((await status(options(files))).pending).toEqual([]);
});

test('an index that is dropped concurrently says for whom it waits', async () => {
  await up(
    options({
      ...base,
      '0002_i.expand.sql': 'create index concurrently if not exists i on item (note);',
    }),
  );
  const holder = await connect(url, 'nightly-report');
  await holder.query('begin isolation level repeatable read; select id from item limit 1');
  const told: Notice[] = [];
  const files = {
    ...base,
    '0002_i.expand.sql': 'create index concurrently if not exists i on item (note);',
    '0003_gone.expand.sql': 'drop index concurrently if exists i;',
  };
  const running = up(options(files, told));
  await expect
    .poll(() => told.find(({ kind }) => kind === 'index')?.sentence, { timeout: 10_000 })
    .toMatch(/waiting, for pid \d+ \(nightly-report\)/);
  await holder.query('commit');
  await running;
});

test('an excused vacuum full asks in short turns: writers do not wait behind it', async () => {
  await up(options(base));
  const holder = await connect(url, 'nightly-report');
  await holder.query('begin; select id from item limit 1');
  const full =
    '-- migrate:allow vacuum-full because the table has a thousand rows\nvacuum full item';
  const told: Notice[] = [];
  const running = up(options({ ...base, '0002_full.expand.sql': full }, told)).then(
    () => 'done',
    (error: unknown) => error,
  );
  await expect.poll(() => told.find(({ kind }) => kind === 'blocked')).toBeDefined();
  const writer = await connect(url);
  await writer.query("set statement_timeout = 2000; update item set note = '' where id = 1");
  await holder.query('commit');
  expect(await running).toBe('done');
});

test('an autovacuum that does not give way is asked once, not at every attempt', async () => {
  await up(options(base));
  const superuser = await connect(database.urls.superuser);
  await superuser.query(`set search_path = s${schemas.count}`);
  await superuser.query(
    `alter table item set (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
       autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)`,
  );
  await superuser.query("alter system set autovacuum_naptime = '1s'");
  await superuser.query('select pg_reload_conf()');
  try {
    await superuser.query(`update item set note = repeat('note ', 200)`);
    const vacuums = `select 1 from pg_stat_progress_vacuum where relid = 'item'::regclass`;
    await expect
      .poll(async () => (await superuser.query(vacuums)).rowCount, { timeout: 30_000 })
      .toBe(1);
    // Who never looks for a deadlock never takes the table from it, as if it prevented wraparound.
    const stubborn = new URL(database.urls.superuser);
    stubborn.searchParams.set('options', `-csearch_path=s${schemas.count} -cdeadlock_timeout=60s`);
    const given = { ...options(column), url: stubborn.href };
    const begun = performance.now();
    const limits = { ...given.limits, attemptsMax: 6, autovacuumLockMsMax: 1_000 };
    await expect(up({ ...given, limits })).rejects.toThrow(/pid \d+ \(autovacuum.*holds item/);
    expect(performance.now() - begun).toBeLessThan(4_000);
    expect((await superuser.query(vacuums)).rowCount).toBe(1);
    await up(options(column));
  } finally {
    await superuser.query('alter system reset autovacuum_naptime');
    await superuser.query('select pg_reload_conf()');
  }
}, 60_000);

const contract = { ...column, '0003_less.contract.sql': 'alter table item drop column note;' };

test('R8: a contract is refused while a node of an older release runs, and it is named', async () => {
  await up(options(column));
  const node = await connect(url, 'old-node');
  await joinRelease(node, lockKey, 2);
  await expect(up(options(contract))).rejects.toThrow(/old-node, knows up to 2/);
  expect(await runningReleases(admin, lockKey)).toMatchObject([{ number: 2 }]);
  await node.end();
  const newer = await connect(url, 'new-node');
  await joinRelease(newer, lockKey, 3);
  await up(options(contract));
  const late = await connect(url, 'old-node');
  await expect(joinRelease(late, lockKey, 2)).rejects.toThrow(
    /too old for the database: migration less/,
  );
  await expect(status(options(column))).rejects.toThrow(
    /0003_less \(contract\), which this release/,
  );
  await newer.end();
});

test('R8: a contract that was broken off keeps older releases out as one that is done', async () => {
  const half = (first: string) => ({
    ...column,
    '0003_less.contract.sql': `${first}alter table item drop column note;\n-- migrate:commit\nalter table item drop column gone;`,
  });
  await up(options(column));
  const lenient = half('-- migrate:oldest-release 2\n');
  await expect(up(options(lenient))).rejects.toThrow(/column "gone"/);
  const node = await connect(url, 'node');
  await joinRelease(node, lockKey, 2);
  await node.end();
  expect((await status(options(column))).pending).toEqual([]);
  await admin.query(`drop schema s${schemas.count} cascade; create schema s${schemas.count}`);
  await up(options(column));
  await expect(up(options(half('')))).rejects.toThrow(/column "gone"/);
  const late = await connect(url, 'old-node');
  await expect(joinRelease(late, lockKey, 2)).rejects.toThrow(
    /migration 3, which was begun, removes/,
  );
  await expect(status(options(column))).rejects.toThrow(/Migration 3, which this release does not/);
  await joinRelease(late, lockKey, 3);
  await late.end();
  await up(options(contract));
});

test('R8: a contract that names an older release as good enough lets it run, and start again', async () => {
  const lenient = {
    ...column,
    '0003_less.contract.sql': '-- migrate:oldest-release 2\nalter table item drop column note;',
  };
  await up(options(column));
  const node = await connect(url, 'node');
  await joinRelease(node, lockKey, 2);
  await up(options(lenient));
  const again = await connect(url);
  await joinRelease(again, lockKey, 2);
  await again.end();
  expect((await status(options(column))).unknown).toMatchObject([{ number: 3 }]);
  await node.end();
});

const reversible = {
  ...base,
  '0002_more.expand.sql':
    'alter table item add column more integer;\n-- migrate:commit\n' +
    'create index concurrently if not exists item_more on item (more);\n' +
    '-- migrate:down\ndrop index concurrently if exists item_more;\n-- migrate:commit\n' +
    'alter table item drop column more;',
};

test('expand is taken back by its down section, but not while a node needs it, nor a contract', async () => {
  await up(options(reversible));
  const node = await connect(url, 'new-node');
  await joinRelease(node, lockKey, 2);
  await expect(down(options(reversible), 1)).rejects.toThrow(/new-node, knows up to 2/);
  await node.end();
  await down(options(reversible), 1);
  const after = await status(options(reversible));
  expect(after.pending.map(({ number }) => number)).toEqual([2]);
  expect(after.underWay).toEqual([]);
  await up(options(reversible));
  await expect(down(options(reversible), 0)).rejects.toThrow(/0001_base.*has no down section/);
  await up(options(contract)).catch(() => {});
});

test('one runner works at a time; the others are told who it is, and give up in the end', async () => {
  const holder = await connect(url, 'another-runner');
  await holder.query('select pg_advisory_lock($1::bigint)', [lockKey]);
  const told: Notice[] = [];
  const patient = options(base, told);
  await expect(up({ ...patient, limits: { turnMsMax: 1_500 } })).rejects.toThrow(/another-runner/);
  expect(told[0]?.sentence).toMatch(/waiting for another migration: pid \d+ \(another-runner/);
  await holder.end();
  await up(options(base));
});

test('down that was broken off is told, nothing is applied before its end, and no release starts that needs it', async () => {
  const next = { ...reversible, '0003_last.expand.sql': 'alter table item add column last text;' };
  await up(options(reversible));
  const client = await connect(url);
  await client.query('create view needs_more as select more from item');
  await expect(down(options(reversible), 1)).rejects.toThrow(/depend/);
  expect((await status(options(reversible))).underWay).toMatchObject([{ direction: 'down' }]);
  await expect(up(options(next))).rejects.toThrow(/0002_more.*part of what it made.*down to 1/s);
  const node = await connect(url, 'new-node');
  await expect(joinRelease(node, lockKey, 2)).rejects.toThrow(
    /Migration 2, which this release needs/,
  );
  await joinRelease(node, lockKey, 1);
  await node.end();
  await client.query('drop view needs_more');
  await down(options(reversible), 1);
  await up(options(next));
  expect((await status(options(next))).pending).toEqual([]);
});

test('nothing is taken back under a migration that is half done', async () => {
  const half = (last: string) => ({
    ...reversible,
    '0003_half.expand.sql': `create index concurrently if not exists item_pair on item (more, id);\n-- migrate:commit\n${last};\n-- migrate:down\ndrop index concurrently if exists item_pair;`,
  });
  const broken = half('alter table item alter column gone set default 1');
  await expect(up(options(broken))).rejects.toThrow(/column "gone"/);
  await expect(down(options(broken), 1)).rejects.toThrow(/Migration 3 was begun and is not done/);
  const mended = half('alter table item alter column more set default 1');
  await up(options(mended));
  await down(options(mended), 1);
  await up(options(mended));
  const { rows } = await admin.query(
    `select 1 from pg_indexes where schemaname = 's${schemas.count}' and indexname = 'item_pair'`,
  );
  expect(rows).toHaveLength(1);
});

test('batches by a key that may be null, that no index has or that many rows have are refused before the first', async () => {
  const by = (key: string) => ({
    ...base,
    '0002_key.expand.sql': 'create unique index concurrently if not exists u on item (note);',
    '0003_fill.backfill.sql': `-- migrate:batch item (${key})\nupdate item set label = 'x' where ${key} between $1 and $2;`,
  });
  await expect(up(options(by('note')))).rejects.toThrow(/note of item may be null/);
  await expect(up(options(by('label')))).rejects.toThrow(/no index of item begins with label/);
  await (await connect(url)).query('create index on item (label)');
  await expect(up(options(by('label')))).rejects.toThrow(/\(label\) of item is not unique/);
  const { rows } = await (await connect(url)).query(`select 1 from item where label = 'x'`);
  expect(rows).toEqual([]);
});

test('a journal of an earlier release is brought up to date in short turns: no node waits behind it', async () => {
  await up(options(base));
  const dump = await connect(url, 'nightly-dump');
  await dump.query('alter table schema_step drop column oldest_release');
  await dump.query('begin; select number from schema_step');
  const told: Notice[] = [];
  const patient = options(column, told);
  const running = up({ ...patient, limits: { ...patient.limits, attemptsMax: 100 } }).then(
    () => 'done',
    (error: unknown) => error,
  );
  await expect
    .poll(() => told[0]?.sentence)
    .toMatch(/the journal.*nightly-dump.*holds schema_step/);
  const node = await connect(url, 'node');
  await node.query('set statement_timeout = 2000');
  await joinRelease(node, lockKey, 1);
  await node.end();
  await dump.query('commit');
  expect(await running).toBe('done');
});

test('who holds what only one may have is told, although no writer waits for it', async () => {
  const check = 'alter table item add constraint c check (id > 0) not valid;';
  await up(options({ ...base, '0002_check.expand.sql': check }));
  const holder = await connect(url, 'nightly-vacuum');
  await holder.query('begin; lock table item in share update exclusive mode');
  const files = {
    ...base,
    '0002_check.expand.sql': check,
    '0003_valid.expand.sql': 'alter table item validate constraint c;',
  };
  await expect(up(options(files))).rejects.toThrow(/nightly-vacuum.*holds item/s);
  await holder.query('commit');
  await up(options(files));
});
