import pg from 'pg';
import { createMemory, type Memory } from './memory.ts';
import { type Polling, startPolling } from './polling.ts';
import { openSide, type Side, sides, unfenceExpired } from './seam.ts';

/** Both sides, asked again and again what they are. */
export interface Watch {
  readonly memory: Memory;
  /**
   * Polls both sides; resolves when the live one has said again that it is, or when both have
   * answered or failed.
   */
  fresh(): Promise<void>;
  /** That side has refused a write with MG001 (rule 3). */
  refused(side: Side): void;
  close(): Promise<void>;
}

export interface WatchOptions {
  /** A side that is left out takes no part. */
  readonly pools: Readonly<Partial<Record<Side, pg.PoolConfig>>>;
  readonly primary: Side;
  /** Somebody waits: poll often. */
  readonly hurried: () => boolean;
  /** Something may have changed. */
  readonly changed: (memory: Memory) => void;
}

const pollMsOrdinary = 1_000;
/** While somebody waits at the gate, or a side cannot be reached. */
const pollMsHurried = 10;
const pollMsTrouble = 100;
/** A side that does not answer within this time counts as one that cannot be reached. */
const pollMsMax = 2_000;

/** Begins to poll; resolves when each side has answered or failed once. */
export async function startWatch(options: WatchOptions): Promise<Watch> {
  const memory = createMemory(options.primary);
  const pools = new Map<Side, pg.Pool>();
  const polls = new Map<Side, Polling>();
  let holdTimer: NodeJS.Timeout | undefined;
  let errandUnderWay = false;

  const changed = () => {
    clearTimeout(holdTimer);
    const holdMs = memory.holdMs();
    // The hold counts down by itself, also where nobody answers any more.
    if (holdMs > 0) holdTimer = setTimeout(changed, holdMs + 1);
    options.changed(memory);
  };
  /** Whatever fails here is tried again after the next poll. */
  const runErrand = async () => {
    const errand = memory.errand();
    const pool = errand && pools.get(errand.side);
    if (errand === undefined || pool === undefined || errandUnderWay) return;
    errandUnderWay = true;
    try {
      if (errand.errand === 'open') await openSide(pool, errand.key);
      else await unfenceExpired(pool);
      void polls.get(errand.side)?.fresh();
    } catch (error) {
      // Not asked at once: where it fails each time, as on a full disk, that would never rest.
      memory.fail(errand.side, error);
    }
    errandUnderWay = false;
  };
  const intervalMs = (side: Side) => {
    const told = memory.pollMs() ?? pollMsOrdinary;
    if (options.hurried()) return Math.min(told, pollMsHurried);
    return memory.trouble(side) === undefined ? told : Math.min(told, pollMsTrouble);
  };

  for (const side of sides) {
    const config = options.pools[side];
    if (config === undefined) {
      memory.hear(side, 'bare');
      continue;
    }
    const pool = openPollPool(config);
    pools.set(side, pool);
    const poll = startPolling({
      side,
      pool,
      intervalMs: () => intervalMs(side),
      heard(word) {
        memory.hear(side, word);
        void runErrand();
        changed();
      },
      failed(error) {
        memory.fail(side, error);
        changed();
      },
    });
    polls.set(side, poll);
  }
  const fresh = () =>
    new Promise<void>((resolve) => {
      let left = polls.size;
      for (const [side, poll] of polls) {
        void poll.fresh().then(() => {
          left -= 1;
          const isLive = memory.live() === side && memory.trouble(side) === undefined;
          if (left === 0 || isLive) resolve();
        });
      }
    });
  await Promise.all([...polls.values()].map((poll) => poll.fresh()));

  return {
    memory,
    fresh,
    refused(side) {
      polls.get(side)?.doubt();
      memory.refuse(side);
      void fresh();
    },
    async close() {
      await Promise.all([...polls.values()].map((poll) => poll.close()));
      clearTimeout(holdTimer);
      await Promise.all([...pools.values()].map((pool) => pool.end()));
    },
  };
}

/** One connection: a poll never waits for a unit of work. */
function openPollPool(config: pg.PoolConfig): pg.Pool {
  const limits = { connectionTimeoutMillis: pollMsMax, query_timeout: pollMsMax };
  const pool = new pg.Pool({ ...config, ...limits, max: 1 });
  // An idle connection that breaks is noticed by the next poll.
  pool.on('error', () => {});
  return pool;
}
