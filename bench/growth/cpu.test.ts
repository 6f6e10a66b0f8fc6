import { expect, it } from 'vitest';
import { ratioOf } from './cpu.ts';

it('compares sums, without the rounds that are farthest out', () => {
  expect(ratioOf([10, 20, 10, 10], [11, 22, 100, 1])).toBeCloseTo(1.1);
  expect(ratioOf([10, 10, 10], [20, 20, 20])).toBe(2);
});

it('takes all rounds where they are few', () => {
  expect(ratioOf([10, 10], [10, 30])).toBe(2);
});
