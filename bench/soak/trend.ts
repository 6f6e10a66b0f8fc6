import { mean, median, slopeOf } from '../statistics.ts';

/** A number of a server under load, as it went. */
export interface Series {
  readonly name: string;
  readonly unit: string;
  readonly points: readonly (readonly [minutes: number, value: number])[];
  /**
   * What a stretch of it counts for. `least`: what the load adds comes and goes, and what grows is
   * the floor below it.
   */
  readonly stretch: 'least' | 'middle';
  /** By how much it may grow: each minute, or as a share of its level over the judged time. */
  readonly allowed: { readonly perMinute: number } | { readonly share: number };
}

/** How a number developed after the warm-up. */
export interface Trend {
  /** In the middle of the judged time, on the straight line through it. */
  readonly level: number;
  /** By that line over the judged time, and the interval that holds it with 95 %. */
  readonly growth: number;
  readonly low: number;
  readonly high: number;
  readonly limit: number;
  /** `unclear`: it did not grow for sure, but the series is too noisy to exclude it. */
  readonly verdict: 'flat' | 'grows' | 'unclear';
}

/** The first part of the time, in which memory fills and code is compiled. */
export const warmShare = 1 / 3;
/** Stretches of the judged time: long enough to depend little on each other. */
const stretchCount = 10;

/** Judges what came after the warm-up of a soak of so many minutes. */
export function trendOf(series: Series, minutes: number): Trend {
  const begin = minutes * warmShare;
  const span = minutes - begin;
  const middle = begin + span / 2;
  const values = Array.from({ length: stretchCount }, (_, index) => {
    const from = begin + (index * span) / stretchCount;
    return stretchOf(series, from, from + span / stretchCount);
  }).flat();
  const { perUnit, low, high } = slopeOf(values);
  const level = median(values.map(([x, y]) => y + perUnit * (middle - x)));
  const { allowed } = series;
  const limit = 'share' in allowed ? allowed.share * level : allowed.perMinute * span;
  return {
    level,
    growth: perUnit * span,
    low: low * span,
    high: high * span,
    limit,
    verdict: low * span > limit ? 'grows' : high * span <= limit ? 'flat' : 'unclear',
  };
}

/** One point for all within these minutes; none where there are none. */
function stretchOf(
  { points, stretch }: Series,
  from: number,
  to: number,
): readonly (readonly [number, number])[] {
  const within = points.filter(([x, y]) => x >= from && x < to && Number.isFinite(y));
  if (within.length === 0) return [];
  const values = within.map(([, y]) => y);
  const value = stretch === 'least' ? Math.min(...values) : median(values);
  return [[mean(within.map(([x]) => x)), value]];
}
