/** The middle of some numbers; NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The arithmetic mean; NaN of none. */
export function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

/** A straight line through points: its slope, and the interval that holds it with 95 % (two-sided). */
export interface Slope {
  readonly perUnit: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The median of the slopes between all pairs of points (Theil and Sen): a third of the points may lie
 * anywhere and do not bend it. Of too few points the interval has no ends.
 */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const slopes = points.flatMap(([x, y], index) =>
    points.slice(index + 1).map(([otherX, otherY]) => (otherY - y) / (otherX - x)),
  );
  slopes.sort((a, b) => a - b);
  const n = points.length;
  // Kendall's test turned around: so many slopes are cut off at each end.
  const spread = 1.96 * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  const cut = Math.floor((slopes.length - spread) / 2) - 1;
  return {
    perUnit: median(slopes),
    low: slopes[cut] ?? Number.NEGATIVE_INFINITY,
    high: slopes[slopes.length - 1 - cut] ?? Number.POSITIVE_INFINITY,
  };
}
