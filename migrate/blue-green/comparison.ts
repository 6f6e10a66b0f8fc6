import type pg from 'pg';
import { endIfAsked } from './control.ts';
import type { Database } from './database.ts';
import { withEnds } from './follow.ts';
import type { Run } from './migration.ts';
import { textOf } from './names.ts';
import { atPace, type Pace, type PaceOptions } from './pace.ts';
import { type ResolvedTable, rangeHash } from './projection.ts';
import type { Route } from './resolve.ts';
import { differingKeys, type Suspect } from './suspect.ts';
import type { Ends } from './transfer.ts';
import { isTouched, markRange, type Seen, type VerifiedRange } from './verified-range.ts';

export interface ComparisonOptions extends PaceOptions {
  /** Compares every range, also those that nothing has touched since they were last compared. */
  readonly all: boolean;
  /**
   * So many rows are looked at one by one at a time; where so many do differ it ends, and says that
   * there may be more.
   */
  readonly differencesMax: number;
}

/** A range that is to be compared. */
export interface Piece {
  readonly table: ResolvedTable;
  readonly range: VerifiedRange;
}

/** What was counted while ranges were compared. */
export interface Counted {
  /** Keys that are to be looked at one by one. */
  suspects: number;
  rows: number;
  ranges: number;
  untouched: number;
  /** Tables of which a range was compared, as `blue public.account`. */
  readonly touched: Set<string>;
}

/** A comparison of ranges under way. */
export interface Comparison {
  readonly run: Run;
  readonly route: Route;
  /** The side that the application writes: it comes first. */
  readonly live: Database;
  readonly options: ComparisonOptions;
  readonly counted: Counted;
}

/** What a comparison of ranges found. */
interface Found {
  readonly suspects: readonly Suspect[];
  /** Ranges that differ, whose rows there was no room to look at. */
  readonly skipped: readonly Piece[];
}

/** A table in messages and sets, as `blue public.account`. */
export const placeOf = (route: Route, table: ResolvedTable) =>
  `${route.destination.side} ${textOf(table.target)}`;

/**
 * Compares counts and hashes of ranges, at any moment, and names the rows of those that differ. More
 * of them than `differencesMax` are not looked for.
 */
export async function compareRanges(
  comparison: Comparison,
  pieces: readonly Piece[],
): Promise<Found> {
  const { run, route, live, options, counted } = comparison;
  const queue = [...pieces];
  const suspects: Suspect[] = [];
  const skipped: Piece[] = [];
  const work = (pace: Pace<Piece>) =>
    withEnds(route, async (ends) => {
      for (let piece = await pace.next(); piece !== undefined; piece = await pace.next()) {
        await endIfAsked(ends.destination, run.signal);
        const { table, range } = piece;
        if (!(await isDue(comparison, ends, piece))) {
          counted.untouched += 1;
          continue;
        }
        counted.touched.add(placeOf(route, table));
        const { ours, theirs, agree } = await seenBy(ends, piece);
        if (!agree && counted.suspects >= options.differencesMax) {
          skipped.push(piece);
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
        const keys = await differingKeys(ends, table, range, bucketsApart(ours, theirs));
        counted.suspects += keys.length;
        if (keys.length > 0) suspects.push({ route, table, keys });
      }
    });
  await atPace(run.signal, live, options, queue, work);
  return { suspects, skipped };
}

/** False: it holds what it held when both sides last agreed, and so does what it is made of. */
async function isDue(
  { run, route, options }: Comparison,
  { destination }: Ends,
  { table, range }: Piece,
): Promise<boolean> {
  const back = route === run.routes.forward ? run.routes.reverse : run.routes.forward;
  if (options.all || !isWatched(table, back)) return true;
  return isTouched(destination, table, range);
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

/** What both sides hold of a range; where they agree, it is marked so. */
async function seenBy({ origin, destination }: Ends, { table, range }: Piece) {
  const [ours, theirs] = await Promise.all([
    hashOf(origin, rangeHash(table, 'origin', range)),
    hashOf(destination, rangeHash(table, 'destination', range)),
  ]);
  const agree = ours.rows === theirs.rows && ours.hash === theirs.hash;
  await markRange(destination, table, range, agree ? theirs : undefined);
  return { ours, theirs, agree };
}

async function hashOf(client: pg.Client, sql: string): Promise<Seen> {
  const { rows } = await client.query<Seen>(sql);
  const [seen] = rows;
  if (seen === undefined) throw new Error('a count without a row');
  return seen;
}

/**
 * Buckets in which two ranges differ. A row of which both sides have another version lies in two of
 * them, so both are named, and only a few rows of a range are looked at one by one.
 */
const bucketsApart = (ours: Seen, theirs: Seen): readonly string[] =>
  [...new Set([...Object.keys(ours.buckets), ...Object.keys(theirs.buckets)])].filter(
    (bucket) => ours.buckets[bucket] !== theirs.buckets[bucket],
  );
