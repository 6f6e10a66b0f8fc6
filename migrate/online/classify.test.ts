import { beforeAll, expect, test } from 'vitest';
import { lint, refusals } from './lint.ts';
import { migrationOf } from './migration.ts';
import { refused } from './proof/refused.ts';
import { loadGrammar } from './sql.ts';

beforeAll(loadGrammar);

test('a domain is known in whichever schema, and one over it has its constraint', () => {
  const made =
    'create domain app.even as bigint check (value % 2 = 0);\n' +
    'create domain app.small as app.even; create domain plain as bigint default 7';
  const add = (type: string) =>
    refused(`alter table busy add column added ${type}`, 'expand', made);
  expect(add('app.even')).toEqual(['add-column-domain']);
  expect(add('even')).toEqual(['add-column-domain']);
  expect(add('app.small')).toEqual(['add-column-domain']);
  expect(add('plain')).toEqual([]);
});

test('a default is computed once where what it calls gives every row the same', () => {
  const add = (value: string, before = '') =>
    refused(`alter table busy add column added text default ${value}`, 'expand', before);
  expect(add("date_trunc('day', now())::text")).toEqual([]);
  expect(add('clock_timestamp()::text')).toEqual(['add-column-volatile-default']);
  expect(add("nextval('busy_numbers')")).toEqual(['add-column-volatile-default']);
  expect(add('own()')).toEqual(['add-column-volatile-default']);
  const upper = "create function upper(text) returns text language sql as 'select random()::text'";
  expect(add("upper('x')", upper)).toEqual(['add-column-volatile-default']);
});

test('a type that stays, or that had all digits, is no change of the rows', () => {
  const before = 'alter table busy add column at timestamp, add column price numeric(8)';
  const to = (column: string, type: string) =>
    refused(`alter table busy alter column ${column} type ${type}`, 'expand', before);
  expect(to('n', 'integer')).toEqual([]);
  expect(to('at', 'timestamp(6)')).toEqual([]);
  expect(to('at', 'timestamp(3)')).toEqual(['alter-type']);
  expect(to('price', 'numeric(9, 0)')).toEqual([]);
  expect(to('price', 'numeric(9, 1)')).toEqual(['alter-type']);
});

test('a partition whose parent is unknown, or whose key may be null, is read when it is attached', () => {
  const check = 'create table part (id bigint, check (id >= 0 and id < 9))';
  const attach = 'alter table root attach partition part for values from (0) to (9)';
  const root = (by: string) => `create table root (id bigint) partition by ${by}`;
  const judged = (before: string) => refused(attach, 'expand', before);
  expect(judged(check)).toEqual(['attach-partition']);
  expect(judged(`${root('range (id)')}; ${check}`)).toEqual(['attach-partition']);
  const full = `${check}; alter table part add constraint full_id check (id is not null)`;
  expect(judged(`${root('range (id)')}; ${full}`)).toEqual([]);
  expect(judged(`${root('hash (id)')}; ${full}`)).toEqual(['attach-partition']);
});

test('what has another name is still known by what it is', () => {
  const index =
    'create index i on busy (lower(w)); alter table other add column b bigint references busy';
  const column = `${index}; alter table busy rename column w to word`;
  const widen = (table: string, name: string) =>
    `alter table ${table} alter column ${name} type text`;
  expect(refused(widen('busy', 'word'), 'expand', column)).toEqual(['alter-type-indexed']);
  const table = `${index}; alter table busy rename to calm`;
  expect(refused(widen('calm', 'w'), 'expand', table)).toEqual(['alter-type-indexed']);
  const part =
    'create table root (w varchar(9)) partition by list (w); create table p partition of root default; create index on p (lower(w))';
  expect(refused(widen('root', 'w'), 'expand', part)).toEqual(['alter-type-indexed']);
  const fresh =
    'create table fresh (id bigint);\nalter table fresh rename to final;\ncreate index on final (id)';
  expect(refused(fresh)).toEqual([]);
});

test('a check proves the bounds that it says, and no narrower ones', () => {
  const root = 'create table root (id bigint not null) partition by range (id)';
  const attach = (check: string) =>
    refused(
      'alter table root attach partition part for values from (10) to (20)',
      'expand',
      `${root}; create table part (id bigint not null, check (${check}))`,
    );
  for (const enough of [
    'id >= 10 and id < 20',
    'id between 11 and 19',
    '12 < id and id <= 13',
    'id = 15',
  ]) {
    expect(attach(enough), enough).toEqual([]);
  }
  for (const less of [
    'id >= 10',
    'id >= 10 and id < 21',
    'id between 10 and 20',
    'id > 5 or id < 7',
    'id >= 9 and id < 20',
  ]) {
    expect(attach(less), less).toEqual(['attach-partition']);
  }
  const beside = (check: string) =>
    refused(
      'create table part partition of root for values from (10) to (20)',
      'expand',
      `${root}; create table rest partition of root (check (${check})) default`,
    );
  for (const enough of [
    'id >= 20',
    'id < 10',
    'not (id >= 10 and id < 20)',
    'id < 10 or id >= 20',
  ]) {
    expect(beside(enough), enough).toEqual([]);
  }
  for (const less of ['id > 0', 'id <= 10', 'not (id > 10 and id < 20)', 'id < 12 or id >= 20']) {
    expect(beside(less), less).toEqual(['create-partition-read']);
  }
});

test('what only a newer PostgreSQL knows is refused in a new table as well', () => {
  const judged = (columns: string) =>
    refusals(
      lint([migrationOf('0001_new.expand.sql', `create table t (${columns})`)], {
        oldestPostgres: 15,
      }),
    ).map(({ rule }) => rule);
  expect(judged('a integer, b integer generated always as (a) virtual')).toEqual(['too-new']);
  expect(judged('a integer references t (a) not enforced')).toEqual(['too-new']);
  expect(
    judged('a integer check (a > 0) references t (a), b integer generated always as (a) stored'),
  ).toEqual([]);
});

test('rows whose key is written out are few; what a key refers to, or a query names, is not', () => {
  expect(refused('update busy set v = 1 where id = 7 and n > 2')).toEqual([]);
  expect(refused('update busy set v = 1 where id = 7 or n > 2')).toEqual(['update-whole']);
  expect(refused('update busy set v = 1 where n = 7')).toEqual(['update-whole']);
  expect(refused('delete from busy where id in (select id from other)')).toEqual(['update-whole']);
  const key = 'create table child (id bigint references busy (id) on delete cascade)';
  expect(refused('delete from busy where id = 7', 'expand', key)).toEqual(['update-whole']);
  expect(refused('update busy set v = 1 where id = 7', 'expand', key)).toEqual([]);
  expect(refused('update busy set id = 1 where id = 7', 'expand', key)).toEqual(['update-whole']);
  const slow = 'update busy set v = 1 where id = 7;\ninsert into other select id from busy';
  expect(refused(slow)).toEqual(['slow-under-lock']);
});

test('a partition is made beside a default one only where that has a check', () => {
  const root = 'create table root (id bigint) partition by range (id)';
  const rest = 'create table rest partition of root default';
  const make = 'create table part partition of root for values from (0) to (9)';
  const check = 'alter table rest add constraint c check (id >= 9)';
  expect(refused(make, 'expand', root)).toEqual([]);
  expect(refused(make, 'expand', `${root}; ${rest}`)).toEqual(['create-partition-read']);
  expect(refused(make, 'expand', `${root}; ${rest}; ${check}`)).toEqual([]);
  expect(refused(make)).toEqual(['create-partition-read']);
});

test('an index on only a partitioned table reads nothing, on any other it reads all', () => {
  const root = 'create table root (id bigint) partition by range (id)';
  expect(refused('create index on only root (id)', 'expand', root)).toEqual([]);
  expect(refused('create index on root (id)', 'expand', root)).toEqual(['create-index']);
  expect(refused('create index on only busy (p)')).toEqual(['create-index']);
});

test('what is no table, and modes of lock table in which others write, keep nobody waiting', () => {
  const harmless = [
    'create role plain; grant plain to current_user; alter role plain set work_mem = 99',
    'create aggregate best (integer) (sfunc = int4larger, stype = integer)',
    'create operator === (leftarg = integer, rightarg = integer, function = int4eq)',
    'alter default privileges grant select on tables to public',
    'create server far foreign data wrapper w; create user mapping for public server far',
    'alter function f() owner to current_user; alter schema public owner to current_user',
    'alter view v set (security_barrier = true); alter index busy_spare set (fillfactor = 70)',
    'lock table busy in access share mode; lock table busy in row exclusive mode',
    'merge into other o using busy b on b.id = o.id when not matched then insert (id) values (b.id)',
    'alter table busy add column a integer check (a > 0) not enforced',
    'delete from busy where id = any(array[7, 8]); alter table busy not of',
    'alter trigger t on busy rename to u; alter policy p on busy using (true)',
  ];
  for (const sql of harmless) expect(refused(sql), sql).toEqual([]);
  expect(refused('lock table busy in share mode')).toEqual(['lock-table']);
  expect(refused('lock table busy')).toEqual(['lock-table']);
});
