/** Latencies in buckets that are 5 % wide: index -> count. Histograms add up; percentiles do not. */
export type Histogram = Map<number, number>;

const smallestMs = 0.05;
const width = Math.log(1.05);

export function add(histogram: Histogram, ms: number): void {
  const bucket = Math.max(0, Math.ceil(Math.log(Math.max(ms, smallestMs) / smallestMs) / width));
  histogram.set(bucket, (histogram.get(bucket) ?? 0) + 1);
}

const countOf = (histogram: Histogram): number =>
  [...histogram.values()].reduce((sum, count) => sum + count, 0);

export function merge(histograms: readonly Histogram[]): Histogram {
  const merged: Histogram = new Map();
  for (const histogram of histograms) {
    for (const [bucket, count] of histogram) merged.set(bucket, (merged.get(bucket) ?? 0) + count);
  }
  return merged;
}

/** The upper edge of the bucket that holds this share of all, in milliseconds; NaN where none is. */
function percentile(histogram: Histogram, share: number): number {
  const rank = Math.ceil(countOf(histogram) * share);
  let passed = 0;
  for (const [bucket, count] of [...histogram].sort(([one], [other]) => one - other)) {
    passed += count;
    if (passed >= rank) return Math.round(smallestMs * Math.exp(bucket * width) * 100) / 100;
  }
  return Number.NaN;
}

/** What is printed of one. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export function percentiles(histogram: Histogram): Percentiles {
  const [p50 = 0, p95 = 0, p99 = 0, max = 0] = [0.5, 0.95, 0.99, 1].map((share) =>
    percentile(histogram, share),
  );
  return { count: countOf(histogram), p50, p95, p99, max };
}
