import { type Form, rewrites, short } from './form.ts';

const root = 'create table root (like busy including generated) partition by range (id)';
const attach = 'alter table root attach partition busy for values from (-1) to (1000000000)';
const bounds =
  'alter table busy add constraint busy_bounds check (id >= -1 and id < 1000000000) not valid;\n' +
  '-- migrate:commit\nalter table busy validate constraint busy_bounds';
const byDefault = `${root}; alter table root attach partition busy default`;
const another =
  'create table fresh (like busy including generated);\n' +
  'alter table root attach partition fresh for values from (1000000000) to (1000000001)';
const away = 'drop table if exists root';
const detached =
  'do $$ begin if exists (select 1 from pg_inherits where inhrelid = $q$busy$q$::regclass) ' +
  `then alter table root detach partition busy; end if; end $$; ${away}`;

/** Tables as a whole. */
export const tableForms: readonly Form[] = [
  {
    id: 'create-table',
    about: 'create table',
    lock: 'NONE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Nobody knows it yet: in this migration everything may be done with it.',
    example: { sql: 'create table fresh (id bigint primary key, n integer)' },
  },
  {
    id: 'create-table-references',
    about: 'create table with a foreign key to a table that is there',
    lock: 'SHARE ROW EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'The table that it refers to may not be written for the moment that the catalogue takes.',
    example: { sql: 'create table fresh (busy_id bigint references busy (id))' },
  },
  {
    id: 'create-child',
    about: 'create table ... inherits',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes of the parent go on.',
    example: { sql: 'create table fresh (more integer) inherits (busy)' },
  },
  {
    id: 'create-partition',
    about: 'create table ... partition of',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'The parent is locked against everybody for the moment that the catalogue takes.',
    example: {
      before: root,
      sql: 'create table fresh partition of root for values from (0) to (9)',
      after: away,
      on: 'root',
      load: 'reads',
    },
  },
  {
    id: 'create-partition-read',
    about: 'create table ... partition of, where the default partition has no check',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why:
      'Reads every row of the default partition while nobody may read or write it. (Or the ' +
      'migrations do not tell whether there is one.)',
    instead:
      'first add a check to the default partition, `not valid`, that leaves the bounds out, and ' +
      'validate it; drop it afterwards',
    example: {
      before: byDefault,
      sql: 'create table fresh partition of root for values from (1000000000) to (1000000001)',
      after: detached,
    },
  },
  {
    id: 'attach-beside-default',
    about: 'attach partition where the default partition has no check',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Reads every row of the default partition while nobody may read or write it.',
    instead:
      'first add a check to the default partition, `not valid`, that leaves the bounds out, and ' +
      'validate it; drop it afterwards',
    example: { before: byDefault, sql: another, after: detached },
  },
  {
    id: 'change-partition-default',
    about:
      'attach or create a partition where a valid check of the default partition leaves it out; ' +
      'detach',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why:
      'The default partition is locked for a moment. (Of keys of several columns, and of lists, any ' +
      'check that names them is believed.)',
    example: {
      before: `${byDefault};\n${bounds}`,
      sql: another,
      after: `${detached}; alter table busy drop constraint busy_bounds`,
    },
  },
  {
    id: 'attach-partition',
    about:
      'attach partition, without a check of its bounds or an index or key of its parent, by a key ' +
      'that may be null, or by hash',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why:
      'Reads every row of the table, and makes each index and foreign key that its parent has and ' +
      'it lacks, while nobody may read or write it.',
    instead:
      'first give it the indexes (concurrently) and keys of its parent, and checks `not valid` of ' +
      'the bounds and that the key is not null; validate them; drop them afterwards',
    also: { lock: 'SHARE UPDATE EXCLUSIVE', on: 'parent' },
    example: { before: root, sql: attach, after: detached },
    more: [
      {
        before:
          'create table root (like busy including generated) partition by range (p);\n' +
          'alter table busy add constraint busy_bounds check (p >= -1 and p < 1000000000) not valid;\n' +
          '-- migrate:commit\nalter table busy validate constraint busy_bounds',
        sql: attach,
        after: `${detached}; alter table busy drop constraint busy_bounds`,
      },
      {
        before:
          'create table root (like busy including generated) partition by hash (id);\n' +
          'alter table busy add constraint busy_bounds check (id is not null)',
        sql: 'alter table root attach partition busy for values with (modulus 1, remainder 0)',
        after: `${detached}; alter table busy drop constraint busy_bounds`,
      },
      {
        before: `${root}; create index on root (n);\n${bounds}`,
        sql: attach,
        after: `${detached}; alter table busy drop constraint busy_bounds`,
      },
    ],
  },
  {
    id: 'attach-partition-checked',
    about: 'attach partition where a valid check proves its bounds',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why:
      'PostgreSQL believes the check and reads nothing. (Of keys of several columns any check that ' +
      'names them is believed here.)',
    also: { lock: 'SHARE UPDATE EXCLUSIVE', on: 'parent' },
    example: {
      before: `${root};\n${bounds}`,
      sql: attach,
      after: `${detached}; alter table busy drop constraint busy_bounds`,
    },
  },
  {
    id: 'detach-partition',
    about: 'detach partition',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'The release before no longer finds the rows.',
    instead: 'detach it in a contract migration',
    also: { lock: 'ACCESS EXCLUSIVE', on: 'parent' },
    example: {
      before: `${root}; ${attach}`,
      sql: 'alter table root detach partition busy',
      after: detached,
      former: 'select 1 / count(id) from (select id from root limit 1) found',
    },
  },
  {
    id: 'drop-table',
    about: 'drop table',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'The release before still uses it.',
    instead: 'drop it in a contract migration',
    also: { lock: 'ACCESS EXCLUSIVE', on: 'joined by a foreign key, parent' },
    example: { sql: 'drop table busy cascade', former: 'select id from busy limit 1' },
    more: [
      {
        before:
          'alter table busy add constraint added foreign key (p) references other (id) not valid',
        sql: 'drop table busy',
        after: 'alter table busy drop constraint if exists added',
        former: 'select id from busy limit 1',
      },
      {
        before: `${root}; ${attach}`,
        sql: 'drop table busy',
        after: detached,
        second: 'root',
        former: 'select id from busy limit 1',
      },
    ],
  },
  {
    id: 'drop-object',
    about: 'drop view, function, type, sequence, trigger, schema',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'The release before may still use it.',
    instead: 'drop it in a contract migration',
    example: {
      before: 'create view busy_view as select id from busy',
      sql: 'drop view busy_view',
      after: 'drop view if exists busy_view',
      on: 'busy_view',
      former: 'select id from busy_view limit 1',
    },
  },
  {
    id: 'truncate',
    about: 'truncate',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'refused',
    harm: 'loses',
    why: 'All rows are gone at once, and nobody may read or write meanwhile.',
    instead: 'delete in batches',
    example: {
      sql: 'truncate busy',
      former: 'select 1 / count(id) from (select id from busy) one',
    },
  },
  {
    id: 'rename',
    about: 'rename table or column, set schema',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'refused',
    harm: 'breaks',
    why: 'No moment is right: one release knows the old name, the other the new one.',
    instead: 'add the new one, write both, fill the old rows in batches, drop the old one',
    example: {
      sql: 'alter table busy rename column v to renamed',
      former: 'select v from busy limit 1',
    },
  },
  {
    id: 'set-tablespace',
    about: 'set tablespace',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Copies the whole table while nobody may read or write.',
    instead: 'a new table there, filled in batches',
    example: { sql: 'alter table busy set tablespace elsewhere' },
  },
  {
    id: 'set-logged',
    about: 'set logged or unlogged',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: `${rewrites} An unlogged table is empty after a crash.`,
    instead: 'a new table, filled in batches',
    example: { sql: 'alter table busy set unlogged' },
  },
  {
    id: 'set-options',
    about: 'set or reset other storage parameters of a table or an index',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes go on.',
    example: {
      sql: 'alter table busy set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.1)',
    },
  },
  {
    id: 'set-options-exclusive',
    about:
      'set or reset user_catalog_table; of an index buffering, fastupdate, gin_pending_list_limit, ' +
      'pages_per_range, autosummarize',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: short,
    example: { sql: 'alter table busy set (user_catalog_table = true)' },
    more: [
      {
        before:
          "create index busy_words on busy using gin (to_tsvector('simple', w)) where id < 99",
        sql: 'alter index busy_words set (fastupdate = off)',
        after: 'drop index busy_words',
        on: 'busy_words',
      },
    ],
  },
  {
    id: 'set-access-method',
    about: 'set access method',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: rewrites,
    instead: 'a new table with that method, filled in batches',
    example: {
      before: 'create access method other_heap type table handler heap_tableam_handler',
      sql: 'alter table busy set access method other_heap',
      after: 'drop access method other_heap',
    },
  },
  {
    id: 'inherit',
    about: 'inherit',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'The lock keeps everybody out, but only for a moment. Who reads the parent finds its rows.',
    also: { lock: 'SHARE UPDATE EXCLUSIVE', on: 'parent' },
    example: {
      before: 'create table root (v integer)',
      sql: 'alter table busy inherit root',
      after: away,
    },
  },
  {
    id: 'set-table-type',
    about: 'of, not of, set without oids',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: short,
    example: { sql: 'alter table busy set without oids' },
  },
  {
    id: 'disinherit',
    about: 'no inherit',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'Who reads the parent no longer finds the rows.',
    instead: 'do it in a contract migration',
    example: {
      before: 'create table root (v integer); alter table busy inherit root',
      sql: 'alter table busy no inherit root',
      after: 'alter table busy no inherit root; drop table root',
      former: 'select 1 / count(v) from (select v from root limit 1) found',
    },
  },
  {
    id: 'comment',
    about: 'comment on table or column',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes go on.',
    example: { sql: "comment on table busy is 'the one under load'" },
  },
  {
    id: 'lock-table-shared',
    about: 'lock table in a mode in which others write (access share to share update exclusive)',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes go on.',
    example: { sql: 'lock table busy in share update exclusive mode' },
  },
  {
    id: 'lock-table',
    about: 'lock table in a mode in which nobody else writes',
    lock: 'EXCLUSIVE',
    hold: 'until commit',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Whatever else the transaction does, others wait for it.',
    instead: 'say what is to be done; the statement takes the lock that it needs',
    example: { sql: 'lock table busy in exclusive mode' },
  },
];
