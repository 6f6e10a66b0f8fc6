import { type Applied, readApplied, readSteps, type StepRow } from './journal.ts';
import { labelOf, type Migration } from './migration.ts';
import { MigrationRefused } from './refused.ts';
import type { Session } from './session.ts';

/** What a database has of the migrations, and what is to come. */
export interface Status {
  readonly applied: readonly Applied[];
  readonly pending: readonly Migration[];
  /** Applied by a newer release, which left what this one needs. */
  readonly unknown: readonly Applied[];
  /** Steps of migrations that were begun and are not done. */
  readonly underWay: readonly StepRow[];
}

/**
 * Reads and compares. Refuses with {@link MigrationRefused} a file that changed after it was
 * applied, a gap, and a database that was contracted beyond these migrations.
 */
export async function readStatus(
  { client }: Pick<Session, 'client'>,
  migrations: readonly Migration[],
): Promise<Status> {
  const applied = await readApplied(client);
  const compared = compare(migrations, applied);
  const steps = await readSteps(client);
  const done = new Set(applied.map(({ number }) => number));
  const newest = migrations.at(-1)?.number ?? 0;
  const removing = steps.find(
    ({ number, oldestRelease = 0 }) =>
      Math.min(number, oldestRelease) > newest && !done.has(number),
  );
  if (removing !== undefined) throw begun(removing);
  const underWay = steps.filter(
    ({ number, direction }) => direction === 'down' || !done.has(number),
  );
  return { applied, ...compared, underWay };
}

function compare(migrations: readonly Migration[], applied: readonly Applied[]) {
  const byNumber = new Map(migrations.map((migration) => [migration.number, migration]));
  const newest = migrations.at(-1)?.number ?? 0;
  const unknown: Applied[] = [];
  for (const row of applied) {
    const file = byNumber.get(row.number);
    if (file?.checksum === row.checksum) continue;
    if (file !== undefined) throw changed(file);
    const removes = row.phase === 'contract' && (row.oldestRelease ?? row.number) > newest;
    if (row.number <= newest || removes) throw newer(row);
    unknown.push(row);
  }
  const done = new Set(applied.map((row) => row.number));
  const pending = migrations.filter((migration) => !done.has(migration.number));
  const last = applied.at(-1);
  const overtaken = pending.find((migration) => last && migration.number < last.number);
  if (overtaken && last) throw outOfOrder(overtaken, last);
  return { pending, unknown };
}

function changed(migration: Migration) {
  return new MigrationRefused(
    `Migration ${labelOf(migration)} was changed after this database applied it. ` +
      'Restore the file, and put the change into a migration with a new number.',
  );
}

function newer(row: Applied) {
  return new MigrationRefused(
    `The database has migration ${labelOf(row)}, which this release does not know. ` +
      'Start the release that applied it, or a later one.',
  );
}

function begun({ number }: StepRow) {
  return new MigrationRefused(
    `Migration ${number}, which this release does not know, was begun and removes what it uses. ` +
      'Start the release that began it, or a later one.',
  );
}

function outOfOrder(migration: Migration, last: Applied) {
  return new MigrationRefused(
    `Migration ${labelOf(migration)} was not applied before ${labelOf(last)}. ` +
      'Give it a number after the last one.',
  );
}
