import type pg from 'pg';
import { makeId } from './control.ts';
import { asTexts, inTransaction } from './database.ts';
import { Failure, sqlStateOf } from './failure.ts';
import { textOf } from './names.ts';
import {
  affectedKeys,
  deleteKeys,
  projectedRows,
  type ResolvedTable,
  rowHashesOfKeys,
  upsertRows,
} from './projection.ts';
import type { Route } from './resolve.ts';

/** The two sessions of a transfer: neither is used by anybody else meanwhile. */
export interface Ends {
  readonly origin: pg.Client;
  readonly destination: pg.Client;
}

/** What one batch has done. */
export interface Batch {
  readonly changes: number;
  readonly upserted: number;
  readonly deleted: number;
  /** Age of the oldest change in it, when it was read. */
  readonly lagMs: number;
  /** It took all changes that its snapshot of the origin showed. */
  readonly complete: boolean;
}

/** A row of `migrate.change`. */
interface Change {
  readonly id: string;
  readonly table: string;
  /** JSON as PostgreSQL wrote it: a number may be longer than JavaScript can hold. */
  readonly key: string;
  /** The same as an array of texts, which is how target keys are written. */
  readonly texts: string;
  readonly action: string;
}

/** What one table of a batch becomes. */
interface Writing {
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
    `with control as materialized (
       select c.migration_id::text as id from migrate.control c
       where c.state in ('copy', 'retired') and c.side = $1 for share)
     select set_config('migrate.origin', c.id, true),
       set_config('session_replication_role', 'replica', true) from control c`,
    [route.destination.side],
  );
  if (rowCount !== 1) {
    throw new Failure(
      `${route.destination.side} is live, so nothing may be transferred into it. ` +
        '"migrate status" says how things stand.',
    );
  }
}

/**
 * Transfers the changes that one snapshot of the origin shows, at most `changesMax`: reads the
 * projection again for every key that they affect, and makes the destination so. The log rows go
 * when the destination has committed; a tool that dies before does the batch again, with the same
 * result. `atPoint` runs before the snapshot ends: for a complete batch, the destination is then
 * what the origin shows in it.
 */
export async function transfer(
  ends: Ends,
  route: Route,
  changesMax: number,
  atPoint?: (batch: Batch) => Promise<void>,
): Promise<Batch> {
  const { origin, destination } = ends;
  await origin.query('begin isolation level repeatable read');
  try {
    const { changes, lagMs } = await readChanges(origin, changesMax);
    const complete = changes.length < changesMax;
    const keys = await keysOf(origin, route, changes);
    const writings: Writing[] = [];
    for (const [table, list] of keys) writings.push(await readRows(origin, table, list));
    const id = makeId();
    const done = await write(destination, route, writings, { id, changes, lagMs, complete });
    await atPoint?.(done);
    await origin.query('commit');
    if (changes.length > 0) await forget(origin, route, writings, id, changes, done);
    return done;
  } catch (error) {
    await origin.query('rollback').catch(() => {});
    throw error;
  }
}

async function readChanges(origin: pg.Client, limit: number) {
  const { rows } = await origin.query<Change & { lag_ms: number }>(
    `select c.id::text as id, c.source_table as table, c.key::text as key, c.action,
       (select jsonb_agg(e.value #>> '{}' order by e.at)::text
        from jsonb_array_elements(c.key) with ordinality e(value, at)) as texts,
       (extract(epoch from clock_timestamp() - c.changed_at) * 1000)::float8 as lag_ms
     from migrate.change c order by c.id limit $1`,
    [limit],
  );
  const lagMs = rows.reduce((most, row) => Math.max(most, row.lag_ms), 0);
  return { changes: rows, lagMs: Math.round(lagMs) };
}

/** Keys to transfer, by table of the destination, each once. */
async function keysOf(
  origin: pg.Client,
  route: Route,
  changes: readonly Change[],
): Promise<ReadonlyMap<ResolvedTable, readonly string[]>> {
  const found = new Map<ResolvedTable, readonly string[]>();
  for (const table of route.tables) {
    const keys = new Set<string>();
    for (const source of table.sources) {
      const of = changes.filter(
        (change) => change.action !== 'r' && change.table === textOf(source.table),
      );
      if (of.length === 0) continue;
      if (source.isKey) {
        for (const { texts } of of) keys.add(texts);
        continue;
      }
      const distinct = [...new Set(of.map(({ key }) => key))];
      const { rows } = await origin.query<{ key: string }>(affectedKeys(table, source), [
        `[${distinct.join(',')}]`,
      ]);
      for (const { key } of rows) keys.add(key);
    }
    for (const change of changes) {
      if (change.action !== 'r' || change.table !== textOf(table.target)) continue;
      keys.add(change.key);
    }
    if (keys.size > 0) found.set(table, [...keys].sort());
  }
  return found;
}

async function readRows(
  origin: pg.Client,
  table: ResolvedTable,
  keys: readonly string[],
): Promise<Writing> {
  const { rows } = await origin.query<(string | null)[]>({
    text: projectedRows(table),
    values: [`[${keys.join(',')}]`],
    types: asTexts,
    rowMode: 'array',
  });
  const hash = rows.reduce((sum, row) => sum + BigInt(row.at(-1) ?? 0), 0n);
  const columns = table.columns.map((_, at) => rows.map((row) => row[at] ?? null));
  return { table, keys, columns, rows: rows.length, hash };
}

async function write(
  destination: pg.Client,
  route: Route,
  writings: readonly Writing[],
  given: {
    readonly id: string;
    readonly changes: readonly Change[];
    readonly lagMs: number;
    readonly complete: boolean;
  },
): Promise<Batch> {
  const attempt = (mode: 'upsert' | 'insert') =>
    inTransaction(destination, async () => {
      await openToTool(destination, route);
      let deleted = 0;
      for (const writing of writings) deleted += await makeRoom(destination, writing, mode);
      for (const writing of writings) await putRows(destination, writing, mode);
      let written = 0n;
      for (const writing of writings) written += await readBack(destination, writing);
      const batch = {
        changes: given.changes.length,
        upserted: writings.reduce((sum, { rows }) => sum + rows, 0),
        deleted: mode === 'insert' ? 0 : deleted,
        lagMs: given.lagMs,
        complete: given.complete,
      };
      if (given.changes.length > 0) {
        await insertBatch(destination, route, given.id, writings, written, batch);
      }
      return batch;
    });
  if (writings.length === 0) {
    const lagMs = given.lagMs;
    return {
      changes: given.changes.length,
      upserted: 0,
      deleted: 0,
      lagMs,
      complete: given.complete,
    };
  }
  try {
    return await attempt('upsert');
  } catch (error) {
    // unique_violation: rows have exchanged values; they all make room before they come back.
    const whole = writings.every(({ table }) => table.whole);
    if (sqlStateOf(error) !== '23505' || !whole) throw error;
    return attempt('insert');
  }
}

/** Deletes what the projection does not show any more; for `insert` all keys of the batch. */
async function makeRoom(destination: pg.Client, writing: Writing, mode: 'upsert' | 'insert') {
  const { table, keys, rows } = writing;
  if (mode === 'upsert' && rows === keys.length) return 0;
  const shown = new Set(mode === 'insert' ? [] : shownKeys(writing));
  const gone = keys.filter((key) => !shown.has(normalKey(key)));
  const { rowCount } = await destination.query(deleteKeys(table), [`[${gone.join(',')}]`]);
  return rowCount ?? 0;
}

function shownKeys({ table, columns, rows }: Writing): readonly string[] {
  const places = table.key.map((name) => table.columns.findIndex((column) => column.name === name));
  return Array.from({ length: rows }, (_, row) =>
    JSON.stringify(places.map((place) => columns[place]?.[row] ?? null)),
  );
}

const normalKey = (key: string) => JSON.stringify(JSON.parse(key));

async function putRows(destination: pg.Client, writing: Writing, mode: 'upsert' | 'insert') {
  if (writing.rows === 0) return;
  await destination.query(
    upsertRows(writing.table, mode),
    writing.columns.map((column) => [...column]),
  );
}

/** Hash of what is there now for the keys of a batch; refuses when it is not what was read. */
async function readBack(destination: pg.Client, writing: Writing): Promise<bigint> {
  const { rows } = await destination.query<{ key: string; hash: string }>(
    rowHashesOfKeys(writing.table, 'destination'),
    [`[${writing.keys.join(',')}]`],
  );
  const hash = rows.reduce((sum, row) => sum + BigInt(row.hash), 0n);
  if (rows.length !== writing.rows || hash !== writing.hash) {
    throw new Failure(
      `${textOf(writing.table.target)}: ${writing.rows} rows were written and read back ` +
        `differently (${rows.length} rows). Something in the destination changes them: an "enable ` +
        'always" trigger, or a type that rounds what the projection gives. Cast in the projection.',
    );
  }
  return hash;
}

async function insertBatch(
  client: pg.Client,
  route: Route,
  id: string,
  writings: readonly Writing[],
  written: bigint,
  batch: Batch,
): Promise<void> {
  const read = writings.reduce((sum, { hash }) => sum + hash, 0n);
  await client.query(
    `insert into migrate.batch (id, direction, changes, upserted, deleted, origin_hash,
       written_hash, lag_ms)
     values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing`,
    [
      id,
      `${route.origin.side} to ${route.destination.side}`,
      batch.changes,
      batch.upserted,
      batch.deleted,
      String(read),
      String(written),
      batch.lagMs,
    ],
  );
}

/** The destination has it: the log rows go, and the audit trail of the origin gets its row. */
async function forget(
  origin: pg.Client,
  route: Route,
  writings: readonly Writing[],
  id: string,
  changes: readonly Change[],
  batch: Batch,
): Promise<void> {
  const read = writings.reduce((sum, { hash }) => sum + hash, 0n);
  await inTransaction(origin, async () => {
    await origin.query('delete from migrate.change where id = any($1::bigint[])', [
      changes.map((change) => change.id),
    ]);
    await insertBatch(origin, route, id, writings, read, batch);
  });
}
