import { removeTriggers } from './capture.ts';
import { hasRows } from './catalog.ts';
import { dropControl, readControl } from './control.ts';
import { atOnce, type Database } from './database.ts';
import { Failure } from './failure.ts';
import { takeBatch, withEnds } from './follow.ts';
import { removeForeignTables } from './foreign.ts';
import { type Run, routeOf, standing } from './migration.ts';
import { quotedTable, textOf } from './names.ts';
import { tablesBegun } from './range.ts';
import { mappedTables, type Route } from './resolve.ts';
import { makeAgain } from './set-aside.ts';
import { usersOf } from './stragglers.ts';

/**
 * Ends a migration that was switched: green stays, and every trace of the tool goes, from green
 * first. Refuses while somebody else is connected to blue, unless told not to mind; from here on
 * nothing refuses writes to blue unless the guard is kept there.
 */
export async function finish(
  run: Run,
  options: { readonly keepGuard: boolean; readonly mindUsers: boolean },
): Promise<void> {
  const { blue, green, report } = run;
  const { phase } = await standing(blue, green, run.routes.forward.tables.length);
  if (options.mindUsers) {
    const users = await usersOf(blue.main);
    if (users.length > 0) {
      throw new Failure(
        `Blue is still in use, and would take writes that nobody brings anywhere: ` +
          `${users.map(({ sentence }) => sentence).join('; ')}. Move them, or say --anyway, ` +
          'or keep the guard there by --keep-guard.',
      );
    }
  }
  if (phase === 'watching' && run.routes.reverse !== undefined) {
    await bringTheRest(run, routeOf(run, phase));
  }
  await removeTraces(run, green, false);
  report.line('green: every trigger, function and table of migrate is gone');
  await removeTraces(run, blue, options.keepGuard);
  report.line(
    options.keepGuard
      ? 'blue: capture is gone; the guard and schema migrate stay and refuse writes'
      : 'blue: every trigger, function and table of migrate is gone; it takes writes again. Whatever ' +
          'still has blue in its settings would write there unseen: take it out, or shut blue down',
  );
}

/** Blue ends as what green is now. */
async function bringTheRest(run: Run, route: Route): Promise<void> {
  try {
    await withEnds(route, async (ends) => {
      for (;;) {
        const { complete, lagMs } = await takeBatch(ends, route, 20_000);
        if (complete) return;
        run.signal.throwIfAborted();
        run.report.progress({ phase: 'finish: what waits for blue', lagMs });
      }
    });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(
      `${error.message} Or take "reverse" out of the mapping: then finish leaves blue as it is.`,
      { cause: error },
    );
  }
}

/** Ends a migration that was not switched, or was rolled back: blue stays, green is emptied. */
export async function abort(run: Run): Promise<void> {
  const { blue, green, report } = run;
  const row = await readControl(green.main);
  if (row?.state === 'live') {
    throw new Failure('Green is live: "migrate rollback" comes before "migrate abort".');
  }
  if (row !== undefined) {
    // Wherever it dies after this, only abort goes on: capture may be gone, and green half emptied.
    await green.main.query('delete from migrate.event');
  }
  await removeTraces(run, blue, false);
  report.line('blue: every trigger, function and table of migrate is gone');
  if (row !== undefined) {
    await removeForeignTables(green);
    await removeTriggersOf(run, green);
    await emptyGreen(run);
    // Empty tables violate nothing, so every index can come back.
    while ((await makeAgain(green.main)) !== undefined) run.signal.throwIfAborted();
    await dropControl(green);
    report.line('green: emptied as it was before; every trace of migrate is gone');
  }
}

/** Takes out what the copy has brought. What stands in a table that it never began is not the tool's. */
async function emptyGreen({ green, routes, report }: Run): Promise<void> {
  const begun = await tablesBegun(green.main);
  const tables: string[] = [];
  for (const { target } of routes.forward.tables) {
    // Also those that are empty: they may refer to the others.
    if (begun.has(textOf(target)) || !(await hasRows(green.main, target))) {
      tables.push(quotedTable(target));
    } else report.line(`green: ${textOf(target)} keeps its rows, which no copy has brought`);
  }
  const truncate = tables.length > 0 ? [`truncate ${tables.join(', ')}`] : [];
  await atOnce(green.main, [...truncate, 'delete from migrate.range']);
}

async function removeTraces(run: Run, database: Database, keepGuard: boolean): Promise<void> {
  if ((await readControl(database.main)) === undefined) return;
  await removeForeignTables(database);
  if (keepGuard) return removeCapture(run, database);
  await removeTriggersOf(run, database);
  await dropControl(database);
}

async function removeTriggersOf(run: Run, database: Database): Promise<void> {
  for (const table of mappedTables(run.routes, database.side)) {
    await removeTriggers(database.main, table);
  }
}

async function removeCapture(run: Run, database: Database): Promise<void> {
  for (const table of mappedTables(run.routes, database.side)) {
    await removeTriggers(database.main, table, 'capture');
  }
}
