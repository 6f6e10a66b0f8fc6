import { expect, test } from 'vitest';
import { type GrowthPlan, shortageOf } from './growth.ts';

const plan: GrowthPlan = {
  rows: [10_000, 3_000_000],
  runs: 20,
  cpu: { rounds: 8, count: 500, lanes: 8 },
  analyze: true,
  output: undefined,
  say: () => {},
};

test('a run that would use its rows up is refused before anything is seeded', () => {
  expect(shortageOf(plan)).toBeUndefined();
  expect(shortageOf({ ...plan, runs: 40 })).toMatch(/750 logins for pages.*fewer runs/);
  expect(shortageOf({ ...plan, rows: [0, 10_000] })).toMatch(/At 0 rows/);
  expect(shortageOf({ ...plan, cpu: { rounds: 8, count: 800, lanes: 8 } })).toMatch(
    /750 logins for CPU.*800/,
  );
  expect(shortageOf({ ...plan, rows: [3_000_000, 10_000] })).toMatch(/the smallest first/);
});

test('a single size, of which nothing could be judged, is refused', () => {
  expect(shortageOf({ ...plan, rows: [3_000_000] })).toMatch(/two sizes/);
});
