import type pg from 'pg';
import { openToTool, putRows, readRows, type Writing } from './apply.ts';
import { Failure, sentenceOf, sqlStateOf } from './failure.ts';
import { textOf } from './names.ts';
import { type ResolvedTable, tooLong } from './projection.ts';
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
  // cardinality_violation: one statement would set a row twice.
  if (sqlStateOf(error) === '21000') return namedTwice(route, writings) ?? error;
  if (!isMisfit(error)) return error;
  for (const writing of writings) {
    const said = await attempt(destination, route, writing, 0, writing.rows);
    if (!isMisfit(said)) continue;
    const low = await firstOf(writing.rows, async (from, to) =>
      isMisfit(await attempt(destination, route, writing, from, to)),
    );
    return new Failure(
      `${textOf(writing.table.target)} ${keyAt(writing, low)}: ${sentenceOf(said)}. ` +
        `${route.destination.side} refuses this row, so nothing of the batch was kept. Mend it in ` +
        `${route.origin.side}, or the mapping, and start the command again: it goes on.`,
      { cause: error },
    );
  }
  return error;
}

/** A {@link Failure} about the first key that several projected rows have. */
function namedTwice(route: Route, writings: readonly Writing[]): Failure | undefined {
  for (const writing of writings) {
    const seen = new Set<string>();
    for (let row = 0; row < writing.rows; row += 1) {
      const key = keyAt(writing, row);
      if (seen.has(key)) {
        return new Failure(
          `${textOf(writing.table.target)} ${key}: the projection gives several rows with this key, of ` +
            `which ${route.destination.side} can have one; nothing of the batch was kept. Mend the ` +
            `mapping, or the rows of ${route.origin.side}, and start the command again: it goes on.`,
        );
      }
      seen.add(key);
    }
  }
  return undefined;
}

/**
 * The same where the projection itself fails on a row of the origin. Ends the transaction that the
 * origin is in, which has failed.
 */
export async function namedUnreadable(
  origin: pg.Client,
  route: Route,
  keys: ReadonlyMap<ResolvedTable, readonly string[]>,
  error: unknown,
): Promise<unknown> {
  if (!isMisfit(error)) return error;
  await origin.query('rollback');
  for (const [table, list] of keys) {
    const read = (from: number, to: number) =>
      readRows(origin, table, list.slice(from, to)).then(
        () => undefined,
        (again: unknown) => again,
      );
    const said = await read(0, list.length);
    if (!isMisfit(said)) continue;
    const low = await firstOf(list.length, async (from, to) => isMisfit(await read(from, to)));
    const length = sentenceOf(said).includes(tooLong) && /"(.*)"/.exec(sentenceOf(said))?.[1];
    if (length) {
      return new Failure(
        `${textOf(table.target)} ${list[low] ?? ''}: ${length}, so nothing of the batch was kept. ` +
          `Shorten it in ${route.origin.side}, or leave the column out of the mapping and bring it ` +
          'by other means; then start the command again: it goes on.',
        { cause: error },
      );
    }
    return new Failure(
      `${textOf(table.target)} ${list[low] ?? ''}: ${sentenceOf(said)}. The projection fails on this ` +
        `row of ${route.origin.side}, so nothing of the batch was kept. Mend the row or the mapping, ` +
        'and start the command again: it goes on. Where there is no such row any more, delete its key ' +
        `from migrate.change in ${route.origin.side}.`,
      { cause: error },
    );
  }
  return error;
}

/** The first of `count` places of which one is wrong, found by halves. */
async function firstOf(
  count: number,
  isWrong: (from: number, to: number) => Promise<boolean>,
): Promise<number> {
  let [low, high] = [0, count];
  while (high - low > 1) {
    const middle = low + Math.ceil((high - low) / 2);
    if (await isWrong(low, middle)) high = middle;
    else low = middle;
  }
  return low;
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
