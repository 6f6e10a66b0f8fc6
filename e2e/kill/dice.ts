/** Random decisions that a seed repeats. */
export interface Dice {
  /** 0 to `below - 1`. */
  number(below: number): number;
  /** True in `share` of the cases. */
  chance(share: number): boolean;
  /** One of these; undefined where there is none. */
  pick<T>(from: readonly T[]): T | undefined;
}

/** Makes dice from a seed (mulberry32). */
export function throwDice(seed: number): Dice {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    number: (below) => Math.floor(next() * below),
    chance: (share) => next() < share,
    pick: (from) => from[Math.floor(next() * from.length)],
  };
}
