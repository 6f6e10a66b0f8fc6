/** Counts of latencies, at most 0.8 % apart, from a microsecond to over an hour. */
export interface Latencies {
  record(ms: number): void;
  /** The latency in ms that this share (0 to 1) of all stayed under or at; NaN when empty. */
  percentile(share: number): number;
  readonly count: number;
  /** The largest, ms. */
  max(): number;
}

/** Steps per power of two: 128 make a step of at most 0.8 %. */
const stepBits = 7;
const steps = 2 ** stepBits;
const powers = 26;

/** Makes an empty histogram: linear inside each power of two, so it never grows. */
export function createLatencies(): Latencies {
  const counts = new Uint32Array(powers * steps);
  let count = 0;
  let largest = 0;
  return {
    record(ms) {
      const index = Math.min(counts.length - 1, indexOf(Math.max(0, Math.round(ms * 1000))));
      counts[index] = (counts[index] ?? 0) + 1;
      count += 1;
      if (ms > largest) largest = ms;
    },
    percentile(share) {
      if (count === 0) return Number.NaN;
      let left = Math.max(1, Math.ceil(count * share));
      for (let index = 0; index < counts.length; index++) {
        left -= counts[index] ?? 0;
        if (left <= 0) return Math.min(largest, microsecondsAt(index) / 1000);
      }
      return largest;
    },
    get count() {
      return count;
    },
    max: () => largest,
  };
}

function indexOf(microseconds: number): number {
  if (microseconds < steps) return microseconds;
  const power = Math.floor(Math.log2(microseconds)) - stepBits;
  return (power + 1) * steps + Math.floor(microseconds / 2 ** power) - steps;
}

/** The largest value that {@link indexOf} puts there. */
function microsecondsAt(index: number): number {
  if (index < steps) return index;
  const power = Math.floor(index / steps) - 1;
  return ((index % steps) + steps + 1) * 2 ** power - 1;
}
