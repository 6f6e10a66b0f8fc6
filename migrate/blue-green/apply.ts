import type pg from 'pg';
import { asTexts, prepared } from './database.ts';
import { Failure, sqlStateOf } from './failure.ts';
import { textOf } from './names.ts';
import {
  comeBack,
  deleteGone,
  deleteKeys,
  makeWay,
  projectedRows,
  type ResolvedTable,
  rowHashesOfKeys,
  upsertRows,
} from './projection.ts';
import type { Route } from './resolve.ts';

/** What one batch has done. */
export interface Batch {
  readonly id: string;
  readonly changes: number;
  readonly upserted: number;
  readonly deleted: number;
  /** Age of the oldest change in it, when it was read. */
  readonly lagMs: number;
  /** It took all changes that its snapshot of the origin showed. */
  readonly complete: boolean;
}

/** What one table of a batch becomes. */
export interface Writing {
  readonly table: ResolvedTable;
  readonly keys: readonly string[];
  /** One array per column, as `unnest` takes them. */
  readonly columns: readonly (readonly (string | null)[])[];
  readonly rows: number;
  readonly hash: bigint;
}

/**
 * The transaction of a transfer in the destination: triggers and foreign keys there do not act, the
 * guard lets it through, capture passes over it, and the destination cannot open before it ends.
 * Refuses when the destination is open already.
 */
export async function openToTool(destination: pg.Client, route: Route): Promise<void> {
  const { rowCount } = await destination.query(
    prepared(
      `with control as materialized (
       select c.migration_id::text as id from migrate.control c
       where c.state in ('copy', 'retired') and c.side = $1 for share)
     select set_config('migrate.origin', c.id, true),
       set_config('session_replication_role', 'replica', true) from control c`,
      [route.destination.side],
    ),
  );
  if (rowCount !== 1) {
    throw new Failure(
      `${route.destination.side} is live, so nothing may be transferred into it. ` +
        '"migrate status" says how things stand.',
    );
  }
}

/** What the origin shows for these keys. */
export async function readRows(
  origin: pg.Client,
  table: ResolvedTable,
  keys: readonly string[],
): Promise<Writing> {
  const { rows } = await origin.query<(string | null)[]>({
    ...prepared(projectedRows(table), [`[${keys.join(',')}]`]),
    types: asTexts,
    rowMode: 'array',
  });
  const hash = rows.reduce((sum, row) => sum + BigInt(row.at(-1) ?? 0), 0n);
  const columns = table.columns.map((_, at) => rows.map((row) => row[at] ?? null));
  return { table, keys, columns, rows: rows.length, hash };
}

/** The batch that is written: its id, and what was read of the change log. */
export interface Given {
  readonly id: string;
  readonly changes: number;
  readonly lagMs: number;
  readonly complete: boolean;
}

/** Makes the destination what `writings` say, reads it back, and keeps the audit row, or does nothing. */
export async function write(
  destination: pg.Client,
  route: Route,
  writings: readonly Writing[],
  given: Given,
): Promise<Batch> {
  if (writings.length === 0) return { ...given, upserted: 0, deleted: 0 };
  const attempt = (mode: Mode) => writeOnce(destination, route, writings, given, mode);
  try {
    return await attempt('upsert');
  } catch (error) {
    const fixed = writings.some(({ table }) => hasFixed(table));
    if (isClash(error) || (fixed && isReadDifferently(error))) return attempt('insert');
    throw error;
  }
}

/** unique_violation, exclusion_violation: rows may have exchanged values. */
export const isClash = (error: unknown) => ['23505', '23P01'].includes(sqlStateOf(error));

/** A row with another value in such a column has to be inserted anew. */
export const hasFixed = (table: ResolvedTable) =>
  table.columns.some(({ name, fixed }) => fixed && !table.key.includes(name));

/** Two round trips: where one statement fails, those on their way behind it fail too. */
async function writeOnce(
  destination: pg.Client,
  route: Route,
  writings: readonly Writing[],
  given: Given,
  mode: Mode,
): Promise<Batch> {
  try {
    const [, , deleted, , hashes] = await Promise.all([
      destination.query('begin'),
      openToTool(destination, route),
      Promise.all(writings.map((writing) => makeRoom(destination, writing, mode))),
      Promise.all(writings.map((writing) => putRows(destination, writing, mode))),
      Promise.all(writings.map((writing) => readBack(destination, writing))),
    ]);
    const batch: Batch = {
      ...given,
      upserted: writings.reduce((sum, { rows }) => sum + rows, 0),
      deleted: mode === 'insert' ? 0 : deleted.reduce((sum, rows) => sum + rows, 0),
    };
    const written = hashes.reduce((sum, hash) => sum + hash, 0n);
    const kept =
      given.changes > 0 ? [insertBatch(destination, route, writings, written, batch)] : [];
    await Promise.all([...kept, destination.query('commit')]);
    return batch;
  } catch (error) {
    await destination.query('rollback').catch(() => {});
    throw error;
  }
}

/** Lets the session parse and plan what {@link write} will say, and changes nothing. */
export async function warmWrites(destination: pg.Client, route: Route): Promise<void> {
  const none = route.tables.map((table) => ({ table, columns: table.columns.map(() => []) }));
  await Promise.all([
    destination.query('begin'),
    openToTool(destination, route),
    ...none.flatMap(({ table, columns }) => [
      destination.query(prepared(deleteGone(table), ['[]', ...table.key.map(() => [])])),
      destination.query(prepared(upsertRows(table, 'upsert'), columns)),
      destination.query(prepared(rowHashesOfKeys(table, 'destination'), ['[]'])),
    ]),
    destination.query('rollback'),
  ]);
}

/**
 * `upsert` touches what differs and is the rule. `insert` lets all rows make room before they come
 * back: where they exchange values of which no two rows may have the same.
 */
export type Mode = 'upsert' | 'insert';

/** Deletes what the projection does not show any more; for `insert` all keys of the batch. */
export async function makeRoom(destination: pg.Client, writing: Writing, mode: Mode) {
  const { table, keys, rows } = writing;
  const given = `[${keys.join(',')}]`;
  if (mode === 'upsert') {
    if (rows === keys.length) return 0;
    const shown = table.key.map((name) => {
      const place = table.columns.findIndex((column) => column.name === name);
      return [...(writing.columns[place] ?? [])];
    });
    return (await destination.query(prepared(deleteGone(table), [given, ...shown]))).rowCount ?? 0;
  }
  if (table.kept.length === 0) {
    return (await destination.query(prepared(deleteKeys(table), [given]))).rowCount ?? 0;
  }
  const [create, move] = makeWay(table);
  await Promise.all([destination.query(create), destination.query(move, [given])]);
  return 0;
}

const copied = ({ columns }: Writing) => columns.map((column) => [...column]);

/** Inserts the rows, or updates those that are there. */
export async function putRows(destination: pg.Client, writing: Writing, mode: Mode) {
  if (writing.rows === 0) return;
  const { table } = writing;
  if (mode === 'insert' && table.kept.length > 0) {
    const [known, fresh] = comeBack(table);
    await Promise.all([
      destination.query(known, copied(writing)),
      destination.query(fresh, copied(writing)),
    ]);
    return;
  }
  await destination.query(prepared(upsertRows(table, mode), copied(writing)));
}

/** What is read back is not what was written. */
const differently = Symbol('read back differently');
const isReadDifferently = (error: unknown) =>
  error instanceof Failure && error.cause === differently;

/** Hash of what is there now for the keys of a batch; refuses when it is not what was read. */
async function readBack(destination: pg.Client, writing: Writing): Promise<bigint> {
  const { rows } = await destination.query<{ key: string; hash: string }>(
    prepared(rowHashesOfKeys(writing.table, 'destination'), [`[${writing.keys.join(',')}]`]),
  );
  const hash = rows.reduce((sum, row) => sum + BigInt(row.hash), 0n);
  if (rows.length !== writing.rows || hash !== writing.hash) {
    throw new Failure(
      `${textOf(writing.table.target)}: ${writing.rows} rows were written and read back ` +
        `differently (${rows.length} rows). Something in the destination changes them: an "enable ` +
        'always" trigger, or a type that rounds what the projection gives. Cast in the projection.',
      { cause: differently },
    );
  }
  return hash;
}

/** A batch's row in the audit trail of one side. */
export async function insertBatch(
  client: pg.Client,
  route: Route,
  writings: readonly Writing[],
  written: bigint,
  batch: Batch,
): Promise<void> {
  const read = writings.reduce((sum, { hash }) => sum + hash, 0n);
  await client.query(
    prepared(
      `insert into migrate.batch (id, direction, changes, upserted, deleted, origin_hash,
       written_hash, lag_ms)
     values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing`,
      [
        batch.id,
        `${route.origin.side} to ${route.destination.side}`,
        batch.changes,
        batch.upserted,
        batch.deleted,
        String(read),
        String(written),
        batch.lagMs,
      ],
    ),
  );
}
