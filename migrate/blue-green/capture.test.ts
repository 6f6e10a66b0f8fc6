import { afterEach, expect, it, vi } from 'vitest';
import { query } from '#migrate/testing/databases.ts';
import { asItIs, openTables, type Tables } from '#migrate/testing/tables.ts';

// Whole migrations: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let tables: Tables;
afterEach(() => tables.close());

it('keys are logged as the tool writes them, whatever the session of the writer is set to', async () => {
  const own = `create table measure (f float8, at timestamptz, span daterange, v int,
    primary key (f, at, span))`;
  const tags = {
    target: 'tag',
    key: ['tag'],
    select: `select t.tag, count(*)::int as n from note d cross join unnest(d.tags) t(tag)
       where t.tag is not null group by 1`,
    sources: [
      { table: 'note', columns: ['tags'], keys: 'select unnest(c.tags) as tag from changed c' },
    ],
  };
  const measure = asItIs('measure', ['f', 'at', 'span'], ['v']);
  tables = await openTables(
    {
      blue: `${own}; create table note (id int primary key, tags text[]);
        insert into measure values (0.1::float8 + 0.2, '2026-03-04 05:06Z', '[2026-02-01,2026-03-04)', 0)`,
      green: `${own}; create table tag (tag text primary key, n int)`,
    },
    [measure, tags],
    [measure],
  );
  await tables.runAll('prepare', 'copy', 'follow --once');
  await query(
    tables.blue,
    `set extra_float_digits = 0; set datestyle = 'German'; set timezone = 'Asia/Tokyo';
     update measure set v = 1; insert into note values (1, '{"a b", c}'), (2, '{c, null}')`,
  );
  await tables.run('follow', '--once');
  expect(await query(tables.green, 'select v from measure')).toEqual([{ v: 1 }]);
  expect(await query(tables.green, 'select tag, n from tag order by 1')).toEqual([
    { tag: 'a b', n: 1 },
    { tag: 'c', n: 2 },
  ]);
  expect(await tables.run('verify')).toContain('every check holds');
});

it('a mapping that needs more of a changed row than was captured is refused', async () => {
  const one = asItIs('one', ['id'], ['other', 'v']);
  tables = await openTables(
    {
      blue: 'create table one (id int primary key, other int, v int); insert into one values (1, 7, 0)',
      green: `create table one (id int primary key, other int, v int);
        create table two (other int primary key, v int)`,
    },
    [one],
  );
  const two = {
    target: 'two',
    key: ['other'],
    select: 'select t.other, t.v from one t',
    sources: [{ table: 'one', columns: ['other'] }],
  };
  await tables.run('prepare');
  await tables.remap([one, two], [one]);
  const refusal =
    /public\.one the columns \(id\) are captured, but this mapping needs \(id, other\)/;
  await expect(tables.run('prepare')).rejects.toThrow(refusal);
  await tables.run('copy');
  await query(tables.blue, 'update one set v = 1');
  await expect(tables.run('follow', '--once')).rejects.toThrow(refusal);
  await tables.runAll('abort', 'prepare', 'copy', 'follow --once');
  await query(tables.blue, 'update one set v = 2');
  await tables.run('follow', '--once');
  expect(await query(tables.green, 'select v from two')).toEqual([{ v: 2 }]);
  await query(
    tables.blue,
    `insert into migrate.change (source_table, key, action) values ('public.one', '["1"]', 'u')`,
  );
  await expect(tables.run('follow', '--once')).rejects.toThrow(
    /^public\.one \["1"\]: this change was captured by another mapping/,
  );
});
