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
  /** Sums over the rows read in the origin, and over the same keys read back in the destination. */
  readonly originHash: bigint;
  readonly writtenHash: bigint;
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

/** unique_violation, exclusion_violation: rows may have exchanged values. */
export const isClash = (error: unknown) => ['23505', '23P01'].includes(sqlStateOf(error));

/** A row with another value in such a column has to be inserted anew. */
export const hasFixed = (table: ResolvedTable) =>
  table.columns.some(({ name, fixed }) => fixed && !table.key.includes(name));

/** Lets the session parse and plan what a batch will say, and changes nothing. */
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
 * back: where they exchange values of which no two rows may have the same. `missing` leaves rows alone
 * that are there.
 */
export type Mode = 'upsert' | 'insert' | 'missing';

/** Deletes what the projection does not show any more; gives how many rows. */
export async function deleteUnshown(destination: pg.Client, writing: Writing): Promise<number> {
  const { table, keys, rows } = writing;
  if (rows === keys.length) return 0;
  const shown = table.key.map((name) => {
    const place = table.columns.findIndex((column) => column.name === name);
    return [...(writing.columns[place] ?? [])];
  });
  const values = [`[${keys.join(',')}]`, ...shown];
  return (await destination.query(prepared(deleteGone(table), values))).rowCount ?? 0;
}

/** Before `insert`: all rows with these keys make room. */
export async function makeRoom(
  destination: pg.Client,
  table: ResolvedTable,
  keys: readonly string[],
): Promise<void> {
  const given = `[${keys.join(',')}]`;
  if (table.kept.length === 0) {
    await destination.query(prepared(deleteKeys(table), [given]));
    return;
  }
  const [create, move] = makeWay(table);
  await Promise.all([destination.query(create), destination.query(move, [given])]);
}

const copied = ({ columns }: Writing) => columns.map((column) => [...column]);

/** Bytes of rows in one statement: far from the 512 MB that one string of JavaScript may hold. */
const statementBytes = 32 * 1024 * 1024;

/** Cuts rows, given by columns, into parts of so many bytes, each of one row at least: [from, to). */
export function partsOf(
  { columns, rows }: Pick<Writing, 'columns' | 'rows'>,
  bytesMax: number,
): readonly (readonly [from: number, to: number])[] {
  const parts: (readonly [number, number])[] = [];
  let [from, bytes] = [0, 0];
  for (let row = 0; row < rows; row += 1) {
    const more = columns.reduce((sum, column) => sum + (column[row]?.length ?? 0), 0);
    if (row > from && bytes + more > bytesMax) {
      parts.push([from, row]);
      [from, bytes] = [row, 0];
    }
    bytes += more;
  }
  return from < rows ? [...parts, [from, rows]] : parts;
}

/** Inserts the rows, or updates those that are there. */
export async function putRows(destination: pg.Client, writing: Writing, mode: Mode) {
  // All on their way at once, so that what is asked next is answered after them.
  await Promise.all(
    partsOf(writing, statementBytes).map(([from, to]) => {
      const columns = writing.columns.map((column) => column.slice(from, to));
      return putPart(destination, { ...writing, columns, rows: to - from }, mode);
    }),
  );
}

async function putPart(destination: pg.Client, writing: Writing, mode: Mode) {
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
/** Something in the destination changes what is written. */
export const isReadDifferently = (error: unknown) =>
  error instanceof Failure && error.cause === differently;

/** Hash of what is there now for the keys of a batch; refuses when it is not what was read. */
export async function readBack(destination: pg.Client, writing: Writing): Promise<bigint> {
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
export async function insertBatch(client: pg.Client, route: Route, batch: Batch): Promise<void> {
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
        String(batch.originHash),
        String(batch.writtenHash),
        batch.lagMs,
      ],
    ),
  );
}
