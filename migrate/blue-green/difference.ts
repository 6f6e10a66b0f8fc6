import type pg from 'pg';
import { z } from 'zod';
import type { Side } from './database.ts';

/** A row that is not what the other side says it should be. */
export interface Difference {
  /** Where the row is, or should be. */
  readonly side: Side;
  readonly table: string;
  /** Its primary key, as texts. */
  readonly key: readonly string[];
  readonly kind: 'missing' | 'extra' | 'differs';
}

const keyTexts = z.array(z.string());

/**
 * Each row once. Where the two servers order keys otherwise, as numbers and as text, a row of which
 * both have another version lies in two ranges and was found in each.
 */
export function eachOnce(differences: readonly Difference[]): readonly Difference[] {
  const rows = differences.map(
    (row) => [JSON.stringify([row.side, row.table, row.key]), row] as const,
  );
  return [...new Map(rows).values()];
}

/** Replaces what an earlier verification has found. */
export async function storeDifferences(
  client: pg.Client,
  differences: readonly Difference[],
): Promise<void> {
  await client.query('delete from migrate.difference');
  await client.query(
    `insert into migrate.difference (side, target_table, key, kind)
     select e.side, e."table", e.key, e.kind
     from jsonb_to_recordset($1::jsonb) e(side text, "table" text, key jsonb, kind text)`,
    [JSON.stringify(differences)],
  );
}

export async function readDifferences(client: pg.Client): Promise<readonly Difference[]> {
  const { rows } = await client.query<{
    side: Side;
    table: string;
    key: unknown;
    kind: Difference['kind'];
  }>(
    `select d.side, d.target_table as "table", d.key, d.kind from migrate.difference d
     order by d.side, d.target_table, d.key`,
  );
  return rows.map((row) => ({ ...row, key: keyTexts.parse(row.key) }));
}

/** These rows were repaired. */
export async function forgetDifferences(
  client: pg.Client,
  side: Side,
  table: string,
  keys: readonly (readonly string[])[],
): Promise<void> {
  await client.query(
    `delete from migrate.difference where side = $1 and target_table = $2
       and key in (select e.value from jsonb_array_elements($3::jsonb) e)`,
    [side, table, JSON.stringify(keys)],
  );
}
