import pg from 'pg';
import type { Log } from '#server/operation/log.ts';
import type { Metrics } from '#server/operation/metrics.ts';
import { createBatch } from '#server/store/batch.ts';
import { type Database, DatabaseUnavailable, plannerOptions } from '#server/store/database.ts';
import {
  areDead,
  factsOf,
  factsPerPoll,
  type PollRow,
  poll,
  readFacts,
} from '#server/store/fact.ts';
import type { Fact, Feed, Mortal } from '#server/store/feed.ts';
import { createFactMemory, type FactMemory } from './fact-memory.ts';
import { createHistory, DatabaseRestored, type History } from './history.ts';
import type { PositionFile } from './position.ts';

/** A watermark older than this answers nothing; whoever reports a revocation waits as long. */
export const freshMsMax = 50;
/** Under load the next poll is started this long before it is needed. */
const aheadMs = 25;
/** Polls begin at least this far apart, so that births under load share one (100 a second at most). */
const pollGapMs = 10;
/** How long a caller waits for a fresh watermark before it is told 503. */
const waitMsMax = 1000;
/** A poll that takes longer has lost its connection. */
const pollMsMax = 800;
/** Timers may fire up to a millisecond early. */
const acknowledgeMs = freshMsMax + 2;
const reconnectMs = [0, 25, 50, 100, 200, 400] as const;
/** A system clock this far from the database's is worth a warning; nothing is decided by it. */
const skewMsWarned = 5000;
/**
 * After so long without a poll, facts may have been swept that this node never saw: they live 10
 * minutes at least. What they would have killed has ended by itself; caches have not.
 */
const gapMs = 5 * 60_000;
/** The first poll may take this long: it reads every fact that lives. */
const loadMsMax = 300_000;
/** A share of the facts that ended leaves memory this often: all of them within 26 s of polls. */
const forgetMs = 100;
const epochRefused = 'this database is not the live one';

export interface FeedOptions {
  readonly url: string;
  /** Asked instead of memory where there are more facts than `factsMax`. */
  readonly database: Database;
  readonly factsMax: number;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly onClientChanged: (clientId: string) => void;
  /** Says on a new connection what it must say before it polls; may refuse by throwing. */
  readonly onConnected?: (client: pg.Client) => Promise<void>;
  /** Reads the keys again; true once that is done. Until then nothing is fresh. */
  readonly onKeysChanged: () => Promise<boolean>;
  /** Where an earlier process of this machine stood; absent: nobody knows. */
  readonly position?: PositionFile;
  /** Facts may have come and gone unseen: clients must be read again. */
  readonly onGap: () => void;
}

interface Waiter {
  /** Resolve once a poll that began at or after this (monotonic ms) has succeeded. */
  readonly beganFrom: number;
  readonly deadline: NodeJS.Timeout;
  readonly resolve: () => void;
  readonly reject: (error: DatabaseUnavailable) => void;
}

/**
 * Connects, loads every fact that can still kill something, and then polls when asked. Refuses with
 * DatabaseRestored a database that has lost facts which this machine has seen.
 */
export async function openFeed(options: FeedOptions): Promise<Feed> {
  const poller = createPoller(options);
  await poller.next(performance.now(), loadMsMax).catch((error: unknown) => {
    throw poller.state.restored ?? error;
  });
  const { state } = poller;

  let asked = 0;
  const askDatabase = createBatch<Mortal, boolean>({
    name: 'fact_kills',
    rowsMax: 500,
    waitingMax: 10_000,
    // Nothing is written, so one token may be asked about many times in a statement.
    key: () => String(asked++),
    run: (mortals) => areDead(options.database, mortals),
  });

  return {
    fresh() {
      const now = performance.now();
      const age = now - state.watermark;
      if (age <= freshMsMax) {
        if (age > aheadMs) poller.ahead();
        return undefined;
      }
      return poller.next(now - freshMsMax);
    },
    async born() {
      await poller.next(performance.now());
      return state.cursor;
    },
    known: () => state.cursor,
    isDead(mortal) {
      if (mortal.loginBorn < state.floor || mortal.grantBorn < state.floor) return true;
      return state.memory.kills(mortal) ?? askDatabase(mortal);
    },
    accessSecondsMax: () => state.accessSecondsMax,
    nowMs: () => state.databaseMs + (performance.now() - state.databaseAt),
    async acknowledged() {
      const committed = performance.now();
      while (performance.now() - committed < acknowledgeMs) {
        const left = acknowledgeMs - (performance.now() - committed);
        await new Promise((resolve) => setTimeout(resolve, left));
      }
    },
    lagSeconds: () => (performance.now() - state.watermark) / 1000,
    size: () => state.memory.size,
    isOver: () => state.memory.isOver,
    refusal: () => state.restored?.message,
    close: () => poller.close(),
  };
}

interface FeedState {
  readonly memory: FactMemory;
  cursor: number;
  accessSecondsMax: number;
  /** When the last successful poll began, monotonic ms. */
  watermark: number;
  databaseMs: number;
  databaseAt: number;
  epoch: string | undefined;
  readonly history: History;
  /** Everything born before this fact is dead (`gatehouse recover`). */
  floor: number;
  /** Set for good once the database turned out to be another than the one that was known. */
  restored: DatabaseRestored | undefined;
  forgotAt: number;
  skewed: boolean;
  /** True from a fact about keys until they have been read again. */
  keysStale: boolean;
}

/** One poll in flight, on a connection of its own; no timer while nobody asks. */
function createPoller(options: FeedOptions) {
  const state: FeedState = {
    memory: createFactMemory({
      factsMax: options.factsMax,
      page: (after, upTo) => readFacts(options.database, after, upTo),
      log: options.log,
      metrics: options.metrics,
    }),
    cursor: 0,
    accessSecondsMax: 0,
    watermark: Number.NEGATIVE_INFINITY,
    databaseMs: Date.now(),
    databaseAt: performance.now(),
    epoch: undefined,
    history: createHistory(options.position?.noted),
    floor: 0,
    restored: undefined,
    forgotAt: performance.now(),
    skewed: false,
    keysStale: false,
  };
  const waiters = new Set<Waiter>();
  let client: pg.Client | undefined;
  let polling = false;
  let wanted = false;
  let closed = false;
  let beganAt = Number.NEGATIVE_INFINITY;
  let failures = 0;

  async function run(): Promise<void> {
    polling = true;
    while (!closed && (wanted || waiters.size > 0)) {
      wanted = false;
      const wait = Math.max(pauseMs(failures), pollGapMs - (performance.now() - beganAt));
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      beganAt = performance.now();
      try {
        client ??= await connect(options, forget);
        await pollOnce(client, state, options);
        succeed(beganAt);
      } catch (error) {
        failures++;
        if (error instanceof DatabaseRestored) fence(error);
        options.metrics.event('feed_stale');
        options.log.warn('feed_poll_failed', { failures, message: messageOf(error) });
        drop();
      }
    }
    polling = false;
  }

  function succeed(began: number): void {
    failures = 0;
    state.watermark = began;
    for (const waiter of waiters) {
      if (waiter.beganFrom > began) continue;
      waiters.delete(waiter);
      clearTimeout(waiter.deadline);
      waiter.resolve();
    }
  }

  /** For good: what is in memory and what was issued from it belong to another history. */
  function fence(restored: DatabaseRestored): void {
    state.restored = restored;
    options.metrics.event('database_restored');
    options.log.error('database_restored', { message: restored.message });
    wanted = false;
    for (const waiter of waiters) {
      waiters.delete(waiter);
      clearTimeout(waiter.deadline);
      waiter.reject(new DatabaseUnavailable(restored.message));
    }
  }

  function forget(broken: pg.Client): void {
    if (client === broken) client = undefined;
  }

  function drop(): void {
    const broken = client;
    client = undefined;
    // Not end(): it would wait for a server whose packets are lost.
    if (broken !== undefined) destroy(broken);
  }

  function start(): void {
    if (!polling && !closed && state.restored === undefined) void run();
  }

  return {
    state,
    ahead() {
      wanted = true;
      start();
    },
    next(beganFrom: number, msMax: number = waitMsMax): Promise<void> {
      const { restored } = state;
      if (restored !== undefined) return Promise.reject(new DatabaseUnavailable(restored.message));
      return new Promise((resolve, reject) => {
        const deadline = setTimeout(() => {
          waiters.delete(waiter);
          reject(new DatabaseUnavailable('the revocation feed is not fresh'));
        }, msMax);
        const waiter: Waiter = { beganFrom, deadline, resolve, reject };
        waiters.add(waiter);
        start();
      });
    },
    async close() {
      closed = true;
      const open = client;
      client = undefined;
      if (open !== undefined) await open.end().catch(() => {});
      await options.position?.close();
    },
  };
}

function pauseMs(failures: number): number {
  return failures === 0 ? 0 : (reconnectMs[Math.min(failures - 1, reconnectMs.length - 1)] ?? 400);
}

async function connect(
  { url, onConnected }: FeedOptions,
  onBroken: (client: pg.Client) => void,
): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'gatehouse-feed',
    options: plannerOptions,
    connectionTimeoutMillis: pollMsMax,
    query_timeout: pollMsMax,
    keepAlive: true,
  });
  client.on('error', () => onBroken(client));
  client.on('end', () => onBroken(client));
  await client.connect();
  await onConnected?.(client).catch((error: unknown) => {
    destroy(client);
    throw error;
  });
  return client;
}

/** Ends the socket at once; `pg` has no public way to leave a server that does not answer. */
function destroy(client: pg.Client): void {
  client.on('error', () => {});
  const { stream } = client.connection;
  stream.destroy();
}

async function pollOnce(client: pg.Client, state: FeedState, options: FeedOptions): Promise<void> {
  const begun = performance.now();
  let count = 0;
  for (;;) {
    const { rows } = await client.query<PollRow>({ ...poll, values: [state.cursor] });
    const [first] = rows;
    if (first === undefined) throw new Error('table control has no row: run `gatehouse schema up`');
    const facts = factsOf(rows);
    const isLast = facts.length < factsPerPoll;
    state.history.check(first, facts, Number(first.now_ms) / 1000);
    state.epoch ??= first.epoch;
    if (first.state !== 'live' || first.epoch !== state.epoch) throw new Error(epochRefused);
    if (Number(first.now_ms) - state.databaseMs > gapMs) options.onGap();
    state.accessSecondsMax = first.access_seconds_max;
    state.floor = Number(first.floor_seq);
    reckon(state, Number(first.now_ms), options.log, options.metrics);
    const news = facts[0]?.seq === state.cursor ? facts.slice(1) : facts;
    for (const fact of news) apply(fact, state, options);
    count += news.length;
    if (isLast) break;
  }
  if (count > 0 || state.watermark === Number.NEGATIVE_INFINITY) notePosition(state, options);
  if (state.keysStale) {
    if (!(await options.onKeysChanged())) throw new Error('the keys could not be read');
    state.keysStale = false;
  }
  forgetExpired(state);
  options.metrics.feedPolled((performance.now() - begun) / 1000, count);
}

/** The first time round this says whether an earlier process of this machine saw more. */
function notePosition(state: FeedState, { position }: FeedOptions): void {
  if (position === undefined) return;
  const isFirst = state.watermark === Number.NEGATIVE_INFINITY;
  if (isFirst) state.history.checkNoted(position.noted, state.databaseMs / 1000);
  const now = state.history.position();
  if (now !== undefined) position.note(now);
}

function forgetExpired(state: FeedState): void {
  if (performance.now() - state.forgotAt < forgetMs) return;
  state.forgotAt = performance.now();
  state.memory.tidy(state.databaseMs / 1000);
}

function apply(fact: Fact, state: FeedState, options: FeedOptions): void {
  state.cursor = fact.seq;
  state.history.advance(fact);
  if (fact.kind === 'keys_changed') state.keysStale = true;
  else if (fact.kind === 'client_changed') options.onClientChanged(fact.target);
  else {
    if (fact.kind === 'client') options.onClientChanged(fact.target);
    state.memory.add(fact, state.databaseMs / 1000);
  }
}

/** Nodes reckon with database time plus monotonic elapsed; a wrong system clock only warns. */
function reckon(state: FeedState, databaseMs: number, log: Log, metrics: Metrics): void {
  state.databaseMs = databaseMs;
  state.databaseAt = performance.now();
  const skewed = Math.abs(Date.now() - databaseMs) > skewMsWarned;
  if (skewed && !state.skewed) {
    metrics.event('clock_skew');
    log.warn('clock_skew', { seconds: Math.round((Date.now() - databaseMs) / 1000) });
  }
  state.skewed = skewed;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
