import { expect, test } from 'vitest';
import { type Sample, trendsOf } from './samples.ts';

function samples(rss: (index: number) => number): readonly Sample[] {
  return Array.from({ length: 180 }, (_, index) => ({
    minutes: (index + 1) / 6,
    rssMb: rss(index),
    heapMb: 40 + ((index * 7919) % 13),
    handles: 80,
    connections: 10,
    p50: 3,
    p99: 20 + ((index * 104_729) % 7),
    perSecond: 500,
    load: 1,
  }));
}

const verdictOf = (rss: (index: number) => number, key = 'rssMb') =>
  trendsOf(samples(rss)).find((trend) => trend.key === key)?.verdict;

test('memory that grows by a tenth after the warm-up is found, through noise', () => {
  const noise = (index: number) => ((index * 7919) % 11) - 5;
  expect(verdictOf((index) => 200 + (index / 180) * 30 + noise(index))).toBe('grows');
  expect(verdictOf((index) => 200 + noise(index))).toBe('flat');
  expect(verdictOf((index) => 200 + noise(index), 'handles')).toBe('flat');
});

test('what grows only while it warms up is flat', () => {
  expect(verdictOf((index) => Math.min(200, 100 + index * 2))).toBe('flat');
});

test('samples too noisy to tell are said to be so', () => {
  expect(verdictOf((index) => 200 + (index % 40 < 20 ? 0 : 60))).toBe('unclear');
});
