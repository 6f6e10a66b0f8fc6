import type pg from 'pg';
import { deleteUnshown, hasFixed, makeRoom, putRows, readRows } from './apply.ts';
import { note } from './control.ts';
import { inTransaction, keepAwake, prepared, type Side, withSession } from './database.ts';
import { type Difference, forgetDifferences, readDifferences } from './difference.ts';
import { Failure } from './failure.ts';
import { takeBatch, withEnds } from './follow.ts';
import { type Run, routeOf, standing } from './migration.ts';
import { textOf } from './names.ts';
import { lockKeys, type ResolvedTable } from './projection.ts';
import type { Route } from './resolve.ts';
import type { Ends } from './transfer.ts';

/** Rows of one table of one side. */
export interface RepairOrder {
  readonly side: Side;
  readonly table: string;
  readonly keys: readonly (readonly string[])[];
}

/** Rows at a time: writers of these very rows wait while they are repaired. */
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
        for (let at = 0; at < order.keys.length; at += chunkRows) {
          run.signal.throwIfAborted();
          const keys = order.keys.slice(at, at + chunkRows);
          if (order.side === flow.destination.side) await transferAgain(flow, ends, table, keys);
          else await restoreLive(writer, flow, ends, table, keys);
          await forgetDifferences(run.green.main, order.side, order.table, keys);
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

async function transferAgain(
  flow: Route,
  ends: Ends,
  table: ResolvedTable,
  keys: readonly (readonly string[])[],
): Promise<void> {
  await flow.origin.main.query(
    `insert into migrate.change (source_table, key, action)
     select $1, e.value, 'r' from jsonb_array_elements($2::jsonb) e`,
    [textOf(table.target), JSON.stringify(keys)],
  );
  await drain(ends, flow);
}

async function drain(ends: Ends, flow: Route): Promise<void> {
  while (!(await takeBatch(ends, flow, 20_000)).complete);
}

async function restoreLive(
  writer: pg.Client,
  flow: Route,
  ends: Ends,
  table: ResolvedTable,
  keys: readonly (readonly string[])[],
): Promise<void> {
  const given = [JSON.stringify(keys)];
  await inTransaction(writer, async () => {
    await asRepairer(writer);
    await writer.query(prepared(lockKeys(table), given));
    // What was written to these rows and committed is on the other side after this.
    await keepAwake(writer, () => drain(ends, flow));
    const texts = keys.map((key) => JSON.stringify(key));
    const writing = await readRows(ends.destination, table, texts);
    if (hasFixed(table)) {
      await makeRoom(writer, table, texts);
      await putRows(writer, writing, 'insert');
      return;
    }
    await deleteUnshown(writer, writing);
    await putRows(writer, writing, 'upsert');
  });
}

/** Writes of a repair are no changes: the other side holds them already. */
async function asRepairer(client: pg.Client): Promise<void> {
  await client.query(
    `select set_config('migrate.origin', c.migration_id::text, true),
       set_config('session_replication_role', 'replica', true), set_config('lock_timeout', '5s', true)
     from migrate.control c where c.state = 'live'`,
  );
}
