/** A rule about how statements stand together, or about what no form covers. */
export interface Rule {
  readonly id: string;
  readonly about: string;
  readonly why: string;
  readonly instead: string;
  /** A migration that it refuses, after one that makes `busy` and `other`. */
  readonly example: string;
}

/** What the linter asks of a migration beyond its forms. */
export const rules: readonly Rule[] = [
  {
    id: 'syntax',
    about: 'PostgreSQL can read it',
    why: 'The grammar of PostgreSQL 18 does not accept the text.',
    instead: 'correct it',
    example: 'create tabel fresh (id bigint)',
  },
  {
    id: 'annotation',
    about: 'annotations are known and needed',
    why: 'An annotation that is misspelt or that excuses nothing misleads whoever reads it.',
    instead: 'write it as the page of annotations says, or remove it',
    example: '-- migrate:alow truncate because the table is empty\ntruncate busy',
  },
  {
    id: 'unknown-statement',
    about: 'the linter knows the statement',
    why: 'No form says what it locks.',
    instead: 'use a known form, or annotate what it locks and why that is harmless',
    example: 'drop owned by somebody',
  },
  {
    id: 'too-new',
    about: 'the oldest PostgreSQL in use knows it',
    why: 'A database that still runs there would refuse it.',
    instead: 'use an older form',
    example: 'alter table busy add column added integer generated always as (n + 1) virtual',
  },
  {
    id: 'transaction-control',
    about: 'no begin, commit, set or reset',
    why: 'The runner begins and ends transactions, and sets the timeouts.',
    instead: '`-- migrate:commit` between the statements',
    example: 'begin; alter table busy add column added integer; commit',
  },
  {
    id: 'not-alone',
    about: 'what runs outside a transaction stands apart',
    why: 'The file would look as if all of it happened or nothing.',
    instead: 'put `-- migrate:commit` before and after it',
    example:
      'alter table busy add column added integer;\n' +
      'create index concurrently if not exists busy_added on busy (added)',
  },
  {
    id: 'not-resumable',
    about: 'what runs outside a transaction may be repeated',
    why: 'Killed between its end and the journal, it runs again.',
    instead: 'give it a name and `if not exists` (or `if exists`)',
    example: 'create index concurrently on busy (p)',
  },
  {
    id: 'detach-concurrently',
    about: 'a partition is detached in one transaction',
    why:
      'Broken off, `detach partition ... concurrently` can neither be run again nor taken back, and ' +
      'its end waits for the partition without a limit.',
    instead: '`detach partition` in a contract migration: its locks are asked for in short turns',
    example: 'alter table busy detach partition other concurrently',
  },
  {
    id: 'several-tables',
    about: 'one transaction keeps writers out of one table',
    why:
      'While it waits for the second table nobody writes to the first; and two that take them in ' +
      'another order deadlock.',
    instead: 'put `-- migrate:commit` between them',
    example:
      'alter table busy add column added integer;\nalter table other add column added integer',
  },
  {
    id: 'slow-under-lock',
    about: 'nothing slow under a lock that keeps writers out',
    why:
      'The lock of the statement before, or of another command of the same `alter table`, is held ' +
      'until the slow one is done.',
    instead: 'make them statements of their own, with `-- migrate:commit` between them',
    example:
      'alter table busy add constraint added check (n >= 0) not valid;\n' +
      'alter table busy validate constraint added',
  },
  {
    id: 'star',
    about: 'columns are named: no `select *`, no `returning *`',
    why: 'The next migration adds a column, and the result has another shape.',
    instead: 'name the columns',
    example: 'create view added as select * from busy',
  },
  {
    id: 'dynamic-sql',
    about: 'no `execute` in a function',
    why: 'What it runs, and which columns it names, does not stand here.',
    instead: 'write the statement out, or annotate what it does',
    example:
      'create function runs(what text) returns void language plpgsql as ' +
      "'begin execute what; end'",
  },
  {
    id: 'batch',
    about: 'batches are bounded by their key',
    why:
      'A batch runs for rows from $1 to $2 of its key, all of them, both ends included, and no ' +
      'others: the bounds are of the key of the table that it names, stand in a `where`, in no `or` ' +
      'or `not`, and nothing else has parameters.',
    instead: '`-- migrate:batch table (key)` above `update ... where key between $1 and $2`',
    example: '-- migrate:batch busy (id)\nupdate busy set v = 1 where v is null',
  },
];
