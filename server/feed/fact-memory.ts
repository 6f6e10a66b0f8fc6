import type { Log } from '#server/operation/log.ts';
import type { Metrics } from '#server/operation/metrics.ts';
import { asError } from '#server/store/database.ts';
import type { Fact, Mortal } from '#server/store/feed.ts';
import { createRevocationSet, type RevocationSet } from './revocations.ts';

export interface FactMemoryOptions {
  /** More facts than so many are not held. */
  readonly factsMax: number;
  /** Living facts with `after < seq <= upTo` in the order of seq, and where the next page begins. */
  readonly page: (after: number, upTo: number) => Promise<FactPage>;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface FactPage {
  readonly facts: readonly Fact[];
  /** Undefined: this was the last page. */
  readonly next: number | undefined;
}

/**
 * What a node holds of the facts that kill: all of them, or, where there are more than it may hold,
 * none. Then PostgreSQL is asked until so many have ended that they fit again; they are read anew
 * beside the checks, page by page.
 */
export interface FactMemory {
  /** Takes the facts that a poll brought, in the order of seq. */
  add(fact: Fact, nowSeconds: number): void;
  /** Undefined: not all facts are held, and PostgreSQL must be asked. */
  kills(mortal: Mortal): boolean | undefined;
  /** After each poll: forgets a share of what ended, and reads anew what fits again. */
  tidy(nowSeconds: number): void;
  readonly size: number;
  /** True while there are more facts than may be held. */
  readonly isOver: boolean;
}

/** Going back and forth would cost more than either, so some room must be free. */
const fitsShare = 0.9;
/** After an attempt that failed, the next is not made before. */
const pauseSeconds = 5;

/** Makes an empty memory that holds all facts there are: none. */
export function createFactMemory(options: FactMemoryOptions): FactMemory {
  const { factsMax, log, metrics } = options;
  let set: RevocationSet | undefined = createRevocationSet();
  /** Being read anew, and told of whatever comes meanwhile. */
  let coming: RevocationSet | undefined;
  let newest = 0;
  let notBeforeSeconds = 0;
  const living = createExpiryCount();

  function takeUp(fact: Fact): void {
    set?.add(fact);
    coming?.add(fact);
    if (coming !== undefined && coming.size > factsMax) coming = undefined;
    if (set === undefined || set.size <= factsMax) return;
    set = undefined;
    metrics.event('feed_overflow');
    log.warn('facts_over_limit', { limit: factsMax });
  }

  /** Reads all facts up to the newest known here; what is newer comes by the polls. */
  async function readAnew(into: RevocationSet): Promise<void> {
    const upTo = newest;
    coming = into;
    for (let after: number | undefined = 0; after !== undefined && coming === into; ) {
      const page: FactPage = await options.page(after, upTo);
      for (const fact of page.facts) if (coming === into) takeUpRead(fact, into);
      after = page.next;
    }
    if (coming !== into) return;
    coming = undefined;
    set = into;
    metrics.event('feed_recovered');
    log.info('facts_within_limit', { limit: factsMax, facts: into.size });
  }

  function takeUpRead(fact: Fact, into: RevocationSet): void {
    into.add(fact);
    if (into.size > factsMax) coming = undefined;
  }

  return {
    add(fact, nowSeconds) {
      newest = fact.seq;
      if (!isRevocation(fact) || fact.expiresAt < nowSeconds) return;
      living.add(fact.expiresAt, nowSeconds);
      takeUp(fact);
    },
    kills: (mortal) => set?.kills(mortal),
    tidy(nowSeconds) {
      set?.forgetNext(nowSeconds);
      const count = living.after(nowSeconds);
      if (set !== undefined || coming !== undefined) return;
      if (count > factsMax * fitsShare || nowSeconds < notBeforeSeconds) return;
      notBeforeSeconds = nowSeconds + pauseSeconds;
      readAnew(createRevocationSet()).catch((error: unknown) => {
        coming = undefined;
        log.warn('facts_not_read', {}, asError(error));
      });
    },
    get size() {
      return set?.size ?? 0;
    },
    get isOver() {
      return set === undefined;
    },
  };
}

function isRevocation(fact: Fact): boolean {
  return fact.kind !== 'client_changed' && fact.kind !== 'keys_changed';
}

const bucketSeconds = 5;

/** How many facts live on, by the five seconds in which they end; a fact told twice counts twice. */
function createExpiryCount() {
  const buckets = new Map<number, number>();
  let count = 0;
  let oldest: number | undefined;
  return {
    add(expiresAt: number, nowSeconds: number): void {
      oldest ??= Math.floor(nowSeconds / bucketSeconds);
      const bucket = Math.floor(expiresAt / bucketSeconds);
      buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
      count++;
    },
    after(nowSeconds: number): number {
      if (oldest === undefined) return 0;
      for (const now = Math.floor(nowSeconds / bucketSeconds); oldest < now; oldest++) {
        count -= buckets.get(oldest) ?? 0;
        buckets.delete(oldest);
      }
      return count;
    },
  };
}
