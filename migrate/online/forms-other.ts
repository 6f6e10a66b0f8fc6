import type { Form } from './form.ts';

const locks =
  'create function waits() returns bigint language plpgsql as ' +
  "'begin lock table public.busy in exclusive mode; perform pg_sleep(1); return -1; end'";
const gone = 'drop function if exists waits()';

/** Everything beside tables, and rows. */
export const otherForms: readonly Form[] = [
  {
    id: 'create-trigger',
    about: 'create trigger',
    lock: 'SHARE ROW EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Nobody may write for a moment. From then on its function is part of every write.',
    example: {
      before:
        'create function nothing() returns trigger language plpgsql as ' +
        "'begin return new; end'",
      sql: 'create trigger added before update on busy for each row execute function nothing()',
      after: 'drop function if exists nothing() cascade',
    },
  },
  {
    id: 'create-rule',
    about: 'create, enable or disable rule',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'refused',
    harm: 'breaks',
    why: 'Statements of the release before come to mean something else.',
    instead: 'a trigger',
    example: {
      sql: 'create rule added as on update to busy do instead nothing',
      former: 'with done as (update busy set v = 1 where id = 1 returning id) select id from done',
    },
  },
  {
    id: 'create-view',
    about: 'create view',
    lock: 'ACCESS SHARE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes of its tables go on.',
    example: { sql: 'create view added as select id, n from busy' },
  },
  {
    id: 'replace-view',
    about: 'create or replace view',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Who reads the view waits for a moment. PostgreSQL lets it gain columns only.',
    example: {
      before: 'create view busy_view as select id from busy',
      sql: 'create or replace view busy_view as select id, n from busy',
      after: 'drop view if exists busy_view',
      on: 'busy_view',
    },
  },
  {
    id: 'create-materialized-view',
    about: 'create materialized view, create table as',
    lock: 'ACCESS SHARE',
    hold: 'scan',
    verdict: 'allowed',
    why: 'Reads and writes of its tables go on. What is written meanwhile is not in it.',
    example: { sql: 'create materialized view added as select id, n from busy' },
  },
  {
    id: 'refresh',
    about: 'refresh materialized view',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Nobody may read the view until it is made anew.',
    instead: '`refresh materialized view concurrently`, which needs a unique index on it',
    example: {
      before: 'create materialized view busy_copy as select id, n, p, t from busy',
      sql: 'refresh materialized view busy_copy',
      after: 'drop materialized view busy_copy',
      on: 'busy_copy',
      load: 'reads',
    },
  },
  {
    id: 'refresh-concurrently',
    about: 'refresh materialized view concurrently',
    lock: 'EXCLUSIVE',
    hold: 'scan',
    verdict: 'allowed',
    why: 'The view is read meanwhile; nobody else can refresh it.',
    example: {
      before:
        'create materialized view busy_copy as select id, n from busy where id <= 20000;\n' +
        '-- migrate:commit\ncreate unique index added on busy_copy (id)',
      sql: 'refresh materialized view concurrently busy_copy',
      after: 'drop materialized view busy_copy',
      on: 'busy_copy',
      load: 'reads',
    },
  },
  {
    id: 'create-object',
    about:
      'create function, type, domain, sequence, schema, extension, role and whatever else is no ' +
      'table; alter them; grant',
    lock: 'NONE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'No table is locked.',
    example: { sql: "create type added as enum ('one', 'two')" },
  },
  {
    id: 'alter-sequence',
    about: 'alter sequence',
    lock: 'SHARE ROW EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Who draws a number waits for a moment. The lock is on the sequence only.',
    example: {
      sql: 'alter sequence busy_numbers increment 2',
      on: 'busy_numbers',
      load: 'numbers',
    },
  },
  {
    id: 'enum-add-value',
    about: 'alter type ... add value',
    lock: 'NONE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'No table is locked. The value can be used after the commit only.',
    example: {
      before: "create type kind as enum ('one')",
      sql: "alter type kind add value if not exists 'two'",
      after: 'drop type kind',
    },
  },
  {
    id: 'insert',
    about: 'insert of values',
    lock: 'ROW EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes go on.',
    example: { sql: 'insert into busy (id, filled) values (-1, 0)' },
  },
  {
    id: 'insert-select',
    about: 'insert ... select',
    lock: 'ROW EXCLUSIVE',
    hold: 'scan',
    verdict: 'allowed',
    why: 'Reads and writes go on. Many rows belong into batches, so that it can be broken off.',
    example: { sql: 'insert into busy (id, filled) select -id, 0 from busy where id <= 1000' },
  },
  {
    id: 'insert-select-references',
    about: 'insert ... select into a table with a foreign key',
    lock: 'ROW EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Every row that it refers to is locked until it is done: nobody may delete one.',
    instead: 'batches by primary key: `-- migrate:batch table (key)`',
    also: { lock: 'ROW SHARE', on: 'referenced' },
    example: {
      before: 'create table child (id bigint, busy_id bigint references busy (id))',
      sql: 'insert into child (id, busy_id) select id, id from busy where id <= 40000',
      after: 'drop table child',
      on: 'child',
      second: 'busy',
      load: 'deletes',
    },
  },
  {
    id: 'update-whole',
    about: 'update, delete or merge that is not in batches, also within another statement',
    lock: 'ROW EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Locks every row that it touches until it is done, and undoes all of it when it fails.',
    instead: 'batches by primary key: `-- migrate:batch table (key)`',
    example: { sql: 'update busy set v = 1 where id <= 40000' },
    more: [
      {
        sql:
          'with done as (update busy set v = 1 where id <= 40000 returning id) ' +
          'select count(id) from done',
      },
      {
        sql:
          'with gone as (delete from busy where id <= 40000 returning id) ' +
          'insert into other (id) select -id from gone',
      },
      {
        sql:
          'create table added as with done as (update busy set v = 1 where id <= 40000 returning id) ' +
          'select id from done',
      },
      {
        sql:
          'merge into busy b using other o on b.id = o.id and b.id <= 40000 ' +
          'when matched then update set v = 1',
      },
      {
        sql:
          'insert into busy (id, filled) select id, 0 from busy where id <= 40000 ' +
          'on conflict (id) do update set v = 1',
      },
    ],
  },
  {
    id: 'update-rows',
    about: 'update or delete of rows whose key is written out, of a table that no key refers to',
    lock: 'ROW EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Those rows are locked until the transaction ends: nothing slow comes after it.',
    example: { sql: 'update busy set v = 1 where id in (7, 8)' },
    more: [{ sql: 'delete from busy where id = 7' }],
  },
  {
    id: 'update-batch',
    about: 'update or delete in batches of a few rows by key',
    lock: 'ROW EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'A batch locks its rows for a moment, and its size follows the time that one takes.',
    example: {
      sql:
        '-- migrate:batch busy (id) rows 500\n' +
        'update busy set t = lower(t) where id between $1 and $2',
    },
  },
  {
    id: 'select',
    about: 'select of what only computes, and of setval and nextval',
    lock: 'NONE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'It says what it does.',
    example: { sql: "select setval('busy_numbers', 1000)" },
  },
  {
    id: 'select-rows',
    about: 'select of rows',
    lock: 'ACCESS SHARE',
    hold: 'scan',
    verdict: 'allowed',
    why: 'Reads and writes go on.',
    example: { sql: "select setval('busy_numbers', (select max(filled) from busy))" },
  },
  {
    id: 'select-for-update',
    about: 'select ... for update, for share',
    lock: 'ROW SHARE',
    hold: 'until commit',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Who writes those rows waits until the transaction ends.',
    instead: 'leave the locking out, or do it in batches: `-- migrate:batch table (key)`',
    example: { sql: 'select id from busy where id <= 40000 for update' },
  },
  {
    id: 'select-call',
    about: 'a call of what may do anything, wherever it stands; execute',
    lock: 'EXCLUSIVE',
    hold: 'until commit',
    verdict: 'refused',
    harm: 'unjudged',
    why: 'What a function locks does not stand here. (In the proof one locks the table.)',
    instead: 'write the statements here, or annotate what the function does',
    example: {
      before: locks,
      sql: 'select waits()',
      after: gone,
    },
    more: [
      { before: locks, sql: 'insert into other (id) values (waits())', after: gone },
      { before: locks, sql: 'create materialized view added as select waits() as n', after: gone },
    ],
  },
  {
    id: 'do-block',
    about: 'do',
    lock: 'EXCLUSIVE',
    hold: 'until commit',
    verdict: 'refused',
    harm: 'unjudged',
    why: 'Code can run any statement. (In the proof it locks the table.)',
    instead: 'write the statements here, or annotate what the block does',
    example: {
      sql: "do 'begin lock table busy in exclusive mode; perform pg_sleep(1); end'",
    },
  },
];
