import { expect, test } from 'vitest';
import { median, slopeOf } from './statistics.ts';

test('the median of an even number is between its two middles', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('a line with noise: its slope lies within the uncertainty', () => {
  const points = Array.from(
    { length: 60 },
    (_, x) => [x, 5 + 0.3 * x + ((x * 7919) % 11)] as const,
  );
  const { perUnit, uncertainty } = slopeOf(points);
  expect(Math.abs(perUnit - 0.3)).toBeLessThan(uncertainty);
  expect(uncertainty).toBeLessThan(0.1);
});

test('samples that depend on each other make the slope less certain', () => {
  const noise = (x: number) => ((x * 7919) % 11) - 5;
  const apart = Array.from({ length: 120 }, (_, x) => [x, noise(x)] as const);
  const together = Array.from({ length: 120 }, (_, x) => [x, noise(Math.floor(x / 12))] as const);
  expect(slopeOf(together).uncertainty).toBeGreaterThan(1.5 * slopeOf(apart).uncertainty);
});
