import pg from 'pg';
import { type Polling, startPolling } from './polling.ts';
import { openSide, otherSide, type Side, sides, unfenceExpired } from './seam.ts';
import {
  epochOf,
  errandOf,
  fencedOf,
  liveOf,
  type Place,
  readableOf,
  refusedWord,
  type Word,
} from './standing.ts';

/** What both sides say of themselves, kept by polls. */
export interface Watch {
  /** Where a write may begin now; undefined: it waits (rule 2). */
  writable(): Place | undefined;
  /** Where a read may begin now (rule 5); undefined: nowhere that is known to be in step. */
  readable(): Place | undefined;
  /** The side that is live, or fenced so that no other is; for reads that must never be older. */
  newest(): Place | undefined;
  /** A switch will come soon, and this side will be the live one. */
  nextSide(): Side | undefined;
  word(side: Side): Word;
  /** Why the last poll of that side failed; undefined: it did not. */
  trouble(side: Side): unknown;
  /** Milliseconds that writes are still held on the live side. */
  holdMs(): number;
  /** Polls both sides; resolves when both have answered or failed. */
  fresh(): Promise<void>;
  /** That side has refused a write with MG001 (rule 3): it is not live until it says so again. */
  refused(side: Side): void;
  close(): Promise<void>;
}

export interface WatchOptions {
  readonly pools: Readonly<Partial<Record<Side, pg.PoolConfig>>>;
  readonly primary: Side;
  /** Somebody waits: poll often. */
  readonly hurried: () => boolean;
  /** Something may have changed: `writable()` and the others are to be asked again. */
  readonly changed: () => void;
}

const pollMsOrdinary = 1_000;
/** While somebody waits at the gate, or a side cannot be reached. */
const pollMsHurried = 10;
const pollMsTrouble = 100;
/** A side that does not answer within this time counts as one that cannot be reached. */
const pollMsMax = 2_000;

/** Begins to poll; resolves when each side has answered or failed once. */
export async function startWatch(options: WatchOptions): Promise<Watch> {
  const words: Record<Side, Word> = { blue: undefined, green: undefined };
  const troubles: Record<Side, unknown> = { blue: undefined, green: undefined };
  const pools = new Map<Side, pg.Pool>();
  const polls = new Map<Side, Polling>();
  let last: Side | undefined;
  let lastEpoch = 0;
  let holdTimer: NodeJS.Timeout | undefined;
  let errandUnderWay = false;

  const live = () => liveOf(words, last, options.primary);
  const place = (side: Side | undefined): Place | undefined =>
    side === undefined ? undefined : { side, epoch: Math.max(epochOf(words[side]), lastEpoch) };
  const holdUntilMs = () => {
    const word = words[live() ?? options.primary];
    return typeof word === 'object' ? word.holdUntilMs : 0;
  };
  const holdMs = () => Math.max(0, Math.ceil(holdUntilMs() - performance.now()));

  const heard = (side: Side, word: Word) => {
    words[side] = word;
    troubles[side] = undefined;
    const now = live();
    if (now !== undefined) {
      last = now;
      lastEpoch = Math.max(lastEpoch, epochOf(words[now]));
    }
    clearTimeout(holdTimer);
    // The hold counts down by itself, also where nobody answers any more.
    if (holdMs() > 0) holdTimer = setTimeout(options.changed, holdMs() + 1);
    void runErrand();
    options.changed();
  };

  /** Whatever fails here is tried again after the next poll. */
  const runErrand = async () => {
    const errand = errandOf(words);
    const pool = errand && pools.get(errand.side);
    if (errand === undefined || pool === undefined || errandUnderWay) return;
    errandUnderWay = true;
    try {
      if (errand.errand === 'open') await openSide(pool, errand.key);
      else await unfenceExpired(pool);
    } catch (error) {
      troubles[errand.side] = error;
    }
    errandUnderWay = false;
    void polls.get(errand.side)?.fresh();
  };

  const intervalMs = (side: Side) => {
    const ofWord = (word: Word) => (typeof word === 'object' ? word.pollMs : pollMsOrdinary);
    const told = Math.min(ofWord(words.blue), ofWord(words.green));
    if (options.hurried()) return Math.min(told, pollMsHurried);
    return troubles[side] === undefined ? told : Math.min(told, pollMsTrouble);
  };

  for (const side of sides) {
    const config = options.pools[side];
    if (config === undefined) {
      words[side] = 'bare';
      continue;
    }
    const pool = new pg.Pool({
      ...config,
      max: 1,
      connectionTimeoutMillis: pollMsMax,
      query_timeout: pollMsMax,
    });
    // An idle connection that breaks is noticed by the next poll.
    pool.on('error', () => {});
    pools.set(side, pool);
    const failed = (error: unknown) => {
      troubles[side] = error;
      options.changed();
    };
    const poll = startPolling({
      side,
      pool,
      intervalMs: () => intervalMs(side),
      heard: (word) => heard(side, word),
      failed,
    });
    polls.set(side, poll);
  }
  const fresh = async () => {
    await Promise.all([...polls.values()].map((poll) => poll.fresh()));
  };
  await fresh();

  return {
    writable: () => (holdMs() > 0 ? undefined : place(live())),
    readable: () => {
      const reached = sides.filter((side) => troubles[side] === undefined);
      return place(readableOf(words, reached, last, options.primary));
    },
    newest: () => place(live() ?? fencedOf(words)),
    nextSide() {
      const now = live();
      const near = sides.some((side) => {
        const word = words[side];
        return typeof word === 'object' && word.near;
      });
      return now !== undefined && near ? otherSide(now) : undefined;
    },
    word: (side) => words[side],
    trouble: (side) => troubles[side],
    holdMs,
    fresh,
    refused(side) {
      polls.get(side)?.doubt();
      words[side] = refusedWord(words[side]);
      void fresh();
    },
    async close() {
      clearTimeout(holdTimer);
      await Promise.all([...polls.values()].map((poll) => poll.close()));
      await Promise.all([...pools.values()].map((pool) => pool.end()));
      clearTimeout(holdTimer);
    },
  };
}
