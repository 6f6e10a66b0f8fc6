import type pg from 'pg';
import { z } from 'zod';
import type { Run } from './migration.ts';
import { textOf } from './names.ts';
import { type KeyRange, nextBound, type ResolvedTable } from './projection.ts';

const keyTexts = z.array(z.string());

/**
 * Cuts what a table is filled with into ranges of `rangeRows` rows, from the key `from` on (null: the
 * first). The last range has no end. Each statement sees the rows of one range, so none lasts long.
 */
export async function cut(
  { signal, report }: Run,
  origin: pg.Client,
  table: ResolvedTable,
  from: KeyRange['low'],
): Promise<readonly KeyRange[]> {
  const ranges: KeyRange[] = [];
  for (let low = from; ; ) {
    signal.throwIfAborted();
    const { rows } = await origin.query<{ key: unknown }>(nextBound(table, low));
    const high = rows[0] === undefined ? null : keyTexts.parse(rows[0].key);
    ranges.push({ low, high });
    const rowsDone = ranges.length * table.rangeRows;
    report.progress({ phase: `cutting ${textOf(table.target)}`, rowsDone });
    if (high === null) return ranges;
    low = high;
  }
}
