import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import {
  deleteUnshown,
  hasFixed,
  isClash,
  isReadDifferently,
  type Mode,
  makeRoom,
  putRows,
  readBack,
  readRows,
} from './apply.ts';
import { note } from './control.ts';
import { inTransaction, keepAwake, prepared, type Side, withSession } from './database.ts';
import { type Difference, forgetDifferences, readDifferences } from './difference.ts';
import { Failure, sentenceOf, sqlStateOf } from './failure.ts';
import { takeBatch, withEnds } from './follow.ts';
import { holdersOf } from './holders.ts';
import { type Run, routeOf, standing } from './migration.ts';
import { textOf } from './names.ts';
import { castKeys, lockKeys, type ResolvedTable } from './projection.ts';
import type { Route } from './resolve.ts';
import type { Ends } from './transfer.ts';

/** Rows of one table of one side. */
export interface RepairOrder {
  readonly side: Side;
  readonly table: string;
  readonly keys: Keys;
}

/** Rows of the live side at a time: writers of these very rows wait while they are repaired. */
const chunkRows = 500;

/** What `verify` has found on this side, as orders. */
export async function ordersFound(run: Run, side: Side): Promise<readonly RepairOrder[]> {
  const found = (await readDifferences(run.green.main)).filter((row) => row.side === side);
  const tables = new Map<string, Difference[]>();
  for (const row of found) tables.set(row.table, [...(tables.get(row.table) ?? []), row]);
  return [...tables].map(([table, rows]) => ({ side, table, keys: rows.map(({ key }) => key) }));
}

/**
 * Restores rows from the other side while writes go on. Into the side that is kept in step they are
 * simply transferred again. Into the live side each chunk is locked, what was written to it is
 * brought over first, and then the rows are written back: no newer write is lost.
 */
export async function repair(run: Run, orders: readonly RepairOrder[]): Promise<number> {
  const { phase } = await standing(run.blue, run.green, run.routes.forward.tables.length);
  const flow = routeOf(run, phase);
  const live = flow.origin;
  return withEnds(flow, (ends) =>
    withSession(live, async (writer) => {
      let repaired = 0;
      for (const order of orders) {
        const table = tableOf(run, order);
        await refuseOddKeys(run, order, table);
        // Writers of the rows that are locked wait only for what was written since.
        if (order.side === live.side) await drain(ends, flow, run.signal);
        for (let left = order.keys; left.length > 0; ) {
          run.signal.throwIfAborted();
          const keys =
            order.side === flow.destination.side
              ? await transferAgain(flow, ends, table, left)
              : await restoreLive({ writer, flow, ends }, table, left);
          await forgetDifferences(run.green.main, order.side, order.table, keys);
          left = left.slice(keys.length);
          repaired += keys.length;
          run.report.progress({ phase: 'repair', rowsDone: repaired });
        }
        const rows = order.keys.length;
        await note(run.green, 'repaired', { side: order.side, table: order.table, rows });
      }
      return repaired;
    }),
  );
}

function tableOf(run: Run, { side, table }: RepairOrder): ResolvedTable {
  const route = side === 'green' ? run.routes.forward : run.routes.reverse;
  const found = route?.tables.find(({ target }) => textOf(target) === table);
  if (found !== undefined) return found;
  throw new Failure(
    `The mapping fills no ${table} in ${side}, so there is nothing to restore it from.`,
  );
}

type Keys = readonly (readonly string[])[];

/** Before anything is logged: a key that no row can have would stop every batch after it. */
async function refuseOddKeys(run: Run, { side, keys }: RepairOrder, table: ResolvedTable) {
  const name = textOf(table.target);
  const columns = table.key.join(', ');
  const odd = keys.find((key) => key.length !== table.key.length);
  if (odd !== undefined) {
    throw new Failure(`--key ${JSON.stringify(odd)}: the key of ${name} is (${columns}).`);
  }
  const [destination, origin] = side === 'green' ? [run.green, run.blue] : [run.blue, run.green];
  const given = [JSON.stringify(keys)];
  await Promise.all([
    origin.main.query(castKeys(table, 'origin'), given),
    destination.main.query(castKeys(table, 'destination'), given),
  ]).catch((error: unknown) => {
    if (!/^22/.test(sqlStateOf(error))) throw error;
    throw new Failure(`No row of ${name} has such a key (${columns}): ${sentenceOf(error)}.`);
  });
}

/** All at once: they may have to exchange values of which no two rows may have the same. */
async function transferAgain(
  flow: Route,
  ends: Ends,
  table: ResolvedTable,
  keys: Keys,
): Promise<Keys> {
  await flow.origin.main.query(
    `insert into migrate.change (source_table, key, action)
     select $1, e.value, 'r' from jsonb_array_elements($2::jsonb) e`,
    [textOf(table.target), JSON.stringify(keys)],
  );
  await drain(ends, flow);
  return keys;
}

async function drain(ends: Ends, flow: Route, signal?: AbortSignal): Promise<void> {
  while (!(await takeBatch(ends, flow, 20_000)).complete) signal?.throwIfAborted();
}

/** The live side of a repair. */
interface Live {
  readonly writer: pg.Client;
  readonly flow: Route;
  readonly ends: Ends;
}

/**
 * Restores some of the rows that are left, and gives their keys. All of them at once where they have
 * to exchange values of which no two rows may have the same.
 */
async function restoreLive(live: Live, table: ResolvedTable, left: Keys): Promise<Keys> {
  const some = left.slice(0, chunkRows);
  try {
    await restorePatiently(live, table, some, hasFixed(table) ? 'insert' : 'upsert');
    return some;
  } catch (error) {
    if (isReadDifferently(error)) {
      await restorePatiently(live, table, some, 'insert');
      return some;
    }
    if (!isClash(error)) throw error;
  }
  try {
    await restorePatiently(live, table, left, 'insert');
    return left;
  } catch (error) {
    if (!isClash(error)) throw error;
    throw new Failure(
      `${textOf(table.target)}: ${sentenceOf(error)}. A row that is not to be repaired holds what one of ` +
        'these has to get: name that row too, or let "migrate verify" list it.',
    );
  }
}

/** Shorter than deadlock_timeout (a second), so that PostgreSQL ends no writer for our sake. */
const lockMs = 300;
const lockAttemptsMax = 60;
const lockPauseMs = 50;

/** Makes way for writers that hold some of the rows and want others, and tries again. */
async function restorePatiently(live: Live, table: ResolvedTable, keys: Keys, mode: Mode) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await restoreRows(live, table, keys, mode);
    } catch (error) {
      // lock_not_available, deadlock_detected
      if (!['55P03', '40P01'].includes(sqlStateOf(error))) throw error;
      if (attempt >= lockAttemptsMax) {
        throw new Failure(
          `${textOf(table.target)}: rows that are to be restored are kept locked. ` +
            `${await holdersOf(live.writer, [table.target], 'fence')} End them and start again.`,
        );
      }
      await sleep(lockPauseMs);
    }
  }
}

async function restoreRows(
  { writer, flow, ends }: Live,
  table: ResolvedTable,
  keys: Keys,
  mode: Mode,
): Promise<void> {
  await inTransaction(writer, async () => {
    await asRepairer(writer);
    const texts = keys.map((key) => JSON.stringify(key));
    // Rows that are missing here come first, as they are there now: no other writer inserts them meanwhile.
    if (mode === 'upsert') {
      await putRows(writer, await readRows(ends.destination, table, texts), 'missing');
    }
    await writer.query(prepared(lockKeys(table), [JSON.stringify(keys)]));
    // What was written to these rows and committed is on the other side after this.
    await keepAwake(writer, () => drain(ends, flow));
    const writing = await readRows(ends.destination, table, texts);
    if (mode === 'insert') await makeRoom(writer, table, texts);
    else await deleteUnshown(writer, writing);
    await putRows(writer, writing, mode);
    await readBack(writer, writing);
  });
}

/** Writes of a repair are no changes: the other side holds them already. */
async function asRepairer(client: pg.Client): Promise<void> {
  await client.query(
    `select set_config('migrate.origin', c.migration_id::text, true),
       set_config('session_replication_role', 'replica', true), set_config('lock_timeout', $1, true)
     from migrate.control c where c.state = 'live'`,
    [`${lockMs}ms`],
  );
}
