import { setTimeout as sleep } from 'node:timers/promises';
import { type Failpoints, withFailpoints } from '#server/failpoints.ts';
import { keepAudit } from '#server/store/audit.ts';
import {
  openSweepConnection,
  type Slice,
  type Sweep,
  type SweepAges,
  type SweepConnection,
  type SweptTable,
  sweepAges,
  sweeps,
} from '#server/store/sweep.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface SweeperOptions {
  /** A database URL without a pooler between, of the role that may delete rows. */
  readonly url: string;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly failpoints?: Failpoints | undefined;
  /** How long entries of the audit log are kept; 400 days when absent. */
  readonly auditDays?: number;
  /** Time from the end of one sweep to the beginning of the next; 300 s when absent. */
  readonly intervalSeconds?: number;
  /** How long what is over stays; two days for logins and grants, 90 for cutoffs when absent. */
  readonly ages?: SweepAges;
}

export interface Sweeper {
  /** Ends the sweep under way after its current slice, and starts no other. */
  stop(): Promise<void>;
}

/** Rows removed by table; undefined: another node was sweeping. */
export type Swept = Readonly<Partial<Record<SweptTable, number>>> | undefined;

/**
 * Between two slices PostgreSQL serves others: 20 ms at least, and four times what the slice took, so
 * that a sweep has a fifth of one connection at most, and less where PostgreSQL is busy.
 */
const pauseMsMin = 20;
const pauseShare = 4;

/**
 * Keeps every table bounded: walks the tables in slices of 500 rows and removes what is over. All
 * nodes try, one at a time gets the lock. A failure is logged and the next interval tries again.
 */
export function startSweeper(options: SweeperOptions): Sweeper {
  const stopping = new AbortController();
  const intervalMs = (options.intervalSeconds ?? 300) * 1000;
  const work = (async () => {
    while (await slept(intervalMs, stopping.signal)) {
      try {
        await sweepOnce(options, stopping.signal);
      } catch (error) {
        options.log.warn('sweep_failed', {}, error);
      }
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await work;
    },
  };
}

/** Sweeps all tables once. A table that fails does not keep the others from being swept. */
export async function sweepOnce(options: SweeperOptions, signal?: AbortSignal): Promise<Swept> {
  const opened = await openSweepConnection(options.url);
  if (opened === undefined) return undefined;
  const connection = withFailpoints(opened, options.failpoints);
  const swept: Partial<Record<SweptTable, number>> = {};
  try {
    await keepAudit(connection, options.auditDays ?? 400).catch((error: unknown) => {
      options.log.warn('audit_not_kept', {}, error);
    });
    for (const sweep of sweeps) {
      if (sweep.after !== undefined && swept[sweep.after] === undefined) continue;
      try {
        const removed = await sweepTable(sweep, connection, options.ages ?? sweepAges, signal);
        if (removed === undefined) break;
        swept[sweep.table] = removed;
        options.metrics.swept(sweep.table, removed);
      } catch (error) {
        options.log.warn('sweep_of_table_failed', { table: sweep.table }, error);
      }
    }
  } finally {
    await connection.close();
  }
  options.log.debug('swept', swept);
  return swept;
}

/** The rows removed, or undefined when the signal came before the end of the table. */
async function sweepTable(
  sweep: Sweep,
  connection: SweepConnection,
  ages: SweepAges,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  let removed = 0;
  let from: string | undefined = '';
  while (from !== undefined) {
    if (signal?.aborted === true) return undefined;
    const begun = performance.now();
    const done: Slice = await sweep.slice(connection, from, ages);
    const tookMs = performance.now() - begun;
    removed += done.removed;
    from = done.next;
    if (from !== undefined) await slept(Math.max(pauseMsMin, pauseShare * tookMs), signal);
  }
  return removed;
}

/** False when the signal came first. */
async function slept(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  if (signal?.aborted === true) return false;
  try {
    await sleep(ms, undefined, { ref: false, ...(signal === undefined ? {} : { signal }) });
    return true;
  } catch {
    return false;
  }
}
