import { readFile } from 'node:fs/promises';
import { captureTable, isCaptured, setGuard } from './capture.ts';
import { hasRows } from './catalog.ts';
import { type Control, insertControl, makeId, note, readControl } from './control.ts';
import { type Database, inTransaction } from './database.ts';
import { Failure } from './failure.ts';
import { type Run, standing } from './migration.ts';
import { textOf } from './names.ts';
import { readRanges, tablesBegun } from './range.ts';
import { mappedTables, sourcesOf } from './resolve.ts';
import { setAside } from './set-aside.ts';

const controlTables = new URL('./control.sql', import.meta.url);

/**
 * Makes the control tables on both sides, starts capture on blue, guards green, and sets secondary
 * indexes of green aside. Every step is done once, however often this runs.
 */
export async function prepare(run: Run): Promise<void> {
  const { blue, green, mapping, report } = run;
  const known = await standing(blue, green, run.routes.forward.tables.length);
  const isUnderWay = known.phase === 'copying';
  const begun = isUnderWay ? await tablesBegun(green.main) : new Set<string>();
  if (isUnderWay) await refuseGaps(run);
  else refuseRemains(known.green);
  await refuseRows(run, begun);
  const migrationId = (known.blue ?? known.green)?.migrationId ?? makeId();
  const sql = await readFile(controlTables, 'utf8');
  await makeControl(green, sql, { migrationId, mapping: mapping.name, state: 'copy', epoch: 0 });
  for (const table of mappedTables(run.routes, 'green')) await setGuard(green.main, table, true);
  // Again, since nobody was refused in between. Blue has no row before green refuses writes, so of
  // two databases that say what they are one always does.
  await refuseRows(run, begun);
  // What an abort that died has emptied counts as copied no more.
  if (!isUnderWay) await green.main.query('delete from migrate.range');
  report.line('green takes writes from nobody but migrate');
  await makeControl(blue, sql, { migrationId, mapping: mapping.name, state: 'live', epoch: 1 });
  report.line('control tables: in both databases');
  for (const table of mappedTables(run.routes, 'blue')) await setGuard(blue.main, table, false);
  for (const source of sourcesOf(run.routes.forward)) {
    await captureTable(blue.main, source);
    report.line(`${textOf(source.table)}: changes are captured`);
  }
  // Those of tables that were copied before are there again, or will be.
  const fresh = run.routes.forward.tables.filter(({ target }) => !begun.has(textOf(target)));
  await green.main.query("delete from migrate.event where kind = 'built'");
  const count = await setAside(
    green.main,
    fresh.map(({ target }) => target),
  );
  if (count > 0)
    report.line(`${count} secondary indexes of green are set aside until the copy is done`);
  await note(green, 'prepared', {});
}

async function makeControl(
  database: Database,
  sql: string,
  row: {
    readonly migrationId: string;
    readonly mapping: string;
    readonly state: 'copy' | 'live';
    readonly epoch: number;
  },
): Promise<void> {
  if ((await readControl(database.main)) !== undefined) return;
  await inTransaction(database.main, async () => {
    await database.main.query(sql);
    await insertControl(database.main, { ...row, side: database.side });
  });
}

/** Of what was copied already, all that was written since has to be known. */
async function refuseGaps({ blue, green, routes }: Run): Promise<void> {
  const ranges = await readRanges(green.main);
  const copied = new Set(ranges.flatMap((r) => (r.copiedRows === null ? [] : [r.table])));
  const tables = routes.forward.tables.filter(({ target }) => copied.has(textOf(target)));
  for (const { table } of sourcesOf({ ...routes.forward, tables })) {
    if (await isCaptured(blue.main, table)) continue;
    throw new Failure(
      `Changes of ${textOf(table)} in blue are not captured any more: a trigger was taken away, or a ` +
        'partition came new. "migrate abort", and begin anew.',
    );
  }
}

function refuseRemains(green: Control | undefined): void {
  if (green !== undefined && green.state !== 'copy') {
    throw new Failure('A "migrate abort" died half-way: the same command again ends it.');
  }
}

/** Rows that the tool did not bring would be compared, repaired and deleted as if they were wrong. */
async function refuseRows(run: Run, begun: ReadonlySet<string>): Promise<void> {
  const problems = await rowsBefore(run, begun);
  if (problems.length > 0) throw new Failure(problems.join('\n'));
}

/** A sentence for each table of green that has rows, but for tables that the copy has `begun`. */
export async function rowsBefore(
  { green, routes }: Run,
  begun: ReadonlySet<string> = new Set(),
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const { target } of routes.forward.tables) {
    if (begun.has(textOf(target)) || !(await hasRows(green.main, target))) continue;
    problems.push(
      `${textOf(target)} in green has rows already. If an application uses green, it is no place to ` +
        'migrate to; otherwise empty it (truncate, or "migrate abort" where one died) before ' +
        '"migrate prepare".',
    );
  }
  return problems;
}
