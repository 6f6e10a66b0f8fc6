import type pg from 'pg';
import {
  type Batch,
  deleteUnshown,
  insertBatch,
  isClash,
  isReadDifferently,
  type Mode,
  makeRoom,
  openToTool,
  putRows,
  readBack,
  readRows,
  type Writing,
} from './apply.ts';
import { keepAwake } from './database.ts';
import { namedMisfit, namedUnreadable } from './misfit.ts';
import type { ResolvedTable } from './projection.ts';
import type { Route } from './resolve.ts';

/** The two sessions of a transfer. */
interface Sessions {
  readonly origin: pg.Client;
  readonly destination: pg.Client;
}

/** What a batch transfers: keys by table of the destination, each once. */
export type Keys = ReadonlyMap<ResolvedTable, readonly string[]>;

/** The batch that is written: its id, and what was read of the change log. */
export type Given = Pick<Batch, 'id' | 'changes' | 'lagMs' | 'complete'>;

/**
 * Makes the destination what the origin shows in its snapshot for `keys`, reads it back, and keeps
 * the audit row, or does nothing. Rows are in memory a portion at a time.
 */
export async function write(
  ends: Sessions,
  route: Route,
  keys: Keys,
  given: Given,
): Promise<Batch> {
  if (keys.size === 0) {
    return { ...given, upserted: 0, deleted: 0, originHash: 0n, writtenHash: 0n };
  }
  const attempt = (mode: Mode) =>
    // Between two portions it waits for the origin.
    keepAwake(ends.destination, () => writeOnce(ends, route, keys, given, mode));
  try {
    return await attempt('upsert');
  } catch (error) {
    // A key that was changed into an equal one (1.5 to 1.50) is not set by an update either.
    if (!isClash(error) && !isReadDifferently(error)) throw error;
    return attempt('insert');
  }
}

/** Two round trips a portion: where one statement fails, those on their way behind it fail too. */
async function writeOnce(
  { origin, destination }: Sessions,
  route: Route,
  keys: Keys,
  given: Given,
  mode: Mode,
): Promise<Batch> {
  let written: readonly Writing[] = [];
  let batch: Batch = { ...given, upserted: 0, deleted: 0, originHash: 0n, writtenHash: 0n };
  const begin = () => [
    destination.query('begin'),
    openToTool(destination, route),
    ...(mode === 'insert' ? [...keys].map((of) => makeRoom(destination, ...of)) : []),
  ];
  try {
    for await (const writings of portionsOf(origin, route, keys)) {
      const isFirst = written.length === 0;
      written = writings;
      const begun = Promise.all(isFirst ? begin() : []);
      const unshown = Promise.all(
        mode === 'upsert' ? writings.map((writing) => deleteUnshown(destination, writing)) : [],
      );
      const put = Promise.all(writings.map((writing) => putRows(destination, writing, mode)));
      const back = Promise.all(writings.map((writing) => readBack(destination, writing)));
      // The first that fails says why; those behind it fail only because it did.
      for (const behind of [unshown, put, back]) behind.catch(() => {});
      await begun;
      const deleted = await unshown;
      await put;
      const hashes = await back;
      batch = {
        ...batch,
        upserted: writings.reduce((sum, { rows }) => sum + rows, batch.upserted),
        deleted: deleted.reduce((sum, rows) => sum + rows, batch.deleted),
        originHash: writings.reduce((sum, { hash }) => sum + hash, batch.originHash),
        writtenHash: hashes.reduce((sum, hash) => sum + hash, batch.writtenHash),
      };
    }
    const kept = given.changes > 0 ? [insertBatch(destination, route, batch)] : [];
    await Promise.all([...kept, destination.query('commit')]);
    return batch;
  } catch (error) {
    await destination.query('rollback').catch(() => {});
    throw await namedMisfit(destination, route, written, error);
  }
}

/** Keys of the first portion: as many as are no burden, however wide their rows are. */
const firstKeysMax = 200;
const keysMaxMost = 20_000;
/** Bytes of rows that a portion is meant to have. */
const portionBytes = 32 * 1024 * 1024;

/** What the origin shows for the keys, so much at a time as fits into memory. */
async function* portionsOf(
  origin: pg.Client,
  route: Route,
  keys: Keys,
): AsyncGenerator<readonly Writing[]> {
  const left = [...keys].map(([table, list]) => ({ table, list, from: 0 }));
  let keysMax = firstKeysMax;
  while (left.length > 0) {
    const portion = new Map<ResolvedTable, readonly string[]>();
    let room = keysMax;
    for (let next = left[0]; next !== undefined && room > 0; next = left[0]) {
      const some = next.list.slice(next.from, next.from + room);
      portion.set(next.table, some);
      next.from += some.length;
      room -= some.length;
      if (next.from === next.list.length) left.shift();
    }
    const writings = await Promise.all(
      [...portion].map(([table, list]) => readRows(origin, table, list)),
    ).catch(async (error: unknown) => {
      throw await namedUnreadable(origin, route, portion, error);
    });
    const fitting = Math.floor((keysMax * portionBytes) / Math.max(1, bytesOf(writings)));
    keysMax = Math.max(1, Math.min(fitting, keysMax * 8, keysMaxMost));
    yield writings;
  }
}

function bytesOf(writings: readonly Writing[]): number {
  let bytes = 0;
  for (const { columns } of writings) {
    for (const column of columns) for (const value of column) bytes += value?.length ?? 0;
  }
  return bytes;
}
