import { setImmediate as aTurn, setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createLatencies } from './latencies.ts';
import { closedLoop, openLoop } from './load.ts';

test('a stall counts for everything that was due meanwhile, not only for what it hit', async () => {
  // One lane, 100 operations a second; the first takes 200 ms, all others none.
  const stall = () => {
    let first = true;
    return async () => {
      if (first) await sleep(200);
      first = false;
      return true;
    };
  };
  const common = { lanes: 1, seconds: 0.4 };
  const open = createLatencies();
  await openLoop({ ...common, ratePerSecond: 100, latencies: open, operation: stall() });
  const closed = createLatencies();
  const paced = stall();
  await closedLoop({
    ...common,
    latencies: closed,
    operation: async () => (await paced()) && (await aTurn(true)),
  });
  expect(open.count).toBe(40);
  expect(open.percentile(0.75)).toBeGreaterThan(50);
  expect(closed.percentile(0.75)).toBeLessThan(50);
});

test('an operation that throws is counted as an error, and its message kept', async () => {
  const load = await closedLoop({
    lanes: 2,
    seconds: 5,
    latencies: createLatencies(),
    operation: () => Promise.reject(new Error('refused')),
  });
  expect(load).toMatchObject({ operations: 0, firstError: 'refused' });
  expect(load.errors).toBeGreaterThanOrEqual(100);
  expect(load.seconds).toBeLessThan(5);
});

test('a lane that has nothing left ends; so does a load at its number of operations', async () => {
  let left = 5;
  const latencies = createLatencies();
  const common = { lanes: 3, seconds: 5, latencies };
  const drained = await closedLoop({ ...common, operation: async () => left-- > 0 });
  expect(drained.operations).toBe(5);
  const counted = await closedLoop({
    ...common,
    operation: () => sleep(1, true),
    operationsMax: 9,
  });
  expect(counted.operations).toBeLessThanOrEqual(11);
});
