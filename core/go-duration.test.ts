import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatGoDuration, parseGoDuration, wholeSeconds } from './go-duration.ts';

test.each([
  ['1h', '1h0m0s', 3600],
  ['30m', '30m0s', 1800],
  ['1h30m', '1h30m0s', 5400],
  ['90s', '1m30s', 90],
  ['1.5h', '1h30m0s', 5400],
  ['720h', '720h0m0s', 2_592_000],
  ['1.5s', '1.5s', 1],
  ['1500ms', '1.5s', 1],
  ['10ms', '10ms', 0],
  ['1.25us', '1.25µs', 0],
  ['2µs', '2µs', 0],
  ['7ns', '7ns', 0],
  ['0s', '0s', 0],
  ['1h0m0.000000001s', '1h0m0.000000001s', 3600],
])('%s is %s as Go prints it, %d whole seconds', (text, canonical, seconds) => {
  const nanoseconds = parseGoDuration(text) ?? -1n;
  expect(formatGoDuration(nanoseconds)).toBe(canonical);
  expect(wholeSeconds(nanoseconds)).toBe(seconds);
});

test.each(['', '1', 'h', '1 h', '-1h', '+1h', '1d', '1h ', '.5h', '1.h', '1e3s', '1h1', '1H'])(
  '%j is no duration',
  (text) => {
    expect(parseGoDuration(text)).toBeUndefined();
  },
);

test('more than Go can hold, and endless text, are refused', () => {
  expect(parseGoDuration('2562047h')).toBeDefined();
  expect(parseGoDuration('2562048h')).toBeUndefined();
  expect(parseGoDuration(`${'9'.repeat(1000)}h`)).toBeUndefined();
});

test('what is printed reads back as the same duration', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), (nanoseconds) => {
      expect(parseGoDuration(formatGoDuration(nanoseconds))).toBe(nanoseconds);
    }),
  );
});
