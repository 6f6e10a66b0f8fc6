import { builds, type Form, rewrites, scans, short } from './form.ts';

/** Columns of a table that is there. */
export const columnForms: readonly Form[] = [
  {
    id: 'add-column',
    about: 'add column, nullable or with a constant default',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: short,
    example: { sql: 'alter table busy add column added integer not null default 7' },
    more: [
      { sql: "alter table busy add column added timestamp default (now() at time zone 'utc')" },
      { sql: "alter table busy add column added text not null default upper('new')" },
    ],
  },
  {
    id: 'add-column-volatile-default',
    about: 'add column with a default that is computed per row',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: rewrites,
    instead: 'add the column without a default, set the default, fill the old rows in batches',
    example: { sql: 'alter table busy add column added uuid default gen_random_uuid()' },
  },
  {
    id: 'add-column-identity',
    about: 'add column as serial or identity',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: rewrites,
    instead:
      'add the column without a default, create a sequence, set nextval as the default, fill the ' +
      'old rows in batches',
    example: { sql: 'alter table busy add column added bigint generated always as identity' },
  },
  {
    id: 'add-column-stored',
    about: 'add column generated always as (...) stored',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: rewrites,
    instead: 'an ordinary column that the application or a trigger fills, old rows in batches',
    example: {
      sql: 'alter table busy add column added integer generated always as (n + 1) stored',
    },
  },
  {
    id: 'add-column-virtual',
    about: 'add column generated always as (...) virtual',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: short,
    since: 18,
    example: {
      sql: 'alter table busy add column added integer generated always as (n + 1) virtual',
    },
  },
  {
    id: 'add-column-domain',
    about: 'add column of a domain with a constraint',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: rewrites,
    instead: 'add the column with the type beneath, and a check `not valid`',
    example: { sql: 'alter table busy add column added positive' },
  },
  {
    id: 'add-column-not-null',
    about: 'add column not null without a default',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'fails',
    why: 'The old rows would have null: it fails on every table that has rows.',
    instead: 'give a constant default, or add it nullable, fill it, then set not null',
    example: { sql: 'alter table busy add column added integer not null' },
    more: [
      { sql: 'alter table busy add column added bigint not null references other (id)' },
      { sql: 'alter table busy add column added integer not null default null' },
    ],
  },
  {
    id: 'add-column-check',
    about: 'add column with a check, or virtual and not null',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: scans,
    instead: 'add the column, then the check as a constraint `not valid`, then validate it',
    example: { sql: 'alter table busy add column added integer default 1 check (added > 0)' },
  },
  {
    id: 'add-column-unique',
    about: 'add column with unique or primary key',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: builds,
    instead:
      'add the column, create a unique index concurrently, then `add constraint ... unique using index`',
    example: { sql: 'alter table busy add column added integer unique' },
  },
  {
    id: 'add-column-references',
    about: 'add column with a foreign key, nullable and without a default',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'All its values are null: there is nothing to check. It locks two tables, in one moment.',
    also: { lock: 'SHARE ROW EXCLUSIVE', on: 'referenced' },
    example: { sql: 'alter table busy add column added bigint references other (id)' },
  },
  {
    id: 'drop-column',
    about: 'drop column',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'Statements of the release before still name the column.',
    instead: 'drop it in a contract migration, when no release that runs names it',
    also: { lock: 'ACCESS EXCLUSIVE', on: 'joined by a foreign key' },
    example: { sql: 'alter table busy drop column v', former: 'select v from busy limit 1' },
    more: [
      {
        before:
          'alter table busy add constraint added foreign key (p) references other (id) not valid',
        sql: 'alter table busy drop column p',
        after: 'alter table busy drop constraint if exists added',
        former: 'select p from busy limit 1',
      },
    ],
  },
  {
    id: 'alter-type',
    about: 'alter column type, with other bytes in the row',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: `${rewrites} (Or the earlier migrations do not tell the type it has.)`,
    instead: 'add a column of the new type, write both, fill the old rows in batches, then read it',
    also: { lock: 'ACCESS EXCLUSIVE', on: 'joined by a foreign key' },
    example: { sql: 'alter table busy alter column n type bigint' },
  },
  {
    id: 'alter-type-wider',
    about: 'alter column type to one that reads the same bytes',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why:
      'varchar(n) to a longer varchar or text, text to varchar, numeric(p, s) to more digits of ' +
      'the same scale, timestamp and interval to more precision, cidr to inet.',
    also: { lock: 'ACCESS EXCLUSIVE', on: 'joined by a foreign key' },
    example: { sql: 'alter table busy alter column w type varchar(80)' },
    more: [
      {
        before:
          'create table words (w varchar(40) primary key);\n' +
          'alter table busy add constraint added foreign key (w) references words (w) not valid',
        sql: 'alter table busy alter column w type varchar(80)',
        after: 'alter table busy drop constraint added; drop table words',
        second: 'words',
      },
      {
        before: 'create index concurrently if not exists busy_plain on busy (w)',
        sql: 'alter table busy alter column w type text',
        after: 'drop index busy_plain',
      },
      { sql: 'alter table busy alter column w type varchar(80) using w::varchar(80)' },
    ],
  },
  {
    id: 'alter-type-indexed',
    about:
      'alter column type where an index has an expression or a condition, or another collation',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why:
      'The rows stay as they are, but PostgreSQL builds every such index that names the column ' +
      'anew, and with another collation every index of it.',
    instead: 'drop the index concurrently, alter the type, create the index concurrently',
    also: { lock: 'ACCESS EXCLUSIVE', on: 'joined by a foreign key' },
    example: {
      before: 'create index concurrently if not exists busy_length on busy (length(w))',
      sql: 'alter table busy alter column w type varchar(80)',
      after: 'drop index busy_length',
    },
    more: [
      {
        before: 'create index concurrently if not exists busy_some on busy (n) where w is null',
        sql: 'alter table busy alter column w type text',
        after: 'drop index busy_some',
      },
      {
        before: 'create index concurrently if not exists busy_t on busy (t)',
        sql: 'alter table busy alter column t type text collate "C"',
        after: 'drop index busy_t',
      },
    ],
  },
  {
    id: 'alter-type-checked',
    about: 'alter column type where a check names the column',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: 'The rows stay as they are, but every check on the column is made anew and reads them all.',
    instead: 'drop the check, alter the type, add the check `not valid`, validate it',
    also: { lock: 'ACCESS EXCLUSIVE', on: 'joined by a foreign key' },
    example: {
      before: "alter table busy add constraint busy_w check (w <> 'never')",
      sql: 'alter table busy alter column w type varchar(80)',
      after: 'alter table busy drop constraint busy_w',
    },
  },
  {
    id: 'set-not-null',
    about: 'set not null',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: scans,
    instead:
      'add a check (column is not null) `not valid`, validate it in another transaction, set not ' +
      'null, drop the check',
    example: { sql: 'alter table busy alter column filled set not null' },
    more: [
      {
        before:
          'alter table busy add constraint busy_filled check (coalesce(filled, 0) is not null) ' +
          'not valid;\n-- migrate:commit\nalter table busy validate constraint busy_filled',
        sql: 'alter table busy alter column filled set not null',
        after: 'alter table busy drop constraint busy_filled',
      },
    ],
  },
  {
    id: 'set-not-null-checked',
    about: 'set not null where a valid check (column is not null) proves it',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'PostgreSQL believes the check and reads nothing.',
    example: {
      before:
        'alter table busy add constraint busy_filled check (filled is not null) not valid;\n' +
        '-- migrate:commit\nalter table busy validate constraint busy_filled',
      sql: 'alter table busy alter column filled set not null',
      after: 'alter table busy drop constraint busy_filled',
    },
  },
  {
    id: 'drop-not-null',
    about: 'drop not null',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: `${short} Release N must be able to read null before release N + 1 writes one.`,
    example: { sql: 'alter table busy alter column n drop not null' },
  },
  {
    id: 'set-statistics',
    about: 'set statistics or options of a column, cluster on, set without cluster',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes go on.',
    example: { sql: 'alter table busy alter column v set statistics 500' },
    more: [
      { sql: 'alter table busy cluster on busy_pkey' },
      { sql: 'alter table busy set without cluster' },
    ],
  },
  {
    id: 'set-storage',
    about: 'set storage or compression of a column',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: `${short} It holds for rows written afterwards.`,
    example: { sql: 'alter table busy alter column t set storage external' },
  },
];
