import { blindSpots, notTakenBack } from './blind-spots.ts';
import { type TableShape, tableShape } from './catalog.ts';
import { readControl } from './control.ts';
import type { Database } from './database.ts';
import type { Run } from './migration.ts';
import { type TableName, textOf } from './names.ts';
import {
  familyProblems,
  foreignProblems,
  keyProblems,
  largeObjectProblems,
  rangeWarnings,
  sourceWarnings,
  targetWarnings,
  zoneWarnings,
} from './obstacles.ts';
import { rowsBefore } from './prepare.ts';
import { replicationProblems, replicaWarnings } from './replication.ts';
import { mappedTables, type Route, sourcesOf } from './resolve.ts';
import { indexProblems, ownerProblems, sightWarnings, triggerProblems } from './rights.ts';
import { looseWarnings, sequenceMoves, sequenceWarnings, unknownEnds } from './sequence.ts';
import { stragglerLines, strandedWarnings } from './stragglers.ts';

/** What a plan says; a migration may begin only where `refusals` is empty. */
export interface Plan {
  readonly lines: readonly string[];
  /** What cannot be done, each with what to do about it. */
  readonly refusals: readonly string[];
  /** What can be done, and should be known. */
  readonly warnings: readonly string[];
}

/** Looks at both databases and changes nothing. */
export async function plan(run: Run): Promise<Plan> {
  const { forward, reverse } = run.routes;
  const routes = [forward, reverse].filter((route) => route !== undefined);
  const lines: string[] = [];
  const refusals: string[] = [];
  const warnings: string[] = [];
  lines.push(`blue ${run.blue.place}, green ${run.green.place}, mapping ${run.mapping.name}`);
  for (const database of [run.blue, run.green]) {
    refusals.push(...(await versionProblems(database)));
  }
  // An older PostgreSQL does not know what is asked below.
  if (refusals.length > 0) return { lines, refusals, warnings };
  for (const database of [run.blue, run.green]) {
    const tables = mappedTables(run.routes, database.side);
    refusals.push(...(await databaseProblems(database, tables)));
    warnings.push(...(await durabilityWarnings(database)));
    warnings.push(...(await sightWarnings(database)));
    warnings.push(...(await replicaWarnings(database)));
  }
  refusals.push(...(await indexProblems(run)));
  refusals.push(...(await encodingProblems(run)));
  refusals.push(...(await blindSpots(run)));
  warnings.push(...notTakenBack(run));
  for (const { table } of sourcesOf(forward)) {
    const shape = await tableShape(run.blue.main, table);
    if (shape === undefined) continue;
    lines.push(sizeLine(table, shape));
    refusals.push(...largeObjectProblems(table, shape));
    warnings.push(...(await sourceWarnings(run.blue.main, table, shape)));
  }
  for (const { target } of forward.tables) {
    warnings.push(...(await targetWarnings(run.green.main, target)));
  }
  for (const { tables, destination } of routes) {
    for (const { target } of tables) refusals.push(...(await keyProblems(destination, target)));
  }
  const fresh = (await readControl(run.green.main)) === undefined;
  const begun = !fresh || (await readControl(run.blue.main)) !== undefined;
  if (!begun) refusals.push(...(await rowsBefore(run)));
  for (const route of routes) {
    refusals.push(...(await foreignProblems(route)));
    warnings.push(...zoneWarnings(route));
    warnings.push(...(await rangeWarnings(route)));
    const moves = await sequenceMoves(route);
    // Later on the indexes of green may be set aside; the switch looks again.
    if (fresh) refusals.push(...unknownEnds(route, moves));
    warnings.push(...sequenceWarnings(route, moves));
  }
  warnings.push(...(await looseWarnings(run)));
  warnings.push(...(await strandedWarnings(run)));
  if (reverse === undefined) {
    warnings.push('The mapping has no "reverse": after a switch there is no way back.');
  }
  lines.push(await durationLine(forward));
  const sources = sourcesOf(forward).map(({ table }) => table);
  lines.push(...(await stragglerLines(run.blue.main, sources)));
  return { lines, refusals, warnings };
}

async function databaseProblems(
  database: Database,
  tables: readonly TableName[],
): Promise<readonly string[]> {
  return [
    ...(await triggerProblems(database)),
    ...(await ownerProblems(database, tables)),
    ...(await familyProblems(database, tables)),
    ...(await replicationProblems(database, tables)),
  ];
}

async function versionProblems({ main, side }: Database): Promise<readonly string[]> {
  const { rows } = await main.query<{ version: number }>(
    "select current_setting('server_version_num')::int / 10000 as version",
  );
  return rows
    .filter(({ version }) => version < 15)
    .map(({ version }) => `${side} is PostgreSQL ${version}; 15 is the oldest.`);
}

/** Rows are compared by hashes of what each server stores. */
async function encodingProblems(run: Run): Promise<readonly string[]> {
  const [blue, green] = await Promise.all(
    [run.blue, run.green].map(async ({ main }) => {
      const sql = "select current_setting('server_encoding') as encoding";
      return (await main.query<{ encoding: string }>(sql)).rows[0]?.encoding;
    }),
  );
  if (blue === green) return [];
  return [
    `blue is encoded in ${blue}, green in ${green}: equal texts would be other bytes, and every ` +
      `comparison would differ. Create the database of green anew with encoding '${blue}'.`,
  ];
}

async function durabilityWarnings(database: Database): Promise<readonly string[]> {
  const { rows } = await database.main.query<{ name: string }>(
    `select s.name from pg_settings s
     where s.name in ('fsync', 'full_page_writes') and s.setting = 'off' order by s.name`,
  );
  return rows.map(
    ({ name }) =>
      `${database.side}: ${name} is off. A crash of the machine may take back what was committed, ` +
      'and with it the promise that two databases are never live.',
  );
}

function sizeLine(table: TableName, { rows, bytes }: TableShape): string {
  const megabytes = Math.ceil(bytes / 1_048_576);
  return `${textOf(table)}: about ${rows} rows, ${megabytes} MiB with indexes`;
}

/** Rows a second that a copy reaches on an ordinary machine; only for the estimate. */
const rowsPerSecondExpected = 50_000;

/** A table has about as many rows as the first of its sources. */
async function durationLine({ tables, origin }: Route): Promise<string> {
  let rows = 0;
  for (const { sources } of tables) {
    const [first] = sources;
    if (first === undefined) continue;
    rows += (await tableShape(origin.main, first.table))?.rows ?? 0;
  }
  return (
    `About ${rows} rows to copy: ${Math.ceil(rows / rowsPerSecondExpected)} s at ` +
    `${rowsPerSecondExpected} rows/s.`
  );
}
