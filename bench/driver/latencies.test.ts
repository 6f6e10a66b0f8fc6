import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLatencies } from './latencies.ts';

function exactly(sorted: readonly number[], share: number): number {
  return sorted[Math.max(1, Math.ceil(sorted.length * share)) - 1] ?? Number.NaN;
}

test('percentiles are within 0.8 % and 1 us of the exact ones, and never under them', () => {
  const latency = fc.double({ min: 0, max: 60_000, noNaN: true });
  const share = fc.constantFrom(0.01, 0.5, 0.95, 0.99, 1);
  fc.assert(
    fc.property(fc.array(latency, { minLength: 1, maxLength: 300 }), share, (all, part) => {
      const latencies = createLatencies();
      for (const ms of all) latencies.record(ms);
      const exact = exactly(
        [...all].sort((a, b) => a - b),
        part,
      );
      const given = latencies.percentile(part);
      expect(given).toBeGreaterThanOrEqual(exact - 0.0006);
      expect(given).toBeLessThanOrEqual(exact * 1.008 + 0.001);
    }),
    { numRuns: 500 },
  );
});

test('an empty histogram has no percentile', () => {
  expect(createLatencies().percentile(0.5)).toBeNaN();
});
