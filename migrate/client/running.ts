import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { type OutcomeUnknown, Unavailable } from './failure.ts';
import type { Gate } from './gate.ts';
import type { Memory } from './memory.ts';
import { type Side, sqlStateOf } from './seam.ts';
import type { Place } from './standing.ts';
import type { Outcome } from './unit.ts';
import { openPrimedPool, type PrimingStatement, warm } from './warm.ts';
import type { Watch } from './watch.ts';

/** Two pools per side: writes that wait for a lock never keep a read waiting. */
export interface Pools {
  readonly reads: pg.Pool;
  readonly writes: pg.Pool;
}

export type PoolsOfSides = ReadonlyMap<Side, Pools>;

export function openPools(
  config: pg.PoolConfig,
  waitMs: number,
  statements: readonly PrimingStatement[],
): Pools {
  const given = { connectionTimeoutMillis: waitMs, keepAlive: true, ...config };
  return {
    reads: openPrimedPool(given, statements),
    writes: openPrimedPool(given, statements),
  };
}

/** Warms the side that will be live, once per switch that is announced; to be called at each change. */
export function createWarming(pools: PoolsOfSides): (memory: Memory) => void {
  let warmedFor: string | undefined;
  return (memory) => {
    const next = memory.nextSide();
    const sign = next && `${next} ${memory.readable()?.epoch}`;
    if (sign === warmedFor) return;
    warmedFor = sign;
    const to = next && pools.get(next);
    const from = pools.get(next === 'blue' ? 'green' : 'blue');
    if (to === undefined || from === undefined) return;
    void warm(to.writes, from.writes.totalCount);
    void warm(to.reads, from.reads.totalCount);
  };
}

/** A unit that was refused or broken off so often will not get through. */
const attemptsMax = 20;

/** Between two attempts to get a connection: a server that has no more is not stormed. */
const pauseMs = 50;

/** What it takes to run units of one kind. */
export interface Runner {
  readonly watch: Watch;
  readonly gate: Gate;
  readonly kind: keyof Pools;
  readonly pools: PoolsOfSides;
  readonly waitMs: number;
}

/**
 * Runs a unit where the gate sends it, again where it was refused or broke off (rule 3), and where
 * its outcome is unknown if it is `idempotent` (rule 4). It waits `waitMs` before it first runs, and
 * as long in all after that.
 */
export async function runUnit<T>(
  runner: Runner,
  run: (client: pg.PoolClient, place: Place) => Promise<Outcome<T>>,
  idempotent: boolean,
): Promise<T> {
  const { watch, waitMs } = runner;
  let untilMs = performance.now() + waitMs;
  let unknown: OutcomeUnknown | undefined;
  for (let tries = 1; ; tries += 1) {
    const { client, place } = await connect(runner, untilMs).catch((error: unknown) => {
      throw unknown ?? error;
    });
    const outcome = await run(client, place).catch((error: unknown) => {
      // A statement that failed says nothing of the COMMIT before; a refusal of the unit's own does.
      throw sqlStateOf(error) === '' ? error : (unknown ?? error);
    });
    if (outcome.ended === 'done') return outcome.result;
    if (outcome.ended === 'unknown') unknown = outcome.error;
    // It did not wait so far, it ran: from here on it may wait as long as any other.
    if (tries === 1) untilMs = performance.now() + waitMs;
    if (unknown !== undefined && !idempotent) throw unknown;
    if (outcome.ended === 'short') throw unknown ?? new Unavailable('short', outcome.error);
    if (tries >= attemptsMax || performance.now() >= untilMs) {
      throw unknown ?? new Unavailable('refused', outcome.error);
    }
    if (outcome.ended === 'refused') watch.refused(outcome.side);
    // What stays unknown is asked for where the live side is after this.
    else await watch.fresh();
  }
}

/** A connection to where the gate sends; {@link Unavailable} when the time is up. */
async function connect({ watch, gate, kind, pools }: Runner, untilMs: number) {
  for (;;) {
    const place = await gate.pass(untilMs);
    const pool = pools.get(place.side)?.[kind];
    if (pool === undefined) throw new Unavailable('unreachable');
    try {
      const client = await pool.connect();
      // It waited for a connection: a switch may have come meanwhile.
      const now = gate.place();
      if (now?.side === place.side) return { client, place: now };
      client.release();
    } catch (error) {
      if (performance.now() >= untilMs) throw new Unavailable('unreachable', error);
      await Promise.all([watch.fresh(), sleep(pauseMs)]);
    }
  }
}
