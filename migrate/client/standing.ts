import { otherSide, type Seam, type Side, sides } from './seam.ts';

/** What a side has said last: its seam, that it has none, or nothing at all so far. */
export type Word = Seam | 'bare' | undefined;

export type Words = Readonly<Record<Side, Word>>;

/** A side, as one unit of work is pinned to it (rule 1). */
export interface Place {
  readonly side: Side;
  /** Rises by one at each opening; 0 where no migration is known. Part of the key of every cache. */
  readonly epoch: number;
}

const seamOf = (word: Word): Seam | undefined => (typeof word === 'object' ? word : undefined);

/**
 * Which side is live, by what both have said. Undefined: none, or none is known to be (then writes
 * wait). `last` is the side that was live last, `primary` the one that the configuration names.
 */
export function liveOf(words: Words, last: Side | undefined, primary: Side): Side | undefined {
  const live = sides
    .filter((side) => seamOf(words[side])?.state === 'live')
    // Where both say so, one answer is older: the greater epoch is the later one.
    .sort((one, other) => epochOf(words[other]) - epochOf(words[one]));
  if (live[0] !== undefined) return live[0];
  for (const side of sides) {
    // Rule 6: finish is under way (or kept the guard on the old side), or abort after a rollback.
    const other = seamOf(words[otherSide(side)]);
    if (words[side] === 'bare' && other?.state === 'retired') return side;
  }
  // Rule 6: no migration, or it is finished, or prepare or abort are under way.
  const kept = last ?? primary;
  return words[kept] === 'bare' ? kept : undefined;
}

/** The side that was live a moment ago, while no other can be. */
export const fencedOf = (words: Words): Side | undefined =>
  sides.find((side) => seamOf(words[side])?.state === 'fenced');

/**
 * Where a read may go: the live side, else the one that was live last. A retired side is that only
 * as long as the other answers (`reached`) and is not open. Undefined: nowhere; reads wait.
 */
export function readableOf(
  words: Words,
  reached: readonly Side[],
  last: Side | undefined,
  primary: Side,
): Side | undefined {
  const newest = liveOf(words, last, primary) ?? fencedOf(words);
  if (newest !== undefined) return newest;
  const retired = sides
    .filter((side) => seamOf(words[side])?.state === 'retired')
    .filter((side) => reached.includes(otherSide(side)) && seamOf(words[otherSide(side)]))
    .sort((one, other) => epochOf(words[other]) - epochOf(words[one]));
  if (retired[0] !== undefined) return retired[0];
  // A side of which nothing is heard: whoever reads there learns whether it can be reached.
  const kept = last ?? primary;
  return words[kept] === undefined ? kept : undefined;
}

export const epochOf = (word: Word): number => seamOf(word)?.epoch ?? 0;

/** What any client may and should do where a tool has died in a switch. */
export type Errand =
  | { readonly errand: 'unfence'; readonly side: Side }
  | { readonly errand: 'open'; readonly side: Side; readonly key: Buffer };

/** The columns `fence_expired` and `opening_key`, as the contract says. */
export function errandOf(words: Words): Errand | undefined {
  for (const side of sides) {
    const seam = seamOf(words[side]);
    const other = seamOf(words[otherSide(side)]);
    if (seam?.state === 'fenced' && seam.fenceExpired) return { errand: 'unfence', side };
    if (seam?.state !== 'retired' || seam.openingKey === null) continue;
    if (other?.state === 'copy' || other?.state === 'retired') {
      // Of two retired sides only the later one has a key that fits; a wrong key does nothing.
      if (other.state === 'retired' && other.epoch > seam.epoch) continue;
      return { errand: 'open', side: otherSide(side), key: seam.openingKey };
    }
  }
  return undefined;
}

/** What a side has said, once it has refused a write: not live, whatever was heard before. */
export function refusedWord(word: Word): Word {
  if (typeof word !== 'object') return undefined;
  return { ...word, state: 'fenced', fenceExpired: false, openingKey: null };
}
