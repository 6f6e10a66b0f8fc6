import { expect, test } from 'vitest';
import { type Series, trendOf } from './trend.ts';

const minutes = 30;

/** A process that is read every half minute: a value, and above it what load adds, by chance. */
function memory(floor: (minute: number) => number, seed = 1): Series {
  let state = seed;
  const chance = () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const points = Array.from({ length: 60 }, (_, index) => {
    const minute = (index + 1) / 2;
    // Mostly some MB; now and then ten times as much.
    const added = -4 * Math.log(chance()) + (chance() < 0.1 ? 40 * chance() : 0);
    return [minute, floor(minute) + added] as const;
  });
  return { name: 'RSS', unit: 'MB', points, stretch: 'least', allowed: { perMinute: 0.5 } };
}

const seeds = Array.from({ length: 200 }, (_, index) => 1 + index * 7_919);
const verdictsOf = (floor: (minute: number) => number) =>
  seeds.map((seed) => trendOf(memory(floor, seed), minutes).verdict);
const shareOf = (verdicts: readonly string[], verdict: string) =>
  verdicts.filter((one) => one === verdict).length / verdicts.length;

test('a leak of 1 MB a minute is found through noise, and never called flat', () => {
  const verdicts = verdictsOf((minute) => 150 + minute);
  expect(shareOf(verdicts, 'grows')).toBeGreaterThan(0.9);
  expect(verdicts).not.toContain('flat');
});

test('what does not grow is flat through the same noise, and never said to grow', () => {
  const verdicts = verdictsOf(() => 150);
  expect(shareOf(verdicts, 'flat')).toBeGreaterThan(0.9);
  expect(verdicts).not.toContain('grows');
});

test('what fills while it warms up is flat', () => {
  const verdicts = verdictsOf((minute) => Math.min(150, 50 + 10 * minute));
  expect(shareOf(verdicts, 'flat')).toBeGreaterThan(0.9);
});

test('what grew once, and not again, does not grow', () => {
  expect(verdictsOf((minute) => (minute < 17 ? 150 : 154))).not.toContain('grows');
});

test('what was hardly read is unclear, however flat', () => {
  const { points, ...rest } = memory(() => 150);
  expect(trendOf({ ...rest, points: points.slice(0, 30) }, minutes).verdict).toBe('unclear');
  expect(trendOf({ ...rest, points: [] }, minutes).verdict).toBe('unclear');
});

test('a handle that is lost every other minute shows below connections that come and go', () => {
  const handles = (perMinute: number): Series => ({
    name: 'handles',
    unit: '',
    points: Array.from({ length: 180 }, (_, index) => {
      const minute = (index + 1) / 6;
      return [minute, 105 + Math.floor(minute * perMinute) + ((index * 7_919) % 23)] as const;
    }),
    stretch: 'least',
    allowed: { share: 0.02 },
  });
  expect(trendOf(handles(0), minutes).verdict).toBe('flat');
  expect(trendOf(handles(0.5), minutes).verdict).toBe('grows');
});

test('where no floor is, the middle counts, and one bad stretch does not bend it', () => {
  const p99 = (at: (minute: number) => number): Series => ({
    name: 'p99',
    unit: 'ms',
    points: Array.from({ length: 180 }, (_, index) => {
      const minute = (index + 1) / 6;
      return [minute, at(minute) + ((index * 104_729) % 17)] as const;
    }),
    stretch: 'middle',
    allowed: { share: 0.2 },
  });
  expect(
    trendOf(
      p99((minute) => (minute > 28 ? 300 : 60)),
      minutes,
    ).verdict,
  ).toBe('flat');
  expect(
    trendOf(
      p99((minute) => 60 + minute * 2),
      minutes,
    ).verdict,
  ).toBe('grows');
});
