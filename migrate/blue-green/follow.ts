import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { type Batch, isClash } from './apply.ts';
import { refuseOtherCapture } from './capture.ts';
import { isToEnd, note } from './control.ts';
import { withSession } from './database.ts';
import { Failure, sentenceOf } from './failure.ts';
import { type Run, routeOf, standing } from './migration.ts';
import { quotedTable } from './names.ts';
import { type Route, sourcesOf } from './resolve.ts';
import { makeAgain } from './set-aside.ts';
import { type Ends, transfer } from './transfer.ts';

export interface FollowOptions {
  /** Changes in one batch. */
  readonly batchMax: number;
  /** How long it waits when there is nothing to do. */
  readonly intervalMs: number;
  /** Ends as soon as nothing is pending; otherwise it goes on until it is asked to stop. */
  readonly untilCaughtUp: boolean;
}

/** More than any batch: a batch that must take everything. */
const everything = 1_000_000;

/** Two sessions for transfers on a route; refuses a mapping by which its changes were not captured. */
export function withEnds<T>(route: Route, work: (ends: Ends) => Promise<T>): Promise<T> {
  return withSession(route.origin, async (origin) => {
    await refuseOtherCapture(origin, sourcesOf(route));
    return withSession(route.destination, async (destination) => {
      // For the whole session: to change it for each transaction would discard all plans.
      await destination.query('set session_replication_role = replica');
      return work({ origin, destination });
    });
  });
}

/**
 * One batch. Where the destination keeps values apart and a part of the changes would use one
 * twice, all changes go in one: together they are as consistent as the origin is.
 */
export async function takeBatch(
  ends: Ends,
  route: Route,
  batchMax: number,
  atPoint?: (batch: Batch) => Promise<void>,
): Promise<Batch> {
  try {
    return await transfer(ends, route, batchMax, atPoint);
  } catch (error) {
    if (!isClash(error)) throw error;
  }
  try {
    return await transfer(ends, route, everything, atPoint);
  } catch (error) {
    if (!isClash(error)) throw error;
    const { side } = route.destination;
    throw new Failure(
      `${side}: ${sentenceOf(error)}. Either two rows of ${route.origin.side} have what only one row of ` +
        `${side} may have: mend them, or the mapping. Or a row of ${side} that is wrong itself holds it: ` +
        `"migrate repair --side ${side} --table ... --key ..." for that row brings both.`,
      { cause: error },
    );
  }
}

/**
 * Brings the destination to exactly what one snapshot of the origin shows, and runs `work` while
 * that snapshot lasts: whatever `work` then finds different is wrong, however much is written.
 */
export async function atExactPoint<T>(
  ends: Ends,
  route: Route,
  work: () => Promise<T>,
): Promise<T> {
  for (;;) {
    const found: { value: T }[] = [];
    await takeBatch(ends, route, 20_000, async ({ complete }) => {
      if (complete) found.push({ value: await work() });
    });
    const [first] = found;
    if (first !== undefined) return first.value;
  }
}

/** Keeps the side that is not live in step with the one that is. */
export async function follow(run: Run, options: FollowOptions): Promise<void> {
  const { phase } = await standing(run.blue, run.green, run.routes.forward.tables.length);
  const route = routeOf(run, phase);
  await withEnds(route, async (ends) => {
    const flow: Flow = {
      run,
      ends,
      route,
      options,
      transferred: 0,
      complete: false,
      startedMs: performance.now(),
    };
    let goesOn = true;
    if (phase === 'building') {
      // In batches as large as they are asked for; the exact points then have little left to do.
      goesOn = await catchUp(flow);
      if (goesOn) await build(run, ends, route);
    }
    while (goesOn && !run.signal.aborted) {
      goesOn = (await catchUp(flow)) && !options.untilCaughtUp;
      if (goesOn)
        await sleep(options.intervalMs, undefined, { signal: run.signal }).catch(() => {});
    }
    const [to, from] = [route.destination.side, route.origin.side];
    run.report.line(
      flow.complete
        ? `${to} is in step with ${from} (${flow.transferred} changes)`
        : `stopped after ${flow.transferred} changes; the rest waits in ${from} for ${to}`,
    );
  });
}

/** A `follow` that is under way. */
interface Flow {
  readonly run: Run;
  readonly ends: Ends;
  readonly route: Route;
  readonly options: FollowOptions;
  readonly startedMs: number;
  transferred: number;
  /** Its last batch took all that waited. */
  complete: boolean;
}

/** To count what waits reads the whole log, so it is not done at every batch. */
const countMs = 2_000;

/** Batches until nothing is pending; false: the operator asks to end. */
async function catchUp(flow: Flow): Promise<boolean> {
  const { run, ends, route, options } = flow;
  let pending: number | undefined;
  let countedMs = Number.NEGATIVE_INFINITY;
  while (!run.signal.aborted) {
    const batch = await takeBatch(ends, route, options.batchMax);
    flow.transferred += batch.changes;
    flow.complete = batch.complete;
    if (!batch.complete && performance.now() - countedMs > countMs) {
      ({ pending } = await pendingIn(route.origin.main));
      countedMs = performance.now();
    }
    run.report.progress({
      phase: `${route.origin.side} to ${route.destination.side}`,
      rowsDone: flow.transferred,
      rowsPerSecond: (flow.transferred / (performance.now() - flow.startedMs)) * 1000,
      lagMs: batch.lagMs,
      ...(batch.complete || pending === undefined ? {} : { pending }),
    });
    if (batch.complete && options.untilCaughtUp) return true;
    if (run.signal.aborted || (await isToEnd(run.green.main, run.signal))) return false;
    if (batch.complete) return true;
  }
  return false;
}

/** Makes the indexes that were set aside, at a point where green holds what blue holds. */
async function build(run: Run, ends: Ends, route: Route): Promise<void> {
  for (;;) {
    // Unique values may repeat in between batches, not at this point.
    const name = await atExactPoint(ends, route, () => makeAgain(route.destination.main));
    if (name === undefined) break;
    run.report.line(`index made again: ${name}`);
    run.signal.throwIfAborted();
  }
  for (const { target } of route.tables) {
    await route.destination.main.query(`vacuum (analyze) ${quotedTable(target)}`);
  }
  await note(route.destination, 'built', {});
}

/** How many changes wait, and how old the oldest is. */
export async function pendingIn(
  client: pg.Client,
): Promise<{ readonly pending: number; readonly lagMs: number }> {
  const { rows } = await client.query<{ pending: number; lag_ms: number }>(
    `select count(*)::float8 as pending,
       coalesce(extract(epoch from clock_timestamp() - min(c.changed_at)) * 1000, 0)::float8
         as lag_ms
     from migrate.change c`,
  );
  return { pending: rows[0]?.pending ?? 0, lagMs: Math.round(rows[0]?.lag_ms ?? 0) };
}
