import type { Form } from './form.ts';

const aside = 'Reads every row, twice, while reads and writes go on.';
const unneeded = '`on conflict` of the release before needs it.';
const upsert =
  'insert into busy (id, p, filled) values (1, 1, 1) on conflict (p) where id < 9 do nothing';

/** Indexes and upkeep of a table that is there. */
export const indexForms: readonly Form[] = [
  {
    id: 'create-index',
    about: 'create index',
    lock: 'SHARE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Reads and sorts every row while nobody may write.',
    instead: '`create index concurrently if not exists name on ...`',
    example: { sql: 'create index added on busy (p)' },
  },
  {
    id: 'create-index-concurrently',
    about: 'create index concurrently',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'scan',
    verdict: 'allowed',
    why: `${aside} It waits for older transactions to end, and nobody waits for it. Broken off, it
leaves an INVALID index, which \`up\` drops and builds again.`.replace('\n', ' '),
    alone: true,
    example: {
      sql: 'create index concurrently if not exists added on busy (p)',
      after: 'drop index if exists added',
    },
  },
  {
    id: 'create-index-concurrently-root',
    about: 'create index concurrently on a partitioned table',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'refused',
    harm: 'fails',
    why: 'PostgreSQL does not do it.',
    instead:
      '`create index name on only ...`, then one `concurrently` on each partition, then ' +
      '`alter index name attach partition ...`',
    alone: true,
    example: {
      before: 'create table root (like busy) partition by range (id)',
      sql: 'create index concurrently if not exists added on root (n)',
      after: 'drop table root',
    },
  },
  {
    id: 'create-index-only',
    about: 'create index on only a partitioned table',
    lock: 'SHARE',
    hold: 'brief',
    verdict: 'allowed',
    why:
      'There is nothing to read. It is INVALID until one of each partition, built concurrently, is ' +
      'attached to it.',
    example: {
      before: 'create table root (like busy) partition by range (id)',
      sql: 'create index added on only root (n)',
      after: 'drop table root',
      on: 'root',
      load: 'reads',
    },
  },
  {
    id: 'attach-index',
    about: 'alter index ... attach partition',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'The index of the partition is locked against everybody for a moment.',
    example: {
      before:
        'create table root (like busy including generated) partition by range (id);\n' +
        'alter table busy add constraint busy_bounds check (id >= -1 and id < 1000000000) not valid;\n' +
        '-- migrate:commit\nalter table busy validate constraint busy_bounds;\n' +
        'alter table root attach partition busy for values from (-1) to (1000000000);\n' +
        'create index added on only root (d)',
      sql: 'alter index added attach partition busy_spare',
      after:
        'alter table root detach partition busy; drop table root; ' +
        'alter table busy drop constraint busy_bounds',
      on: 'busy_spare',
    },
  },
  {
    id: 'drop-index',
    about: 'drop index',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'The lock keeps everybody out for a moment; concurrently it would keep nobody out.',
    example: { sql: 'drop index busy_spare' },
  },
  {
    id: 'drop-index-concurrently',
    about: 'drop index concurrently',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'It waits for older transactions to end, and nobody waits for it.',
    alone: true,
    example: {
      before: 'create index concurrently if not exists added on busy (v)',
      sql: 'drop index concurrently if exists added',
      after: 'drop index if exists added',
    },
  },
  {
    id: 'drop-unique-index',
    about: 'drop index that is unique',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: unneeded,
    instead: 'drop it in a contract migration',
    example: {
      before: 'create unique index concurrently if not exists busy_unique on busy (p) where id < 9',
      sql: 'drop index busy_unique',
      after: 'drop index if exists busy_unique',
      former: upsert,
    },
  },
  {
    id: 'drop-unique-index-concurrently',
    about: 'drop index concurrently that is unique',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: unneeded,
    instead: 'drop it in a contract migration',
    alone: true,
    example: {
      before: 'create unique index concurrently if not exists busy_unique on busy (p) where id < 9',
      sql: 'drop index concurrently if exists busy_unique',
      after: 'drop index if exists busy_unique',
      former: upsert,
    },
  },
  {
    id: 'rename-index',
    about: 'rename index',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'The lock is on the index only.',
    example: { sql: 'alter index busy_spare rename to renamed', on: 'busy_spare' },
  },
  {
    id: 'reindex',
    about: 'reindex',
    lock: 'SHARE',
    hold: 'scan',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Nobody may write to the table, nor read by the index that is built.',
    instead: '`reindex (concurrently)`',
    example: { sql: 'reindex table busy' },
  },
  {
    id: 'reindex-concurrently',
    about: 'reindex concurrently',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'scan',
    verdict: 'allowed',
    why: aside,
    alone: true,
    example: { sql: 'reindex table concurrently busy' },
  },
  {
    id: 'cluster',
    about: 'cluster',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Writes every row anew while nobody may read or write.',
    instead: 'an index that covers what is read, or a new table filled in batches',
    example: { sql: 'cluster busy using busy_pkey' },
  },
  {
    id: 'vacuum-full',
    about: 'vacuum full',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'rewrite',
    verdict: 'refused',
    harm: 'blocks',
    why: 'Writes every row anew while nobody may read or write.',
    instead: 'plain vacuum; to give room back, a tool that copies aside',
    alone: true,
    example: { sql: 'vacuum full busy' },
  },
  {
    id: 'vacuum',
    about: 'vacuum',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'scan',
    verdict: 'allowed',
    why: 'Reads and writes go on. (Truncating empty pages at the end gives way to writers.)',
    alone: true,
    example: { sql: 'vacuum busy' },
  },
  {
    id: 'analyze',
    about: 'analyze',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'scan',
    verdict: 'allowed',
    why: 'Reads a sample while reads and writes go on.',
    example: { sql: 'analyze busy' },
  },
  {
    id: 'create-statistics',
    about: 'create statistics',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes go on; the next analyze fills it.',
    example: { sql: 'create statistics added on n, p from busy' },
  },
];
