import type pg from 'pg';
import type { StepId, StepRow } from './journal.ts';
import {
  ensureJournal,
  isSameWay,
  noteApplied,
  noteDone,
  noteReverted,
  stepChecksum,
} from './journal.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { lint, type Reading, refusals } from './lint.ts';
import { labelOf, type Migration } from './migration.ts';
import type { Tell } from './notice.ts';
import { MigrationRefused } from './refused.ts';
import { keepOut } from './releases.ts';
import { runAlone } from './run-alone.ts';
import { runBatches } from './run-batches.ts';
import { inTransaction, isFelt, wantedBy } from './run-transaction.ts';
import type { Judged, Step } from './script.ts';
import { codeOf, type Session, withSession } from './session.ts';
import { loadGrammar } from './sql.ts';
import { readStatus, type Status } from './status.ts';
import { takeTurn } from './turn.ts';
import { findingLine } from './words.ts';

export interface OnlineOptions {
  /** Signs in as the role that owns the tables, and leads to PostgreSQL itself, not to a pooler. */
  readonly url: string;
  /** All migrations of a release, by number. */
  readonly migrations: readonly Migration[];
  /** How the runner is called in pg_stat_activity. */
  readonly applicationName: string;
  /** A number that nothing else in the database locks; see `joinRelease`. */
  readonly lockKey: number;
  readonly tell?: Tell;
  readonly limits?: Partial<Limits>;
  /** Runs under the same turn, after the migrations. */
  readonly afterwards?: (client: pg.Client) => Promise<void>;
}

/** What is applied and what is to come. Changes nothing; refuses as {@link up} does. */
export function status(options: OnlineOptions): Promise<Status> {
  return withSession(settled(options), (session) => readStatus(session, options.migrations));
}

/**
 * Applies what is missing, up to migration `until` or all. Any number of processes may call it at
 * once, and one that was killed is resumed by the next call. Refuses with {@link MigrationRefused}:
 * what the linter refuses, a file that changed after it was applied, a database that was contracted
 * beyond these migrations, tables that stay busy, and a contract while older releases run.
 */
export async function up(options: OnlineOptions, until = Number.MAX_SAFE_INTEGER): Promise<void> {
  await withSession(settled(options), async (session) => {
    await takeTurn(session, options.lockKey);
    await ensureJournal(session);
    const found = await readStatus(session, options.migrations);
    refuseHalfDown(found);
    for (const { number, name, phase } of found.unknown) {
      const label = labelOf({ number, name, phase });
      const sentence = `${label} is from a newer release`;
      session.tell({ kind: 'newer', sentence, data: { number, name, phase } });
    }
    const pending = found.pending.filter(({ number }) => number <= until);
    const readings = pending.length === 0 ? [] : await readingsOf(options.migrations);
    for (const migration of pending) {
      const reading = readingOf(readings, migration, 'up');
      refuseUnlessClean([reading]);
      if (migration.phase === 'contract') await refuseOlder(session, options, reading);
      await run(session, reading, found.underWay);
      const { number, name, phase } = migration;
      const sentence = `applied migration ${labelOf(migration)}`;
      session.tell({ kind: 'applied', sentence, data: { number, name, phase } });
    }
    await options.afterwards?.(session.client);
  });
}

/**
 * Takes the newest migrations back, all above `to`, by the down sections of their files. Refuses
 * where a file has none, at a contract (what was removed is gone), and while a release runs that
 * needs what would be taken away.
 */
export async function down(options: OnlineOptions, to: number): Promise<void> {
  await withSession(settled(options), async (session) => {
    await takeTurn(session, options.lockKey);
    await ensureJournal(session);
    const { applied, underWay } = await readStatus(session, options.migrations);
    refuseHalfUp(underWay, to);
    const above = applied.filter(({ number }) => number > to).reverse();
    const readings = await readingsOf(options.migrations);
    const reversible = above.map((row) => {
      const migration = options.migrations.find(({ number }) => number === row.number);
      if (migration === undefined) throw notOurs(labelOf(row));
      if (migration.phase === 'contract') throw irreversible(migration, 'it is a contract');
      if (migration.down === undefined) throw irreversible(migration, 'it has no down section');
      return readingOf(readings, migration, 'down');
    });
    refuseUnlessClean(reversible);
    await refuseNewer(
      session,
      options,
      above.map(({ number }) => number),
    );
    for (const reading of reversible) {
      await run(session, reading, underWay);
      const { number, name, phase } = reading.migration;
      const sentence = `took back migration ${labelOf(reading.migration)}`;
      session.tell({ kind: 'reverted', sentence, data: { number, name, phase } });
    }
  });
}

/** Part of it is gone although it counts as applied: nothing may be built on that. */
function refuseHalfDown({ applied, underWay }: Status): void {
  const half = applied.find(({ number }) =>
    underWay.some((row) => row.direction === 'down' && row.number === number),
  );
  if (half === undefined) return;
  throw new MigrationRefused(
    `Migration ${labelOf(half)} was being taken back, and that was broken off: part of what it made ` +
      `is gone. Take it back to the end (down to ${half.number - 1}), then apply it again.`,
  );
}

/** What it has done so far stands on what would be taken back. */
function refuseHalfUp(underWay: readonly StepRow[], to: number): void {
  const half = underWay.find(
    ({ direction, number, isDone, rowsDone }) =>
      direction === 'up' && number > to && (isDone || rowsDone > 0),
  );
  if (half === undefined) return;
  throw new MigrationRefused(
    `Migration ${half.number} was begun and is not done, so nothing before it may be taken back. ` +
      'Correct its file if it fails, apply it to the end, then take it back.',
  );
}

/**
 * All readings of all migrations: the earlier ones tell what the later ones meet. `oldestPostgres`:
 * the oldest major version that they must run on; 15.
 */
export async function readingsOf(
  migrations: readonly Migration[],
  oldestPostgres = 15,
): Promise<readonly Reading[]> {
  await loadGrammar();
  return lint(migrations, { oldestPostgres });
}

function settled(options: OnlineOptions) {
  return {
    url: options.url,
    applicationName: options.applicationName,
    limits: { ...defaultLimits, ...options.limits },
    tell: options.tell ?? (() => {}),
  };
}

function readingOf(readings: readonly Reading[], { number }: Migration, direction: string) {
  const found = readings.find(
    (one) => one.migration.number === number && one.direction === direction,
  );
  if (found === undefined) throw new Error(`migration ${number} was not read`);
  return found;
}

function refuseUnlessClean(readings: readonly Reading[]): void {
  const refused = refusals(readings);
  if (refused.length === 0) return;
  throw new MigrationRefused(
    `Not run: it would lock a table that is in use, or break what runs.\n${refused
      .map(findingLine)
      .join('\n')}`,
  );
}

/** Runs the steps that are not done; the last one also says that the migration is. */
async function run(session: Session, reading: Reading, former: readonly StepRow[]): Promise<void> {
  const { migration, direction, steps } = reading;
  const rows = former.filter(
    (row) => row.number === migration.number && row.direction === direction,
  );
  const removes = direction === 'up' && migration.phase === 'contract';
  const oldestRelease = removes ? oldestOf(reading) : undefined;
  const finish = () =>
    direction === 'down'
      ? noteReverted(session.client, migration.number)
      : noteApplied(session.client, migration, reading.oldestRelease);
  if (steps.length === 0) return finish();
  for (const [index, step] of steps.entries()) {
    const id = {
      number: migration.number,
      direction,
      step: index + 1,
      checksum: stepChecksum(step),
      oldestRelease,
    };
    const row = rows.find((one) => one.step === id.step);
    if (row !== undefined && row.checksum !== id.checksum) ofRewritten(migration, step, id, row);
    const last = index === steps.length - 1;
    if (row?.isDone !== true) await runStep(session, reading, step, id, row, last && finish);
    else if (last) await finish();
    if (last) continue;
    const sentence = `${labelOf(migration)}: step ${id.step} of ${steps.length} is done`;
    session.tell({ kind: 'step', sentence, data: { number: id.number, step: id.step } });
  }
}

/** Refuses a step that was done and changed; batches may do otherwise with the rows to come. */
function ofRewritten(migration: Migration, { kind }: Step, id: StepId, row: StepRow): void {
  const goesOn = kind === 'batches' && isSameWay(row.checksum, id.checksum);
  if (row.isDone || (row.rowsDone > 0 && !goesOn)) throw rewritten(migration, id.step);
}

async function runStep(
  session: Session,
  reading: Reading,
  step: Step,
  id: StepId,
  former: StepRow | undefined,
  finish: false | (() => Promise<void>),
): Promise<void> {
  const { client } = session;
  const what = `${labelOf(reading.migration)}${id.direction === 'down' ? ' down' : ''}, step ${id.step}`;
  const done = async () => {
    await noteDone(client, id);
    if (finish) await finish();
  };
  const before = id.direction === 'down' ? reading.migration.downLine - 1 : 0;
  const placed = ({ line }: Judged, work: () => Promise<unknown>) =>
    work().catch((error: unknown) => {
      throw failed(`${what}, line ${line + before}`, error);
    });
  if (step.kind === 'transaction') {
    return inTransaction(session, what, wantedBy(step, reading.fresh), async () => {
      for (const one of step.statements) await placed(one, () => client.query(one.text));
      await done();
    });
  }
  const [only] = step.statements;
  if (only === undefined) return;
  const { batch } = only;
  const felt = wantedBy(step, reading.fresh).filter(isFelt);
  await placed(only, () =>
    batch === undefined
      ? runAlone(session, what, felt, only)
      : runBatches(session, what, { ...only, batch }, id, former),
  );
  await inTransaction(session, what, [], done);
}

/** A contract removes what older releases use: none may run, and none may start meanwhile. */
async function refuseOlder(
  { client }: Session,
  { migrations, lockKey }: OnlineOptions,
  reading: Reading,
): Promise<void> {
  const { migration } = reading;
  const oldest = oldestOf(reading);
  const older = migrations.map(({ number }) => number).filter((number) => number < oldest);
  await keepOut(
    client,
    lockKey,
    older,
    `Migration ${labelOf(migration)} removes what releases older than migration ${oldest} use. ` +
      'Nothing of it was applied. Replace those nodes, then run it again.',
  );
}

/** The newest migration of the oldest release that may run after a contract. */
const oldestOf = ({ migration, oldestRelease }: Reading) => oldestRelease ?? migration.number;

async function refuseNewer(
  { client }: Session,
  { lockKey }: OnlineOptions,
  numbers: readonly number[],
): Promise<void> {
  const why =
    'A release runs that needs what would be taken away. Nothing was taken back. ' +
    'Put the release before in its place, then run it again.';
  await keepOut(client, lockKey, numbers, why);
}

/** SQLSTATEs of what is neither the statement's fault nor its rows': connections, turns, the machine. */
const ofOthers = /^(08|25P0[23]|40|53|55P03|57|58|XX)/;

/** What PostgreSQL refuses of the statement or its rows, with its place; anything else as it is. */
function failed(place: string, error: unknown): unknown {
  const code = codeOf(error);
  // Codes of Node begin with an E, which no SQLSTATE does.
  const isRefused = /^[^E][0-9A-Z]{4}$/.test(code) && !ofOthers.test(code);
  if (!(error instanceof Error) || !isRefused) return error;
  const what =
    code === '42501'
      ? 'Run it as the role that owns the tables'
      : 'Correct the file or the rows, then run it again';
  return new MigrationRefused(
    `${place}: ${error.message}. What was done before it stays. ${what}: it goes on there.`,
    { cause: error },
  );
}

function rewritten(migration: Migration, step: number) {
  return new MigrationRefused(
    `Step ${step} of migration ${labelOf(migration)} was changed after this database ran it. ` +
      'Restore the text up to there; the steps after it may change.',
  );
}

function irreversible(migration: Migration, why: string) {
  return new MigrationRefused(
    `Migration ${labelOf(migration)} cannot be taken back: ${why}. Write a new migration instead.`,
  );
}

function notOurs(label: string) {
  return new MigrationRefused(
    `Migration ${label} is from a newer release: take it back with that release.`,
  );
}
