import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { type Database, withSession } from './database.ts';

/** How much of the databases bulk work may take. */
export interface PaceOptions {
  /** Pieces of work at a time, at most. */
  readonly workers: number;
  /** Transactions of others at a time on the live side; undefined: see {@link limitFor}. */
  readonly activeMax: number | undefined;
  /** A replica of the live side may lag so much; undefined: any lag. */
  readonly replicaLagMsMax?: number | undefined;
}

const sampleMs = 100;
const lookSamples = 8;
const lookGapMs = 30;
/** About two seconds, where others are there. */
const looksMax = 8;
/** So few transactions of others are no stall. */
const few = 1;
/** Weight of a new sample in the moving average: half of it is of the last 200 ms. */
const newest = 0.3;
/** Weight of a new sample in the slow average: half of it is of the last four seconds. */
const slowly = 0.02;
/** Of the share, at each sample: taken away while others are over the limit, given back otherwise. */
const slower = 0.85;
const fasterBy = 0.03;
/** It never stops altogether, or an application that got busier would stop it for good. */
const shareMin = 0.05;
const restMsMax = 5_000;
const turnMs = 20;

/**
 * Transactions of others that bulk work may cause to be open: half as many again as before it
 * began, and one. Where a machine has no more to give they pile up, whether it is PostgreSQL that
 * is short of it, its disk, or an application beside it.
 */
export const limitFor = (before: number): number => before * 1.5 + 1;

/**
 * The limit after a while in which others had `usual` transactions open. It was learned in a stall where
 * that is far less: whoever believes it does not slow down before everybody waits for everybody.
 */
export const limitAfter = (limit: number, usual: number): number =>
  limitFor(usual) < limit / 2 ? limitFor(usual) : limit;

/** What a sample says, and how many workers may be busy after it: 0.05 to `workers`. */
export interface Share {
  readonly busy: number;
  readonly workers: number;
}

/** Decides after a sample: additive increase, multiplicative decrease. */
export function shareAfter(
  { busy, workers }: Share,
  sample: number,
  limit: number,
  workersMax: number,
): Share {
  const now = busy + newest * (sample - busy);
  const share = now > limit ? Math.max(shareMin, workers * slower) : workers + fasterBy;
  return { busy: now, workers: Math.min(workersMax, share) };
}

/** What a worker takes its pieces from. */
export interface Pace<T> {
  /** Waits while the worker should, then gives a piece; undefined where none is left. */
  next(): Promise<T | undefined>;
  /** Why it goes slower than it could; undefined where it does not. */
  slowed(): string | undefined;
}

/**
 * Does `pieces` by as many workers as those who use the live side can bear: each takes piece after
 * piece until there is none. Does not look at others where `pieces` are so few that they are done
 * before anything could be learned.
 */
export async function atPace<T>(
  signal: AbortSignal,
  live: Database,
  options: PaceOptions,
  pieces: T[],
  worker: (pace: Pace<T>) => Promise<void>,
): Promise<void> {
  const { workers, activeMax, replicaLagMsMax } = options;
  const asked = activeMax !== undefined || replicaLagMsMax !== undefined;
  const blind = new AbortController();
  const either = AbortSignal.any([signal, blind.signal]);
  const work = (watch: Watch) =>
    Promise.all(
      Array.from({ length: workers }, (_, at) => worker(paceOf(either, watch, pieces, at))),
    );
  if (pieces.length <= workers && !asked) {
    await work({ share: () => workers, slowed: () => undefined });
    return;
  }
  await withSession(live, async (client) => {
    const ended = new AbortController();
    const before = activeMax === undefined ? await ordinarilyOpen(client, either) : undefined;
    const watch = startWatch(client, options, before, ended.signal);
    // Who cannot see others any more does not go on as if nobody were there.
    watch.ended.catch((error: unknown) => blind.abort(error));
    try {
      await work(watch);
    } catch (error) {
      throw blind.signal.aborted ? blind.signal.reason : error;
    } finally {
      ended.abort();
      await watch.ended.catch(() => {});
    }
  });
}

/** What is known of others at this moment. */
interface Watch {
  /** Workers that may be busy; 0: none before a replica has caught up. */
  share(): number;
  slowed(): string | undefined;
}

function paceOf<T>(signal: AbortSignal, watch: Watch, pieces: T[], at: number): Pace<T> {
  let takenMs: number | undefined;
  return {
    slowed: watch.slowed,
    async next() {
      signal.throwIfAborted();
      const endedMs = performance.now();
      const workedMs = takenMs === undefined ? 0 : endedMs - takenMs;
      while (pieces.length > 0) {
        // Worker 2 of a share of 2.4 works four tenths of the time, and worker 3 not at all.
        const part = Math.min(1, watch.share() - at);
        const restMs = Math.min(restMsMax, workedMs * (1 / part - 1));
        if (part > 0 && performance.now() - endedMs >= restMs) break;
        await sleep(turnMs, undefined, { signal });
      }
      takenMs = performance.now();
      return pieces.shift();
    },
  };
}

/**
 * Transactions that others have open when nothing stalls, by the lower quartile of several looks: in one
 * look everybody may have waited for a disk. One that finds nearly nobody is enough.
 */
async function ordinarilyOpen(client: pg.Client, signal: AbortSignal): Promise<number> {
  const looks: number[] = [];
  while (looks.length < looksMax) {
    signal.throwIfAborted();
    const seen = await lookAt(client);
    if (seen <= few) return seen;
    looks.push(seen);
  }
  return looks.sort((one, other) => one - other)[looksMax >> 2] ?? 0;
}

async function lookAt(client: pg.Client): Promise<number> {
  let sum = 0;
  for (let sample = 0; sample < lookSamples; sample += 1) {
    sum += (await loadOf(client)).busy;
    await sleep(lookGapMs);
  }
  return sum / lookSamples;
}

/**
 * Samples until it is told to end; `ended` fails where its session breaks. Begins with one worker:
 * what all together do to an application would be felt before it is sampled. `before`: what others had
 * open before, where no limit was given.
 */
function startWatch(
  client: pg.Client,
  { workers, activeMax, replicaLagMsMax = Infinity }: PaceOptions,
  before: number | undefined,
  signal: AbortSignal,
): Watch & { readonly ended: Promise<void> } {
  let share: Share = { busy: 0, workers: Math.min(1, workers) };
  let usual = before ?? 0;
  let limit = activeMax ?? limitFor(usual);
  let lagMs = 0;
  const sampled = async () => {
    while (!signal.aborted) {
      const load = await loadOf(client);
      lagMs = load.lagMs;
      usual += slowly * (load.busy - usual);
      if (activeMax === undefined) limit = limitAfter(limit, usual);
      share = shareAfter(share, load.busy, limit, workers);
      await sleep(sampleMs, undefined, { signal }).catch(() => {});
    }
  };
  return {
    ended: sampled(),
    share: () => (lagMs > replicaLagMsMax ? 0 : share.workers),
    slowed() {
      if (lagMs > replicaLagMsMax) return `waits for a replica that lags ${Math.round(lagMs)} ms`;
      if (share.workers >= workers) return undefined;
      return (
        `${share.workers.toFixed(1)} of ${workers} workers: others have ` +
        `${share.busy.toFixed(1)} transactions open, ${limit.toFixed(1)} at most`
      );
    },
  };
}

/** Transactions that others have open on a server, and how far its slowest replica lags. */
async function loadOf(client: pg.Client): Promise<{ busy: number; lagMs: number }> {
  const { rows } = await client.query<{ busy: number; lagMs: number }>(
    `select (select count(*)::int from pg_stat_activity a
       where a.state <> 'idle' and a.backend_type = 'client backend'
         and a.application_name not like 'migrate-tool/%') as busy,
     (select coalesce(max(extract(epoch from r.replay_lag) * 1000), 0)::float8
       from pg_stat_replication r) as "lagMs"`,
  );
  return rows[0] ?? { busy: 0, lagMs: 0 };
}
