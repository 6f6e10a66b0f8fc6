import type pg from 'pg';
import { z } from 'zod';
import { cut } from './cut.ts';
import { inTransaction, withSession } from './database.ts';
import type { Run } from './migration.ts';
import { textOf } from './names.ts';
import { type KeyRange, type ResolvedTable, rangeTouched } from './projection.ts';
import { readRanges } from './range.ts';
import type { Route } from './resolve.ts';

/**
 * A range of keys as the last verification saw it. It lies in the database whose rows it names, so
 * that its transaction ids are that database's own.
 */
export interface VerifiedRange extends KeyRange {
  /** Its place among the ranges of its table. */
  readonly id: number;
  /** Rows there when both sides agreed; undefined: never compared, or they did not agree. */
  readonly rows: string | undefined;
  /** Transactions that this snapshot did not show have this id or a later one. */
  readonly marker: string | undefined;
}

const bound = z.array(z.string()).nullable();

/**
 * The ranges of the last verification; for the first one those of the copy where there are some,
 * else cut from the origin now. The last range has no end, so it is cut again when it has grown.
 */
export async function rangesToVerify(
  run: Run,
  route: Route,
  table: ResolvedTable,
): Promise<readonly VerifiedRange[]> {
  const name = textOf(table.target);
  const client = route.destination.main;
  const known = await readVerifiedRanges(client, name);
  const last = known.at(-1);
  if (last !== undefined && Number(last.rows ?? 0) <= 2 * table.rangeRows) return known;
  const forward = last === undefined && route === run.routes.forward;
  const copied = forward ? await readRanges(run.green.main) : [];
  const own = copied.filter((range) => range.table === name);
  const ranges =
    own.length > 0
      ? own.map(({ low, high }) => ({ low, high }))
      : await withSession(route.origin, (origin) => cut(run, origin, table, last?.low ?? null));
  await replaceRanges(client, name, last?.id ?? 0, ranges);
  return readVerifiedRanges(client, name);
}

/** All ranges of one table, in order; none where it was never verified. */
async function readVerifiedRanges(
  client: pg.Client,
  table: string,
): Promise<readonly VerifiedRange[]> {
  const { rows } = await client.query<{
    id: number;
    low: unknown;
    high: unknown;
    rows: string | null;
    marker: string | null;
  }>(
    `select v.id, v.low, v.high, v.rows::text as rows, v.marker::text as marker
     from migrate.verified_range v where v.target_table = $1 order by v.id`,
    [table],
  );
  return rows.map((row) => ({
    id: row.id,
    low: bound.parse(row.low),
    high: bound.parse(row.high),
    rows: row.rows ?? undefined,
    marker: row.marker ?? undefined,
  }));
}

/** Replaces the ranges of one table from `firstId` on; the new ones were never compared. */
async function replaceRanges(
  client: pg.Client,
  table: string,
  firstId: number,
  ranges: readonly KeyRange[],
): Promise<void> {
  await inTransaction(client, async () => {
    await client.query('delete from migrate.verified_range where target_table = $1 and id >= $2', [
      table,
      firstId,
    ]);
    await client.query(
      `insert into migrate.verified_range (target_table, id, low, high)
       select $1, $2::integer + e.at::integer - 1, e.value->'low', e.value->'high'
       from jsonb_array_elements($3::jsonb) with ordinality e(value, at)`,
      [table, firstId, JSON.stringify(ranges)],
    );
  });
}

/**
 * Whether a range holds other rows than when it was verified. Whatever is written there, by whomever
 * and past every trigger, is a row version of a later transaction; what is only deleted is missing
 * from the count. (A disk that changes bytes in place is seen by a comparison of all only.)
 */
export async function isTouched(
  client: pg.Client,
  table: ResolvedTable,
  range: VerifiedRange,
): Promise<boolean> {
  if (range.rows === undefined || range.marker === undefined) return true;
  const { rows } = await client.query<{ touched: boolean }>(rangeTouched(table, range), [
    range.rows,
    range.marker,
  ]);
  return rows[0]?.touched !== false;
}

/** What a comparison saw in the database of the range. */
export interface Seen {
  readonly rows: string;
  readonly hash: string;
  readonly marker: string;
  /** Count and sum of hashes of each bucket of rows. */
  readonly buckets: Readonly<Record<string, string>>;
}

/** Both sides agreed at `seen`; undefined: they did not, so it is compared again next time. */
export async function markRange(
  client: pg.Client,
  table: ResolvedTable,
  range: VerifiedRange,
  seen: Seen | undefined,
): Promise<void> {
  await client.query(
    `update migrate.verified_range set rows = $3, hash = $4, marker = $5::xid8,
       verified_at = case when $3::bigint is not null then clock_timestamp() end
     where target_table = $1 and id = $2`,
    [textOf(table.target), range.id, seen?.rows ?? null, seen?.hash ?? null, seen?.marker ?? null],
  );
}

/** Nothing counts as verified any more. */
export async function forgetMarks(client: pg.Client): Promise<void> {
  await client.query(
    'update migrate.verified_range set rows = null, hash = null, marker = null, verified_at = null',
  );
}
