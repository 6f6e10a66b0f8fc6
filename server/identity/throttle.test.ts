import { describe, expect, test } from 'vitest';
import { createThrottle, networkOf } from './throttle.ts';

const options = {
  freeFailures: 2,
  firstWaitSeconds: 1,
  waitSecondsMax: 8,
  forgiveSeconds: 100,
  keysMax: 3,
};

describe('a throttle', () => {
  test('lets the free failures pass, then doubles the wait up to its limit', () => {
    const throttle = createThrottle(options);
    const waits = Array.from({ length: 8 }, () => {
      throttle.failed('a', 0);
      return throttle.waitSeconds('a', 0);
    });
    expect(waits).toEqual([0, 0, 1, 2, 4, 8, 8, 8]);
    expect(throttle.waitSeconds('a', 7_001)).toBe(1);
    expect(throttle.waitSeconds('a', 8_000)).toBe(0);
    expect(throttle.waitSeconds('b', 0)).toBe(0);
  });

  test('forgives one failure after each stretch of time', () => {
    const throttle = createThrottle(options);
    for (let failures = 0; failures < 4; failures += 1) throttle.failed('a', 0);
    throttle.failed('a', 300_000);
    expect(throttle.waitSeconds('a', 300_000)).toBe(0);
    throttle.failed('a', 300_000);
    expect(throttle.waitSeconds('a', 300_000)).toBe(1);
  });

  test('takes back the attempt that turned out well, but no wait that another one set', () => {
    const throttle = createThrottle(options);
    for (let failures = 0; failures < 3; failures += 1) throttle.failed('a', 0);
    const takeBack = throttle.failed('a', 1_000);
    throttle.failed('a', 1_000);
    takeBack();
    expect(throttle.waitSeconds('a', 1_000)).toBe(4);

    const alone = createThrottle(options);
    for (let failures = 0; failures < 2; failures += 1) alone.failed('a', 0);
    alone.failed('a', 0)();
    expect(alone.waitSeconds('a', 0)).toBe(0);
  });

  test('remembers no more keys than it may', () => {
    const throttle = createThrottle({ ...options, freeFailures: 0 });
    for (const key of ['a', 'b', 'c', 'a', 'd']) throttle.failed(key, 0);
    const remembered = ['a', 'b', 'c', 'd'].filter((key) => throttle.waitSeconds(key, 0) > 0);
    expect(remembered).toEqual(['a', 'c', 'd']);
  });
});

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:DB8:1:2::1', '2001:db8:1:2'],
  ['2001:0db8::1', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
])('the network of %s is %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
