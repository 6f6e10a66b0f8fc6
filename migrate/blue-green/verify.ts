import { setTimeout as sleep } from 'node:timers/promises';
import { brokenChecks, type Sessions } from './checks.ts';
import {
  type ComparisonOptions,
  type Counted,
  compareRanges,
  type Piece,
  placeOf,
} from './comparison.ts';
import { endIfAsked, note } from './control.ts';
import { type Difference, eachOnce, storeDifferences } from './difference.ts';
import { atExactPoint, takeBatch, withEnds } from './follow.ts';
import { type Run, routeOf, standing } from './migration.ts';
import type { Route } from './resolve.ts';
import { differencesOf, keysIn, type Suspect, stillSuspect } from './suspect.ts';
import type { Ends } from './transfer.ts';
import { forgetMarks, rangesToVerify } from './verified-range.ts';

/** What a verification found. */
export interface Verdict {
  readonly differences: readonly Difference[];
  /** Too many differ: the comparison was not carried to its end. */
  readonly more: boolean;
  /** Sentences of checks that do not hold. */
  readonly broken: readonly string[];
  readonly rows: number;
  readonly ranges: number;
  /** Ranges that hold what they held when they were last compared, so that they were not again. */
  readonly untouched: number;
  readonly ms: number;
}

/** True: everything was compared, both sides hold the same, and every check holds. */
export const isSound = (verdict: Verdict) =>
  verdict.differences.length === 0 && verdict.broken.length === 0 && !verdict.more;

/**
 * Compares both databases in both directions while writes go on. First the side that is kept in step
 * takes what waits for it; then counts and hashes of every range that was touched since it was last
 * compared, at any moment; ranges that differ are looked at row by row; what still differs is compared
 * at one exact point, where the checks run too. Nothing that was merely under way is reported.
 */
export async function verify(run: Run, options: ComparisonOptions): Promise<Verdict> {
  const startedMs = performance.now();
  const { phase } = await standing(run.blue, run.green, run.routes.forward.tables.length);
  const flow = routeOf(run, phase);
  const counted: Counted = { suspects: 0, rows: 0, ranges: 0, untouched: 0, touched: new Set() };
  const verdict = await withEnds(flow, async (ends) => {
    await drain(run, ends, flow);
    const sessions: Sessions =
      flow.origin.side === 'blue'
        ? { blue: ends.origin, green: ends.destination }
        : { blue: ends.destination, green: ends.origin };
    const { suspects, more } = await suspectsOf({ run, flow, ends, sessions, options, counted });
    const places = routesOf(run).flatMap((r) => r.tables.map((table) => placeOf(r, table)));
    const untouched = new Set(places.filter((place) => !counted.touched.has(place)));
    return atExactPoint(ends, flow, async () => {
      const found = [];
      for (const suspect of suspects) found.push(...(await differencesOf(suspect, sessions)));
      const broken = await brokenChecks(run, sessions, untouched);
      return { differences: eachOnce(found), more, broken };
    });
  });
  await storeDifferences(run.green.main, verdict.differences);
  if (verdict.broken.length > 0) {
    await Promise.all([forgetMarks(run.blue.main), forgetMarks(run.green.main)]);
  }
  const ms = Math.round(performance.now() - startedMs);
  const { rows, ranges, untouched } = counted;
  const found = { rows, ranges, untouched, more: verdict.more, ms };
  await note(run.green, 'verified', {
    ...found,
    differences: verdict.differences.length,
    broken: verdict.broken,
  });
  return { ...verdict, ...found };
}

const routesOf = ({ routes: { forward, reverse } }: Run): readonly Route[] =>
  [forward, reverse].filter((route) => route !== undefined);

/** A verification under way. */
interface Verification {
  readonly run: Run;
  /** The route by which one side is kept in step with the other, and its sessions. */
  readonly flow: Route;
  readonly ends: Ends;
  readonly sessions: Sessions;
  readonly options: ComparisonOptions;
  readonly counted: Counted;
}

/** Rows that differ; `more`: so many still do at an exact point that the rest was not looked for. */
async function suspectsOf(
  verification: Verification,
): Promise<{ readonly suspects: readonly Suspect[]; readonly more: boolean }> {
  const { run, flow, ends, sessions, options, counted } = verification;
  let suspects: readonly Suspect[] = [];
  for (const route of routesOf(run)) {
    let pieces = await piecesOf(run, route);
    while (pieces.length > 0) {
      counted.suspects = keysIn(suspects);
      const compared = pieces;
      const found = await whileFollowing(verification, (inStep) =>
        compareRanges({ run: inStep, route, live: flow.origin, options, counted }, compared),
      );
      suspects = [...suspects, ...found.suspects];
      pieces = found.skipped;
      if (pieces.length === 0) break;
      // What was late is no suspect any more, so there is room for those of the ranges skipped.
      suspects = await atExactPoint(ends, flow, () => stillSuspect(suspects, sessions));
      if (keysIn(suspects) >= options.differencesMax) return { suspects, more: true };
    }
  }
  return { suspects, more: false };
}

/** Brings what waits, so that rows which are late by much are not looked at one by one. */
async function drain(run: Run, ends: Ends, flow: Route): Promise<void> {
  for (let rowsDone = 0; ; ) {
    await endIfAsked(run.green.main, run.signal);
    const { changes, complete, lagMs } = await takeBatch(ends, flow, 20_000);
    rowsDone += changes;
    if (complete) return;
    run.report.progress({
      phase: `verify: what waits for ${flow.destination.side}`,
      rowsDone,
      lagMs,
    });
  }
}

const followEveryMs = 50;

/**
 * Keeps the other side in step while `work` goes on: rows that are late by minutes would all be looked
 * at one by one, and no range where somebody writes would ever count as verified. The run that `work`
 * is given ends where a batch fails.
 */
async function whileFollowing<T>(
  { run, ends, flow }: Verification,
  work: (inStep: Run) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const failed = new AbortController();
  const following = (async () => {
    while (!over.signal.aborted) {
      const { complete } = await takeBatch(ends, flow, 2_000);
      if (complete) await sleep(followEveryMs);
    }
  })().catch((error: unknown) => failed.abort(error));
  try {
    return await work({ ...run, signal: AbortSignal.any([run.signal, failed.signal]) });
  } finally {
    over.abort();
    await following;
  }
}

async function piecesOf(run: Run, route: Route): Promise<readonly Piece[]> {
  const pieces: Piece[] = [];
  for (const table of route.tables) {
    for (const range of await rangesToVerify(run, route, table)) pieces.push({ table, range });
  }
  return pieces;
}
