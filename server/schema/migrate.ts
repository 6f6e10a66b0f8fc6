import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { grantRoles, sameRole } from './grants.ts';
import {
  isPhase,
  type Migration,
  type MigrationPhase,
  releasedMigrations,
} from './migration-files.ts';

export interface MigrateOptions {
  /**
   * The owner's URL. It must lead to PostgreSQL itself, not to a pooler in transaction mode:
   * GATEHOUSE_DATABASE_DIRECT_URL where there is one.
   */
  readonly ownerUrl: string;
  /** Gets DML on every table; absent: no grants. See {@link roleOf}. */
  readonly serverRole?: string;
  /** May connect and see the schema, nothing more. */
  readonly usageRole?: string;
  /** Told each migration as it is applied. */
  readonly log?: (sentence: string) => void;
  /** Where the SQL files are; absent: this release's own. */
  readonly directory?: string;
}

export interface AppliedMigration {
  readonly number: number;
  readonly name: string;
  readonly phase: MigrationPhase;
  readonly checksum: string;
  readonly appliedAt: Date;
}

export interface MigrationStatus {
  readonly applied: readonly AppliedMigration[];
  readonly pending: readonly Migration[];
  /** Applied by a newer release. */
  readonly unknown: readonly AppliedMigration[];
}

/** The database and this release do not fit together. The message says what to do. */
export class MigrationRefused extends Error {
  override readonly name = 'MigrationRefused';
}

/** Any number that nothing else in the database locks: "gatehouse" on a telephone's keys. */
const advisoryLock = 428_346_873;
/** Another node's migrations may take this long before we give up. */
const turnMsMax = 120_000;
/** A migration that waits longer for a table's lock would make every later query wait as well. */
const lockMsMax = 3_000;
const attemptsMax = 5;

/**
 * Brings the database to this release's schema: one transaction per file, under one lock, so any
 * number of nodes may start at once. Refuses with {@link MigrationRefused} a file that changed
 * after it was applied, and a database that a newer release has contracted. (One that was only
 * expanded passes: the release before must run on it.)
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const log = options.log ?? (() => {});
  const released = await releasedMigrations(options.directory);
  await withOwner(options.ownerUrl, async (client) => {
    await takeTurn(client);
    await client.query(createTable);
    const applied = await readApplied(client);
    const { pending, unknown } = compare(released, applied);
    for (const migration of unknown) log(`${labelOf(migration)} is from a newer release`);
    for (const migration of pending) {
      await apply(client, migration);
      log(`applied migration ${labelOf(migration)}`);
    }
    for (const role of [options.serverRole, options.usageRole]) {
      if (role === undefined || (await sameRole(client, role))) continue;
      await grantRoles(client, role, role === options.serverRole ? 'server' : 'usage');
    }
  });
}

/** What was applied and what is to come. Changes nothing; refuses as {@link migrate} does. */
export async function migrationStatus(
  ownerUrl: string,
  directory?: string,
): Promise<MigrationStatus> {
  const released = await releasedMigrations(directory);
  return withOwner(ownerUrl, async (client) => {
    const found = await client.query(`select to_regclass('schema_migration') is not null as there`);
    const applied = found.rows[0]?.there === true ? await readApplied(client) : [];
    return { applied, ...compare(released, applied) };
  });
}

/** The role that a connection URL signs in as; undefined where it names none. */
export function roleOf(url: string): string | undefined {
  const { username } = new URL(url);
  return username === '' ? undefined : decodeURIComponent(username);
}

const createTable = `
  create table if not exists schema_migration (
    number integer primary key check (number > 0),
    name text not null check (length(name) between 1 and 255),
    phase text not null check (phase in ('expand', 'backfill', 'contract')),
    checksum text not null check (length(checksum) = 64),
    applied_at timestamptz not null default now()
  )`;

async function readApplied(client: pg.Client): Promise<AppliedMigration[]> {
  const result = await client.query<{
    number: number;
    name: string;
    phase: string;
    checksum: string;
    applied_at: Date;
  }>('select number, name, phase, checksum, applied_at from schema_migration order by number');
  return result.rows.map((row) => ({
    number: row.number,
    name: row.name,
    phase: isPhase(row.phase) ? row.phase : 'contract',
    checksum: row.checksum,
    appliedAt: row.applied_at,
  }));
}

function compare(released: readonly Migration[], applied: readonly AppliedMigration[]) {
  const byNumber = new Map(released.map((migration) => [migration.number, migration]));
  const newest = released.at(-1)?.number ?? 0;
  const unknown: AppliedMigration[] = [];
  for (const row of applied) {
    const file = byNumber.get(row.number);
    if (file?.checksum === row.checksum) continue;
    if (file !== undefined) throw changed(file);
    if (row.number <= newest || row.phase === 'contract') throw newer(row);
    unknown.push(row);
  }
  const done = new Set(applied.map((row) => row.number));
  const pending = released.filter((migration) => !done.has(migration.number));
  const last = applied.at(-1);
  const overtaken = pending.find((migration) => last && migration.number < last.number);
  if (overtaken && last) throw outOfOrder(overtaken, last);
  return { pending, unknown };
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await client.query('begin');
      await client.query(`set local lock_timeout = ${lockMsMax}`);
      await client.query(migration.sql);
      await client.query(
        'insert into schema_migration (number, name, phase, checksum) values ($1, $2, $3, $4)',
        [migration.number, migration.name, migration.phase, migration.checksum],
      );
      await client.query('commit');
      return;
    } catch (error) {
      await client.query('rollback').catch(() => {});
      if (!isLockTimeout(error)) throw error;
      if (attempt === attemptsMax) throw busy(migration, error);
      await sleep(1_000 * attempt);
    }
  }
}

/** Waits while another node migrates. The lock goes with the session. */
async function takeTurn(client: pg.Client): Promise<void> {
  await client.query(`set lock_timeout = ${turnMsMax}`);
  try {
    await client.query('select pg_advisory_lock($1)', [advisoryLock]);
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    throw new MigrationRefused(
      `Another process has been migrating this database for more than ${turnMsMax / 1000} s. ` +
        'Look for application_name gatehouse-migrate in pg_stat_activity.',
      { cause: error },
    );
  }
  await client.query(`set lock_timeout = ${lockMsMax}`);
}

async function withOwner<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'gatehouse-migrate',
    connectionTimeoutMillis: 10_000,
  });
  // A connection that breaks also fails the statement under way, which is where it is handled.
  client.on('error', () => {});
  await client.connect();
  try {
    // NOTICEs about what exists already say nothing that the result does not.
    await client.query('set client_min_messages = warning');
    return await work(client);
  } finally {
    await client.end();
  }
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '55P03';
}

function labelOf(migration: { readonly number: number; name: string; phase: string }): string {
  return `${String(migration.number).padStart(4, '0')}_${migration.name} (${migration.phase})`;
}

function changed(migration: Migration) {
  return new MigrationRefused(
    `Migration ${labelOf(migration)} was changed after this database applied it. ` +
      'Restore the file, and put the change into a migration with a new number.',
  );
}

function newer(row: AppliedMigration) {
  return new MigrationRefused(
    `The database has migration ${labelOf(row)}, which this release does not know. ` +
      'Start the release that applied it, or a later one.',
  );
}

function outOfOrder(migration: Migration, last: AppliedMigration) {
  return new MigrationRefused(
    `Migration ${labelOf(migration)} was not applied before ${labelOf(last)}. ` +
      'Give it a number after the last one.',
  );
}

function busy(migration: Migration, cause: unknown) {
  return new MigrationRefused(
    `Migration ${labelOf(migration)} could not lock its tables within ${lockMsMax / 1000} s, ` +
      `${attemptsMax} times. Nothing of it was applied. End the long transactions on them ` +
      '(pg_stat_activity), then start again.',
    { cause },
  );
}
