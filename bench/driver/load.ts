import { setTimeout as sleep } from 'node:timers/promises';
import type { Latencies } from './latencies.ts';
import { Unavailable } from './visitor.ts';

/** One operation by one lane, which does one at a time; false: there is nothing left to do. */
export type Operation = (lane: number) => Promise<boolean>;

/** What a stretch of load did. */
export interface Load {
  readonly operations: number;
  readonly errors: number;
  /** Operations that a server answered with 503: it was overloaded. */
  readonly unavailable: number;
  /** What the first error said. */
  readonly firstError: string | undefined;
  readonly seconds: number;
}

export interface LoadOptions {
  readonly lanes: number;
  readonly seconds: number;
  readonly operation: Operation;
  readonly latencies: Pick<Latencies, 'record'>;
  /** Ends before its time after so many; absent: no such end. */
  readonly operationsMax?: number;
}

/** A run with more errors than this ends: its numbers are worthless. */
const errorsMax = 100;

function createTally(begun: number) {
  let errors = 0;
  let unavailable = 0;
  let firstError: string | undefined;
  return {
    failed(error: unknown): void {
      if (error instanceof Unavailable) {
        unavailable += 1;
        return;
      }
      errors += 1;
      firstError ??= error instanceof Error ? error.message : String(error);
    },
    isWorthless: () => errors >= errorsMax,
    /** What the load was that ends now. */
    ended: (operations: number): Load => ({
      operations,
      errors,
      unavailable,
      firstError,
      seconds: (performance.now() - begun) / 1000,
    }),
  };
}

/**
 * Every lane does one operation after the other. The rate is what the server can do; a latency
 * says how long it took at that rate, not what a person would wait on a day that is not so full.
 */
export async function closedLoop(options: LoadOptions): Promise<Load> {
  const begun = performance.now();
  const tally = createTally(begun);
  const end = begun + options.seconds * 1000;
  let operations = 0;
  async function work(lane: number): Promise<void> {
    while (performance.now() < end && !tally.isWorthless()) {
      if (operations >= (options.operationsMax ?? Number.POSITIVE_INFINITY)) return;
      const startedAt = performance.now();
      try {
        if (!(await options.operation(lane))) return;
        operations += 1;
        options.latencies.record(performance.now() - startedAt);
      } catch (error) {
        tally.failed(error);
      }
    }
  }
  await Promise.all(Array.from({ length: options.lanes }, (_, lane) => work(lane)));
  return tally.ended(operations);
}

/**
 * Operations begin at a fixed rate whether earlier ones have ended or not, and each is timed from
 * when it was due: a stall counts for everybody whom it kept waiting (no coordinated omission).
 */
export async function openLoop(
  options: LoadOptions & { readonly ratePerSecond: number; readonly stopped?: () => boolean },
): Promise<Load> {
  const begun = performance.now();
  const tally = createTally(begun);
  const free = Array.from({ length: options.lanes }, (_, lane) => lane);
  const due: number[] = [];
  const total = Math.floor(options.ratePerSecond * options.seconds);
  let operations = 0;
  let scheduled = 0;
  let inFlight = 0;
  async function one(lane: number, dueAt: number): Promise<void> {
    inFlight += 1;
    try {
      if (await options.operation(lane)) {
        operations += 1;
        options.latencies.record(performance.now() - dueAt);
      }
    } catch (error) {
      tally.failed(error);
    }
    inFlight -= 1;
    const next = due.shift();
    if (next === undefined) free.push(lane);
    else void one(lane, next);
  }
  while (scheduled < total && !tally.isWorthless() && options.stopped?.() !== true) {
    const ready = Math.min(
      total,
      Math.floor(((performance.now() - begun) / 1000) * options.ratePerSecond),
    );
    for (; scheduled < ready; scheduled++) {
      const dueAt = begun + (scheduled / options.ratePerSecond) * 1000;
      const lane = free.pop();
      if (lane === undefined) due.push(dueAt);
      else void one(lane, dueAt);
    }
    await sleep(1);
  }
  while (inFlight > 0) await sleep(1);
  return tally.ended(operations);
}
