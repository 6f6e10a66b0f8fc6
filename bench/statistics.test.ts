import { expect, test } from 'vitest';
import { median, slopeOf } from './statistics.ts';

test('the median of an even number is between its two middles', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('a line with noise: its slope lies within the interval', () => {
  const points = Array.from(
    { length: 60 },
    (_, x) => [x, 5 + 0.3 * x + ((x * 7919) % 11)] as const,
  );
  const { low, high } = slopeOf(points);
  expect(low).toBeLessThan(0.3);
  expect(high).toBeGreaterThan(0.3);
  expect(high - low).toBeLessThan(0.2);
});

test('points far off do not bend the line', () => {
  const points = Array.from({ length: 20 }, (_, x) => [x, x % 5 === 4 ? 1000 * x : 7] as const);
  expect(slopeOf(points).perUnit).toBe(0);
});

test('of too few points everything is possible', () => {
  const { low, high } = slopeOf([
    [0, 1],
    [1, 2],
    [2, 3],
  ]);
  expect([low, high]).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]);
});
