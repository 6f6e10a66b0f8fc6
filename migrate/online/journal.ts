import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Direction } from './lint.ts';
import { isPhase, type Migration, type Phase } from './migration.ts';
import { inTransaction } from './run-transaction.ts';
import type { Step } from './script.ts';
import type { Session } from './session.ts';

/** A migration that is done. */
export interface Applied {
  readonly number: number;
  readonly name: string;
  readonly phase: Phase;
  readonly checksum: string;
  readonly appliedAt: Date;
  /** A release whose newest migration is older cannot run any more; undefined: it says nothing. */
  readonly oldestRelease: number | undefined;
}

/** How far a step came. */
export interface StepRow {
  readonly number: number;
  readonly direction: Direction;
  readonly step: number;
  readonly checksum: string;
  readonly isDone: boolean;
  /** Of batches: the key of the last row that was done. */
  readonly cursor: readonly string[] | undefined;
  readonly rowsDone: number;
  /** Of a contract: the same as of a migration that is done. */
  readonly oldestRelease: number | undefined;
}

/**
 * What tells a step from another one: a step that was done never changes. Of batches the first half
 * tells the rows that they go through, in their order, and the second what is done with them.
 */
export function stepChecksum({ kind, statements }: Step): string {
  const hash = createHash('sha256');
  for (const { text } of statements) hash.update(text).update('\0');
  const whole = hash.digest('hex');
  if (kind !== 'batches') return whole;
  const way = statements.map(({ batch }) => [batch?.table, batch?.key]);
  const rows = createHash('sha256').update(JSON.stringify(way)).digest('hex');
  return rows.slice(0, half) + whole.slice(half);
}

const half = 32;

/** True for batches that go through the same rows in the same order. */
export function isSameWay(one: string, other: string): boolean {
  return one.slice(0, half) === other.slice(0, half);
}

/**
 * Makes the two tables of the journal. Looks first: `create table if not exists` is harmless, but
 * `alter table` would lock what nodes read when they start.
 */
export async function ensureJournal(session: Session): Promise<void> {
  const { client } = session;
  const { rows } = await client.query<{ tables: number; whole: number }>(
    `select count(*)::int as tables, count(a.attname)::int as whole
     from (values ('schema_migration'), ('schema_step')) t (name)
     left join pg_attribute a
       on a.attrelid = to_regclass(t.name) and a.attname = 'oldest_release'
     where to_regclass(t.name) is not null`,
  );
  if (rows[0]?.tables !== 2) await client.query(tables);
  else if (rows[0].whole === 2) return;
  for (const relation of ['schema_migration', 'schema_step']) {
    const wanted = [{ relation, mode: 'ACCESS EXCLUSIVE', isWhole: false }] as const;
    await inTransaction(session, 'the journal', wanted, async () => {
      await client.query(
        `alter table ${relation} add column if not exists oldest_release integer
         constraint ${relation}_oldest_release check (oldest_release > 0)`,
      );
    });
  }
}

const tables = `
  create table if not exists schema_migration (
    number integer primary key check (number > 0),
    name text not null check (length(name) between 1 and 255),
    phase text not null check (phase in ('expand', 'backfill', 'contract')),
    checksum text not null check (length(checksum) = 64),
    applied_at timestamptz not null default now()
  );
  create table if not exists schema_step (
    number integer not null check (number > 0),
    direction text not null check (direction in ('up', 'down')),
    step integer not null check (step > 0),
    checksum text not null check (length(checksum) = 64),
    cursor text[] check (cardinality(cursor) between 1 and 16),
    rows_done bigint not null default 0 check (rows_done >= 0),
    begun_at timestamptz not null default now(),
    done_at timestamptz,
    primary key (number, direction, step)
  )`;

/** Everything that was applied, by number; nothing where there is no journal yet. */
export async function readApplied(client: pg.Client): Promise<readonly Applied[]> {
  const there = await client.query<{ there: boolean; oldest: boolean }>(
    `select to_regclass('schema_migration') is not null as there, exists (
       select from pg_attribute a
       where a.attrelid = to_regclass('schema_migration') and a.attname = 'oldest_release'
     ) as oldest`,
  );
  if (there.rows[0]?.there !== true) return [];
  const oldest = there.rows[0].oldest ? 'oldest_release' : 'null::integer as oldest_release';
  const { rows } = await client.query<{
    number: number;
    name: string;
    phase: string;
    checksum: string;
    applied_at: Date;
    oldest_release: number | null;
  }>(
    `select number, name, phase, checksum, applied_at, ${oldest} from schema_migration order by number`,
  );
  return rows.map((row) => ({
    number: row.number,
    name: row.name,
    phase: isPhase(row.phase) ? row.phase : 'contract',
    checksum: row.checksum,
    appliedAt: row.applied_at,
    oldestRelease: row.oldest_release ?? undefined,
  }));
}

/** The steps of migrations that were begun, by number; nothing where there is no journal yet. */
export async function readSteps(client: pg.Client): Promise<readonly StepRow[]> {
  const there = await client.query<{ there: boolean }>(
    `select to_regclass('schema_step') is not null as there`,
  );
  if (there.rows[0]?.there !== true) return [];
  const { rows } = await client.query<{
    number: number;
    direction: string;
    step: number;
    checksum: string;
    cursor: string[] | null;
    rows_done: string;
    done: boolean;
    oldest: string | null;
  }>(
    `select number, direction, step, checksum, cursor, rows_done, done_at is not null as done,
       to_jsonb(schema_step) ->> 'oldest_release' as oldest
     from schema_step order by number, direction, step`,
  );
  return rows.map((row) => ({
    number: row.number,
    direction: row.direction === 'down' ? 'down' : 'up',
    step: row.step,
    checksum: row.checksum,
    isDone: row.done,
    cursor: row.cursor ?? undefined,
    rowsDone: Number(row.rows_done),
    oldestRelease: row.oldest === null ? undefined : Number(row.oldest),
  }));
}

/** A step by its place. */
export interface StepId {
  readonly number: number;
  readonly direction: Direction;
  /** From 1. */
  readonly step: number;
  readonly checksum: string;
  /** Of a contract: older releases cannot run from this step on. */
  readonly oldestRelease: number | undefined;
}

/** Says that a step has begun, unless it says so already. */
export async function noteBegun(client: pg.Client, id: StepId): Promise<void> {
  await client.query(
    `insert into schema_step (number, direction, step, checksum, oldest_release)
     values ($1, $2, $3, $4, $5)
     on conflict (number, direction, step) do update
     set checksum = excluded.checksum, oldest_release = excluded.oldest_release
     where schema_step.done_at is null`,
    [id.number, id.direction, id.step, id.checksum, id.oldestRelease ?? null],
  );
}

/** Says how far batches are. */
export async function noteCursor(
  client: pg.Client,
  id: StepId,
  cursor: readonly string[],
  rows: number,
): Promise<void> {
  await client.query(
    `update schema_step set cursor = $4, rows_done = rows_done + $5
     where number = $1 and direction = $2 and step = $3`,
    [id.number, id.direction, id.step, cursor, rows],
  );
}

/** Says that a step is done. */
export async function noteDone(client: pg.Client, id: StepId): Promise<void> {
  await client.query(
    `insert into schema_step (number, direction, step, checksum, done_at, oldest_release)
     values ($1, $2, $3, $4, now(), $5)
     on conflict (number, direction, step) do update set done_at = clock_timestamp()`,
    [id.number, id.direction, id.step, id.checksum, id.oldestRelease ?? null],
  );
}

/** Says that a migration is applied. */
export async function noteApplied(
  client: pg.Client,
  { number, name, phase, checksum }: Migration,
  oldestRelease: number | undefined,
): Promise<void> {
  await client.query(
    `insert into schema_migration (number, name, phase, checksum, oldest_release)
     values ($1, $2, $3, $4, $5)`,
    [number, name, phase, checksum, oldestRelease ?? null],
  );
}

/** Forgets a migration that was taken back. */
export async function noteReverted(client: pg.Client, number: number): Promise<void> {
  await client.query('delete from schema_step where number = $1', [number]);
  await client.query('delete from schema_migration where number = $1', [number]);
}
