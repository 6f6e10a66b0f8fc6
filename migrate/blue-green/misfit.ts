import type pg from 'pg';
import { openToTool, putRows, type Writing } from './apply.ts';
import { Failure, sentenceOf, sqlStateOf } from './failure.ts';
import { textOf } from './names.ts';
import type { Route } from './resolve.ts';

/** data exceptions (class 22), not_null_violation, check_violation: the row is wrong, not the moment. */
const isMisfit = (error: unknown) => /^(22...|23502|23514)$/.test(sqlStateOf(error));

/**
 * Where the destination refused a batch for what stands in a row: a {@link Failure} that names table
 * and key, found by halves in transactions that are rolled back. Any other error as it is.
 */
export async function namedMisfit(
  destination: pg.Client,
  route: Route,
  writings: readonly Writing[],
  error: unknown,
): Promise<unknown> {
  if (!isMisfit(error)) return error;
  for (const writing of writings) {
    const said = await attempt(destination, route, writing, 0, writing.rows);
    if (!isMisfit(said)) continue;
    let [low, high] = [0, writing.rows];
    while (high - low > 1) {
      const middle = low + Math.ceil((high - low) / 2);
      if (isMisfit(await attempt(destination, route, writing, low, middle))) high = middle;
      else low = middle;
    }
    return new Failure(
      `${textOf(writing.table.target)} ${keyAt(writing, low)}: ${sentenceOf(said)}. ` +
        `${route.destination.side} refuses this row, so nothing of the batch was kept. Mend it in ` +
        `${route.origin.side}, or the mapping, and start the command again: it goes on.`,
      { cause: error },
    );
  }
  return error;
}

/** What writing the rows from `low` up to `high` fails with; undefined: it does not. */
async function attempt(
  destination: pg.Client,
  route: Route,
  writing: Writing,
  low: number,
  high: number,
): Promise<unknown> {
  const columns = writing.columns.map((column) => column.slice(low, high));
  try {
    await destination.query('begin');
    await openToTool(destination, route);
    await putRows(destination, { ...writing, columns, rows: high - low }, 'upsert');
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await destination.query('rollback').catch(() => {});
  }
}

function keyAt({ table, columns }: Writing, row: number): string {
  return JSON.stringify(
    table.key.map((name) => {
      const place = table.columns.findIndex((column) => column.name === name);
      return columns[place]?.[row] ?? null;
    }),
  );
}
