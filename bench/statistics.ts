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

/** A straight line through points: its slope, and how far off that may be (95 %, two-sided). */
export interface Slope {
  readonly perUnit: number;
  readonly uncertainty: number;
}

/**
 * Least squares. Neighbouring samples of a server depend on each other, so the uncertainty counts
 * only as many samples as are independent, by the residuals' first autocorrelation.
 */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const n = points.length;
  const xMean = mean(points.map(([x]) => x));
  const yMean = mean(points.map(([, y]) => y));
  const xx = points.reduce((sum, [x]) => sum + (x - xMean) ** 2, 0);
  const xy = points.reduce((sum, [x, y]) => sum + (x - xMean) * (y - yMean), 0);
  const perUnit = xy / xx;
  const residuals = points.map(([x, y]) => y - yMean - perUnit * (x - xMean));
  const squares = residuals.reduce((sum, r) => sum + r * r, 0);
  const lagged = residuals.slice(1).reduce((sum, r, i) => sum + r * (residuals[i] ?? 0), 0);
  const correlation = squares === 0 ? 0 : Math.min(0.95, Math.max(0, lagged / squares));
  const independent = Math.max(3, (n * (1 - correlation)) / (1 + correlation));
  const standardError = Math.sqrt(squares / n / (independent - 2) / (xx / n));
  return { perUnit, uncertainty: studentT(independent - 2) * standardError };
}

/** The 97.5th percentile of Student's t, within 2 % from 1 degree of freedom on. */
function studentT(degrees: number): number {
  if (degrees <= 1.5) return 12.7;
  if (degrees <= 2.5) return 4.3;
  return 1.96 + 2.4 / degrees + 3.1 / degrees ** 2 + 3 / degrees ** 3;
}
