import type pg from 'pg';
import { type Batch, insertBatch, readRows, warmWrites } from './apply.ts';
import { makeId } from './control.ts';
import { keepAwake, prepared } from './database.ts';
import { Failure } from './failure.ts';
import { textOf } from './names.ts';
import { affectedKeys, type ResolvedTable } from './projection.ts';
import type { Route } from './resolve.ts';
import { type Keys, write } from './write.ts';

/** The two sessions of a transfer: neither is used by anybody else meanwhile. */
export interface Ends {
  readonly origin: pg.Client;
  readonly destination: pg.Client;
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
  /** How many columns were captured. */
  readonly width: number;
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
  const { origin } = ends;
  try {
    const [, { changes, lagMs }] = await Promise.all([
      origin.query('begin isolation level repeatable read'),
      readChanges(origin, changesMax),
    ]);
    const complete = changes.length < changesMax;
    const keys = await keysOf(origin, route, changes);
    const given = { id: makeId(), changes: changes.length, lagMs, complete };
    const done = await keepAwake(origin, async () => {
      const batch = await write(ends, route, keys, given);
      await atPoint?.(batch);
      return batch;
    });
    await Promise.all([
      origin.query('commit'),
      ...(changes.length > 0 ? forget(origin, route, changes, done) : []),
    ]);
    return done;
  } catch (error) {
    await origin.query('rollback').catch(() => {});
    throw error;
  }
}

/** Lets both sessions parse and plan every statement of a transfer, before somebody waits for it. */
export async function warm(ends: Ends, route: Route): Promise<void> {
  const { origin, destination } = ends;
  await Promise.all([
    readChanges(origin, 0),
    ...route.tables.flatMap((table) => [
      readRows(origin, table, []),
      ...table.sources.map((source) => origin.query(prepared(affectedKeys(table, source), ['[]']))),
    ]),
    warmWrites(destination, route),
  ]);
}

async function readChanges(origin: pg.Client, limit: number) {
  const { rows } = await origin.query<Change & { lag_ms: number }>(
    prepared(
      `select c.id::text as id, c.source_table as table, c.key::text as key, c.action,
       jsonb_array_length(c.key) as width,
       (select jsonb_agg(e.value #>> '{}' order by e.at)::text
        from jsonb_array_elements(c.key) with ordinality e(value, at)) as texts,
       (extract(epoch from clock_timestamp() - c.changed_at) * 1000)::float8 as lag_ms
     from migrate.change c order by c.id limit $1`,
      [limit],
    ),
  );
  const lagMs = rows.reduce((most, row) => Math.max(most, row.lag_ms), 0);
  return { changes: rows, lagMs: Math.round(lagMs) };
}

/** Keys to transfer, by table of the destination, each once. */
async function keysOf(origin: pg.Client, route: Route, changes: readonly Change[]): Promise<Keys> {
  const found = await Promise.all(
    route.tables.map(async (table) => [table, await keysIn(origin, table, changes)] as const),
  );
  return new Map(found.filter(([, keys]) => keys.length > 0));
}

async function keysIn(
  origin: pg.Client,
  table: ResolvedTable,
  changes: readonly Change[],
): Promise<readonly string[]> {
  const keys = new Set<string>();
  const asked: Promise<pg.QueryResult<{ key: string }>>[] = [];
  for (const source of table.sources) {
    const of = changes.filter(
      (change) => change.action !== 'r' && change.table === textOf(source.table),
    );
    if (of.length === 0) continue;
    const other = of.find(({ width }) => width !== source.columns.length);
    if (other !== undefined) {
      throw new Failure(
        `${textOf(source.table)} ${other.key}: this change was captured by another mapping, so what it ` +
          'affects by this one is not known. Use the mapping that it was prepared with.',
      );
    }
    if (source.isKey) {
      for (const { texts } of of) keys.add(texts);
      continue;
    }
    const distinct = [...new Set(of.map(({ key }) => key))];
    asked.push(origin.query(prepared(affectedKeys(table, source), [`[${distinct.join(',')}]`])));
  }
  for (const { rows } of await Promise.all(asked)) for (const { key } of rows) keys.add(key);
  for (const change of changes) {
    if (change.action !== 'r' || change.table !== textOf(table.target)) continue;
    keys.add(change.key);
  }
  return [...keys].sort();
}

/** The destination has it: the log rows go, and the audit trail of the origin gets its row. */
function forget(
  origin: pg.Client,
  route: Route,
  changes: readonly Change[],
  batch: Batch,
): readonly Promise<unknown>[] {
  return [
    origin.query('begin'),
    origin.query(
      prepared('delete from migrate.change where id = any($1::bigint[])', [
        changes.map((change) => change.id),
      ]),
    ),
    insertBatch(origin, route, batch),
    origin.query('commit'),
  ];
}
