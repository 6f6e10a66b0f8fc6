import { otherSide, type Side, sides } from './seam.ts';
import {
  type Errand,
  epochOf,
  errandOf,
  fencedOf,
  liveOf,
  type Place,
  readableOf,
  refusedWord,
  type Word,
} from './standing.ts';

/** What both sides have said, and what follows from it now. */
export interface Memory {
  hear(side: Side, word: Word): void;
  /** A poll failed: what was heard before still counts (rule 6). */
  fail(side: Side, error: unknown): void;
  /** That side has refused a write (rule 3): it is not live until it says so again. */
  refuse(side: Side): void;
  live(): Side | undefined;
  /** Where a write may begin now; undefined: it waits (rule 2). */
  writable(): Place | undefined;
  /** Where a read may begin now (rule 5); undefined: nowhere that is known to be in step. */
  readable(): Place | undefined;
  /** The side that is live, or fenced so that no other is; for reads that must never be older. */
  newest(): Place | undefined;
  /** A switch will come soon, and this side will be the live one. */
  nextSide(): Side | undefined;
  /** Milliseconds that writes are still held on the live side; counts down by itself. */
  holdMs(): number;
  /** How soon both want to be asked again; undefined: neither says. */
  pollMs(): number | undefined;
  errand(): Errand | undefined;
  word(side: Side): Word;
  /** Why the last poll of that side failed; undefined: it did not. */
  trouble(side: Side): unknown;
}

export function createMemory(primary: Side): Memory {
  const words: Record<Side, Word> = { blue: undefined, green: undefined };
  const troubles: Record<Side, unknown> = { blue: undefined, green: undefined };
  let last: Side | undefined;
  let lastEpoch = 0;
  // Each migration counts from 1, and what was cached in one must not be found again in the next.
  let migrationId: string | undefined;
  let epochsBefore = 0;

  const seams = () => sides.map((side) => words[side]).filter((word) => typeof word === 'object');
  const live = () => liveOf(words, last, primary);
  const place = (side: Side | undefined): Place | undefined =>
    side && { side, epoch: Math.max(epochsBefore + epochOf(words[side]), lastEpoch) };
  const holdMs = () => {
    const word = words[live() ?? primary];
    if (typeof word !== 'object') return 0;
    return Math.max(0, Math.ceil(word.holdUntilMs - performance.now()));
  };

  return {
    hear(side, word) {
      words[side] = word;
      troubles[side] = undefined;
      const now = live();
      if (now === undefined) return;
      last = now;
      const seam = words[now];
      if (typeof seam === 'object' && seam.migrationId !== migrationId) {
        epochsBefore = lastEpoch;
        migrationId = seam.migrationId;
      }
      lastEpoch = Math.max(lastEpoch, epochsBefore + epochOf(seam));
    },
    fail(side, error) {
      troubles[side] = error;
    },
    refuse(side) {
      words[side] = refusedWord(words[side]);
    },
    live,
    writable: () => (holdMs() > 0 ? undefined : place(live())),
    readable() {
      const reached = sides.filter((side) => troubles[side] === undefined);
      return place(readableOf(words, reached, last, primary));
    },
    newest() {
      // What was heard before is not new enough, and nothing was heard since.
      if (sides.every((side) => troubles[side] !== undefined)) return undefined;
      return place(live() ?? fencedOf(words));
    },
    nextSide() {
      const now = live();
      return now && seams().some(({ near }) => near) ? otherSide(now) : undefined;
    },
    holdMs,
    pollMs() {
      const told = seams().map(({ pollMs }) => pollMs);
      return told.length === 0 ? undefined : Math.min(...told);
    },
    errand: () => errandOf(words),
    word: (side) => words[side],
    trouble: (side) => troubles[side],
  };
}
