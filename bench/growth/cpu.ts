import { cpuSecondsOf } from '../measure/processes.ts';
import { type Operation, patiently } from './operations.ts';
import type { Subject } from './subject.ts';

/** CPU of server and PostgreSQL together for one operation, at several sizes side by side. */
export interface CpuCost {
  readonly name: string;
  /** By rows: microseconds per operation, all rounds together. */
  readonly micros: Readonly<Record<number, number>>;
  /**
   * The largest against the smallest: all rounds together but the one with the largest ratio and the
   * one with the smallest. (The system counts CPU in steps of 10 ms, so a single round is coarse.)
   */
  readonly ratio: number;
}

/** How much is run: `rounds` slices of `count` operations at each size. */
export interface CpuPlan {
  readonly rounds: number;
  readonly count: number;
  readonly lanes: number;
}

/**
 * Slices of one size follow slices of another, in turns, so that a neighbour on this machine takes
 * from all alike. What an operation needs beforehand is made ready outside of the slice.
 */
export async function cpuOf(
  subjects: readonly Subject[],
  postgresPid: number,
  operation: Operation,
  plan: CpuPlan,
): Promise<CpuCost> {
  const micros = new Map<number, number[]>(subjects.map(({ rows }) => [rows, []]));
  // The first round warms up, and is not counted.
  for (let round = 0; round <= plan.rounds; round++) {
    const order = round % 2 === 0 ? subjects : subjects.toReversed();
    for (const subject of order) {
      const ready = await operation.prepare(subject, plan.count);
      const work = Array.from({ length: operation.repeat }, () => ready).flat();
      const before = cpuSecondsOf(subject.serverPid) + cpuSecondsOf(postgresPid);
      await inLanes(work, plan.lanes);
      const spent = cpuSecondsOf(subject.serverPid) + cpuSecondsOf(postgresPid) - before;
      if (round > 0) micros.get(subject.rows)?.push((spent / work.length) * 1e6);
    }
  }
  const of = (subject: Subject | undefined) => micros.get(subject?.rows ?? 0) ?? [];
  const [small, large] = [of(subjects[0]), of(subjects.at(-1))];
  return {
    name: operation.name,
    micros: Object.fromEntries([...micros].map(([rows, all]) => [rows, Math.round(median(all))])),
    ratio: Math.round(ratioOf(small, large) * 1000) / 1000,
  };
}

/** Of the sums, without the pairs that are farthest out; of all where there are fewer than four. */
export function ratioOf(small: readonly number[], large: readonly number[]): number {
  const pairs = large.map((one, at) => ({ large: one, small: small[at] ?? one }));
  const sorted = pairs.toSorted((a, b) => a.large / a.small - b.large / b.small);
  const kept = pairs.length < 4 ? pairs : sorted.slice(1, -1);
  const sum = (read: (pair: { large: number; small: number }) => number) =>
    kept.reduce((total, pair) => total + read(pair), 0);
  return sum((pair) => pair.large) / sum((pair) => pair.small);
}

async function inLanes(work: readonly (() => Promise<void>)[], lanes: number): Promise<void> {
  const queue = [...work];
  const lane = async () => {
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) await patiently(run);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** The middle of some numbers; 0 of none. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = 0, high = 0] = [sorted[(sorted.length - 1) >> 1], sorted[middle]];
  return (low + high) / 2;
}
