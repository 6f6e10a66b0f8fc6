import pg from 'pg';
import { expect, test } from 'vitest';
import type { Notice } from './notice.ts';
import { base, column, lockKey, schemaOfEach } from './proof/schema-of-each.ts';
import { joinRelease } from './releases.ts';
import { status, up } from './runner.ts';

const own = schemaOfEach();
const { connect, options } = own;

test('a table that somebody holds for long is not even asked for, and who holds it is told', async () => {
  await up(options(base));
  const holder = await connect(own.url(), 'nightly-report');
  await holder.query('begin; select id from item limit 1');
  const writer = await connect(own.url());
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
  const asked = await own.admin().query(
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
  const holder = await connect(own.url(), 'nightly-report');
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
  const holder = await connect(own.url(), 'nightly-report');
  await holder.query('begin; select id from item limit 1');
  await expect(up(options(column))).rejects.toThrow(/5 times.*nightly-report/s);
  await holder.query('commit');
  const { rows } = await own.admin().query(
    `select 1 from information_schema.columns
     where table_schema = '${own.schema()}' and column_name = 'more'`,
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
  const client = await connect(own.url());
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
  const client = await connect(own.url());
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
  const leader = await connect(own.url());
  await leader.query('select pg_advisory_lock(5)');
  const standby = (await connect(own.url())).query('select pg_advisory_lock(5)');
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
  const client = await connect(own.url());
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
  const client = await connect(own.url());
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
  const foreign = new pg.Client({ connectionString: own.superuserUrl() });
  await foreign.connect();
  await foreign.query(`alter table ${own.schema()}.item owner to current_user`);
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
  await (await connect(own.url())).query(`update item set note = 'same' where id < 3`);
  await expect(up(options(files))).rejects.toThrow(/could not create unique index/);
  await (await connect(own.url())).query('update item set note = id::text');
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
  const hurried = new URL(own.url());
  const settings = [
    'statement_timeout=200',
    'transaction_timeout=200',
    'idle_in_transaction_session_timeout=1',
    'default_transaction_read_only=on',
    'default_transaction_isolation=serializable',
  ];
  const given = settings.map((setting) => ` -c${setting}`).join('');
  hurried.searchParams.set('options', `-csearch_path=${own.schema()}${given}`);
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
  const holder = await connect(own.url(), 'nightly-report');
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
  const holder = await connect(own.url(), 'nightly-report');
  await holder.query('begin; select id from item limit 1');
  const full =
    '-- migrate:allow vacuum-full because the table has a thousand rows\nvacuum full item';
  const told: Notice[] = [];
  const running = up(options({ ...base, '0002_full.expand.sql': full }, told)).then(
    () => 'done',
    (error: unknown) => error,
  );
  await expect.poll(() => told.find(({ kind }) => kind === 'blocked')).toBeDefined();
  const writer = await connect(own.url());
  await writer.query("set statement_timeout = 2000; update item set note = '' where id = 1");
  await holder.query('commit');
  expect(await running).toBe('done');
});

test('an autovacuum that does not give way is asked once, not at every attempt', async () => {
  await up(options(base));
  const superuser = await connect(own.superuserUrl());
  await superuser.query(`set search_path = ${own.schema()}`);
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
    const stubborn = new URL(own.superuserUrl());
    stubborn.searchParams.set('options', `-csearch_path=${own.schema()} -cdeadlock_timeout=60s`);
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

test('one runner works at a time; the others are told who it is, and give up in the end', async () => {
  const holder = await connect(own.url(), 'another-runner');
  await holder.query('select pg_advisory_lock($1::bigint)', [lockKey]);
  const told: Notice[] = [];
  const patient = options(base, told);
  await expect(up({ ...patient, limits: { turnMsMax: 1_500 } })).rejects.toThrow(/another-runner/);
  expect(told[0]?.sentence).toMatch(/waiting for another migration: pid \d+ \(another-runner/);
  await holder.end();
  await up(options(base));
});

test('batches by a key that may be null, that no index has or that many rows have are refused before the first', async () => {
  const by = (key: string) => ({
    ...base,
    '0002_key.expand.sql': 'create unique index concurrently if not exists u on item (note);',
    '0003_fill.backfill.sql': `-- migrate:batch item (${key})\nupdate item set label = 'x' where ${key} between $1 and $2;`,
  });
  await expect(up(options(by('note')))).rejects.toThrow(/note of item may be null/);
  await expect(up(options(by('label')))).rejects.toThrow(/no index of item begins with label/);
  await (await connect(own.url())).query('create index on item (label)');
  await expect(up(options(by('label')))).rejects.toThrow(/\(label\) of item is not unique/);
  const { rows } = await (await connect(own.url())).query(`select 1 from item where label = 'x'`);
  expect(rows).toEqual([]);
});

test('a journal of an earlier release is brought up to date in short turns: no node waits behind it', async () => {
  await up(options(base));
  const dump = await connect(own.url(), 'nightly-dump');
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
  const node = await connect(own.url(), 'node');
  await node.query('set statement_timeout = 2000');
  await joinRelease(node, lockKey, 1);
  await node.end();
  await dump.query('commit');
  expect(await running).toBe('done');
});

test('who holds what only one may have is told, although no writer waits for it', async () => {
  const check = 'alter table item add constraint c check (id > 0) not valid;';
  await up(options({ ...base, '0002_check.expand.sql': check }));
  const holder = await connect(own.url(), 'nightly-vacuum');
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
