import type pg from 'pg';
import { z } from 'zod';
import type { KeyRange } from './projection.ts';

/** A range of the copy, as it is kept in green. */
export interface StoredRange extends KeyRange {
  readonly id: number;
  readonly table: string;
  readonly copiedRows: number | null;
}

const bound = z.array(z.string()).nullable();

/** All ranges, in order. */
export async function readRanges(client: pg.Client): Promise<readonly StoredRange[]> {
  const { rows } = await client.query<{
    id: number;
    target_table: string;
    low: unknown;
    high: unknown;
    copied_rows: number | null;
  }>(
    `select r.id, r.target_table, r.low, r.high, r.copied_rows::float8 as copied_rows
     from migrate.range r order by r.id`,
  );
  return rows.map((row) => ({
    id: row.id,
    table: row.target_table,
    low: bound.parse(row.low),
    high: bound.parse(row.high),
    copiedRows: row.copied_rows,
  }));
}

/** Tables that the copy has cut into ranges: what they hold, it has brought. */
export async function tablesBegun(client: pg.Client): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ name: string }>(
    'select distinct r.target_table as name from migrate.range r',
  );
  return new Set(rows.map(({ name }) => name));
}

/** Stores the ranges of one table, all or none. */
export async function insertRanges(
  client: pg.Client,
  table: string,
  ranges: readonly KeyRange[],
): Promise<void> {
  await client.query(
    `insert into migrate.range (id, target_table, low, high)
     select (select coalesce(max(r.id), 0) from migrate.range r) + e.at, $1,
       nullif(e.value->'low', 'null'), nullif(e.value->'high', 'null')
     from jsonb_array_elements($2::jsonb) with ordinality e(value, at)`,
    [table, JSON.stringify(ranges)],
  );
}

/** Marks a range as copied, in the transaction that brought its rows. */
export async function markCopied(
  client: pg.Client,
  range: {
    readonly id: number;
    readonly rows: number;
    readonly bytes: number;
    readonly sha256: Buffer;
  },
): Promise<void> {
  await client.query(
    `update migrate.range set copied_rows = $2, copied_bytes = $3, stream_sha256 = $4,
       database_user = session_user, copied_at = clock_timestamp()
     where id = $1 and copied_at is null`,
    [range.id, range.rows, range.bytes, range.sha256],
  );
}
