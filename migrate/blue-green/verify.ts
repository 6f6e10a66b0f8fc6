import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { brokenChecks, type Sessions } from './checks.ts';
import { note } from './control.ts';
import { type Database, withSession } from './database.ts';
import { type Difference, storeDifferences } from './difference.ts';
import { atExactPoint, takeBatch, withEnds } from './follow.ts';
import { type Run, routeOf, standing } from './migration.ts';
import { textOf } from './names.ts';
import { atPace, type Pace, type PaceOptions } from './pace.ts';
import {
  type KeyRange,
  nextBound,
  type ResolvedTable,
  rangeHash,
  rowHashesOfKeys,
  rowHashesOfRange,
} from './projection.ts';
import { readRanges } from './range.ts';
import type { Route } from './resolve.ts';
import type { Ends } from './transfer.ts';
import {
  forgetMarks,
  isTouched,
  markRange,
  readVerifiedRanges,
  replaceRanges,
  type Seen,
  type VerifiedRange,
} from './verified-range.ts';

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

export interface VerifyOptions extends PaceOptions {
  /** Compares every range, also those that nothing has touched since they were last compared. */
  readonly all: boolean;
  /**
   * So many rows are looked at one by one at a time; where so many do differ it ends, and says that
   * there may be more.
   */
  readonly differencesMax: number;
}

/** A range that is to be compared. */
interface Piece {
  readonly table: ResolvedTable;
  readonly range: VerifiedRange;
}

interface Suspect {
  readonly route: Route;
  readonly table: ResolvedTable;
  readonly keys: readonly string[];
}

/** What was counted while ranges were compared. */
interface Counted {
  /** Keys that are to be looked at one by one. */
  suspects: number;
  rows: number;
  ranges: number;
  untouched: number;
  /** Tables of which a range was compared, as `blue public.account`. */
  readonly touched: Set<string>;
}

const placeOf = (route: Route, table: ResolvedTable) =>
  `${route.destination.side} ${textOf(table.target)}`;

/**
 * Compares both databases in both directions while writes go on. First the side that is kept in step
 * takes what waits for it; then counts and hashes of every range that was touched since it was last
 * compared, at any moment; ranges that differ are looked at row by row; what still differs is compared
 * at one exact point, where the checks run too. Nothing that was merely under way is reported.
 */
export async function verify(run: Run, options: VerifyOptions): Promise<Verdict> {
  const startedMs = performance.now();
  const { phase } = await standing(run.blue, run.green, run.routes.forward.tables.length);
  const flow = routeOf(run, phase);
  const routes = [run.routes.forward, run.routes.reverse].filter((route) => route !== undefined);
  const counted: Counted = { suspects: 0, rows: 0, ranges: 0, untouched: 0, touched: new Set() };
  const verdict = await withEnds(flow, async (ends) => {
    await drain(run, ends, flow);
    const sessions: Sessions =
      flow.origin.side === 'blue'
        ? { blue: ends.origin, green: ends.destination }
        : { blue: ends.destination, green: ends.origin };
    let suspects: readonly Suspect[] = [];
    let more = false;
    for (const route of routes) {
      let pieces = await piecesOf(run, route);
      while (pieces.length > 0 && !more) {
        counted.suspects = keysIn(suspects);
        const compared = pieces;
        const found = await whileFollowing(run, ends, flow, (inStep) =>
          suspectsOf(inStep, route, flow.origin, options, compared, counted),
        );
        suspects = [...suspects, ...found.suspects];
        pieces = found.skipped;
        if (pieces.length === 0) break;
        // What was late is no suspect any more, so there is room for those of the ranges skipped.
        suspects = await atExactPoint(ends, flow, () => stillSuspect(suspects, sessions));
        more = keysIn(suspects) >= options.differencesMax;
      }
    }
    const untouched = new Set(routes.flatMap(placesOf).filter((at) => !counted.touched.has(at)));
    return atExactPoint(ends, flow, async () => {
      const differences = [];
      for (const suspect of suspects) differences.push(...(await compareKeys(suspect, sessions)));
      return { differences, more, broken: await brokenChecks(run, sessions, untouched) };
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

const keysIn = (suspects: readonly Suspect[]) =>
  suspects.reduce((sum, { keys }) => sum + keys.length, 0);

const placesOf = (route: Route) => route.tables.map((table) => placeOf(route, table));

/** Brings what waits, so that rows which are late by much are not looked at one by one. */
async function drain(run: Run, ends: Ends, flow: Route): Promise<void> {
  for (let rowsDone = 0; ; ) {
    run.signal.throwIfAborted();
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
  run: Run,
  ends: Ends,
  flow: Route,
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
    for (const range of await rangesOf(run, route, table)) pieces.push({ table, range });
  }
  return pieces;
}

/** Keys of ranges that differ; and of these the ranges for which there was no room. */
async function suspectsOf(
  run: Run,
  route: Route,
  live: Database,
  options: VerifyOptions,
  pieces: readonly Piece[],
  counted: Counted,
): Promise<{ readonly suspects: readonly Suspect[]; readonly skipped: readonly Piece[] }> {
  const back = route === run.routes.forward ? run.routes.reverse : run.routes.forward;
  const queue = [...pieces];
  const suspects: Suspect[] = [];
  const skipped: Piece[] = [];
  const work = (pace: Pace<Piece>) =>
    withEnds(route, async ({ origin, destination }) => {
      for (let next = await pace.next(); next !== undefined; next = await pace.next()) {
        run.signal.throwIfAborted();
        const { table, range } = next;
        const again = !options.all && isWatched(table, back);
        if (again && !(await isTouched(destination, table, range))) {
          counted.untouched += 1;
          continue;
        }
        counted.touched.add(placeOf(route, table));
        const [ours, theirs] = await Promise.all([
          hashOf(origin, rangeHash(table, 'origin', range)),
          hashOf(destination, rangeHash(table, 'destination', range)),
        ]);
        const agree = ours.rows === theirs.rows && ours.hash === theirs.hash;
        await markRange(destination, table, range, agree ? theirs : undefined);
        if (!agree && counted.suspects >= options.differencesMax) {
          skipped.push(next);
          continue;
        }
        counted.rows += Number(theirs.rows);
        counted.ranges += 1;
        run.report.progress({
          phase: `verify ${route.destination.side}`,
          rowsDone: counted.rows,
          rowsAll: counted.rows + queue.length * table.rangeRows,
          slowed: pace.slowed(),
        });
        if (agree) continue;
        const apart = bucketsApart(ours, theirs);
        const found = await differingKeys(origin, destination, table, range, apart);
        counted.suspects += found.length;
        if (found.length > 0) suspects.push({ route, table, keys: found });
      }
    });
  await atPace(run.signal, live, options, queue, work);
  return { suspects, skipped };
}

/** At an exact point: what differs even here. */
async function stillSuspect(
  suspects: readonly Suspect[],
  sessions: Sessions,
): Promise<readonly Suspect[]> {
  const still: Suspect[] = [];
  for (const suspect of suspects) {
    const keys = await differingOf(suspect, sessions);
    if (keys.length > 0) still.push({ ...suspect, keys: keys.map(({ key }) => key) });
  }
  return still;
}

/**
 * Whether the other direction looks at every column of every table that this one is made of. What is
 * changed there past capture, as by dropping a partition, would otherwise touch no range.
 */
function isWatched(table: ResolvedTable, back: Route | undefined): boolean {
  const whole = back?.tables.filter(({ kept }) => kept.length === 0);
  const filled = new Set(whole?.map(({ target }) => textOf(target)));
  return table.sources.every((source) => filled.has(textOf(source.table)));
}

/**
 * The ranges of the last verification; for the first one those of the copy where there are some,
 * else cut from the origin now. The last range has no end, so it is cut again when it has grown.
 */
async function rangesOf(
  run: Run,
  route: Route,
  table: ResolvedTable,
): Promise<readonly VerifiedRange[]> {
  const name = textOf(table.target);
  const client = route.destination.main;
  const known = await readVerifiedRanges(client, name);
  const last = known.at(-1);
  if (last !== undefined && Number(last.rows ?? 0) <= 2 * table.rangeRows) return known;
  const forward = last === undefined && route === run.routes.forward;
  const copied = forward ? await readRanges(run.green.main) : [];
  const own = copied.filter((range) => range.table === name);
  const ranges =
    own.length > 0
      ? own.map(({ low, high }) => ({ low, high }))
      : await cut(run, route, table, last?.low ?? null);
  await replaceRanges(client, name, last?.id ?? 0, ranges);
  return readVerifiedRanges(client, name);
}

async function cut(
  run: Run,
  route: Route,
  table: ResolvedTable,
  from: KeyRange['low'],
): Promise<readonly KeyRange[]> {
  return withSession(route.origin, async (client) => {
    const ranges: KeyRange[] = [];
    let low = from;
    for (;;) {
      run.signal.throwIfAborted();
      const { rows }: pg.QueryResult<{ key: string[] }> = await client.query(nextBound(table, low));
      const high: readonly string[] | null = rows[0]?.key ?? null;
      ranges.push({ low, high });
      const phase = `verify: cutting ${textOf(table.target)}`;
      run.report.progress({ phase, rowsDone: ranges.length * table.rangeRows });
      if (high === null) return ranges;
      low = high;
    }
  });
}

async function hashOf(client: pg.Client, sql: string): Promise<Seen> {
  const { rows } = await client.query<Seen>(sql);
  const [seen] = rows;
  if (seen === undefined) throw new Error('a count without a row');
  return seen;
}

async function rowHashes(client: pg.Client, sql: string, values: readonly unknown[]) {
  const { rows } = await client.query<{ key: string; hash: string }>(sql, [...values]);
  const hashes = new Map<string, string>();
  // A projection that gives a key twice gives no row of the other side.
  for (const { key, hash } of rows) {
    const former = hashes.get(key);
    hashes.set(key, former === undefined ? hash : `${former} ${hash}`);
  }
  return hashes;
}

/**
 * Buckets in which two ranges differ. A row of which both sides have another version lies in two of
 * them, so both are named, and only a few rows of a range are looked at one by one.
 */
const bucketsApart = (ours: Seen, theirs: Seen): readonly string[] =>
  [...new Set([...Object.keys(ours.buckets), ...Object.keys(theirs.buckets)])].filter(
    (bucket) => ours.buckets[bucket] !== theirs.buckets[bucket],
  );

async function differingKeys(
  origin: pg.Client,
  destination: pg.Client,
  table: ResolvedTable,
  range: KeyRange,
  apart: readonly string[],
): Promise<readonly string[]> {
  const [ours, theirs] = await Promise.all([
    rowHashes(origin, rowHashesOfRange(table, 'origin', range), [apart]),
    rowHashes(destination, rowHashesOfRange(table, 'destination', range), [apart]),
  ]);
  return [...new Set([...ours.keys(), ...theirs.keys()])].filter(
    (key) => ours.get(key) !== theirs.get(key),
  );
}

interface Differing {
  readonly key: string;
  readonly kind: Difference['kind'];
}

async function differingOf(suspect: Suspect, sessions: Sessions): Promise<readonly Differing[]> {
  const { route, table, keys } = suspect;
  const values = [`[${keys.join(',')}]`];
  const ours = await rowHashes(
    sessions[route.origin.side],
    rowHashesOfKeys(table, 'origin'),
    values,
  );
  const theirs = await rowHashes(
    sessions[route.destination.side],
    rowHashesOfKeys(table, 'destination'),
    values,
  );
  return keys.flatMap((key): readonly Differing[] => {
    const [expected, actual] = [ours.get(key), theirs.get(key)];
    if (expected === actual) return [];
    const kind = actual === undefined ? 'missing' : expected === undefined ? 'extra' : 'differs';
    return [{ key, kind }];
  });
}

async function compareKeys(suspect: Suspect, sessions: Sessions): Promise<readonly Difference[]> {
  const { route, table } = suspect;
  return (await differingOf(suspect, sessions)).map(({ key, kind }) => {
    const parsed: unknown = JSON.parse(key);
    const texts = Array.isArray(parsed) ? parsed.map(String) : [];
    return { side: route.destination.side, table: textOf(table.target), key: texts, kind };
  });
}
