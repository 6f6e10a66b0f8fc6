import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createIdSet, type IdSet } from './id-set.ts';
import { shares } from './id-table.ts';

/** Goes once through the whole set. */
function forgetExpired(set: IdSet, nowSeconds: number): void {
  for (let share = 0; share < shares; share++) set.forgetNext(nowSeconds);
}

/** Few different ids, so that the same ones come again, and many that share a hash slot. */
const id = fc.oneof(
  fc.uuid(),
  fc.nat(40).map((n) => `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`),
  fc.nat(40).map((n) => `${n.toString(16).padStart(8, '0')}-0000-7000-8000-000000000000`),
);
const end = fc.integer({ min: 1, max: 60 });
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ add: id, end }) },
  { weight: 1, arbitrary: fc.record({ forget: fc.integer({ min: 0, max: 60 }) }) },
);

test('it holds what a Map of ids and their ends would hold, whatever comes in which order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.array(id), (steps, others) => {
      const set = createIdSet();
      const model = new Map<string, number>();
      const seen = new Set(others);
      for (const one of steps) {
        if ('add' in one) {
          seen.add(one.add);
          set.add(one.add, one.end);
          model.set(one.add, Math.max(model.get(one.add) ?? 0, one.end));
        } else {
          forgetExpired(set, one.forget);
          for (const [key, ends] of model) if (ends < one.forget) model.delete(key);
        }
        expect(set.size).toBe(model.size);
      }
      for (const key of seen) expect(set.has(key)).toBe(model.has(key));
    }),
  );
});

test('it grows: a hundred thousand ids are all found, and others are not', () => {
  const set = createIdSet();
  const ids = Array.from({ length: 100_000 }, () => crypto.randomUUID());
  for (const one of ids) set.add(one, 100);
  expect(set.size).toBe(ids.length);
  expect(ids.every((one) => set.has(one))).toBe(true);
  expect(ids.some(() => set.has(crypto.randomUUID()))).toBe(false);
});

describe('what has ended is forgotten', () => {
  test('one that ends now is kept, one that ended before is not', () => {
    const set = createIdSet();
    const [early, late] = [crypto.randomUUID(), crypto.randomUUID()];
    set.add(early, 99);
    set.add(late, 100);
    forgetExpired(set, 100);
    expect([set.has(early), set.has(late), set.size]).toEqual([false, true, 1]);
    forgetExpired(set, 101);
    expect(set.size).toBe(0);
  });

  test('an id that comes again keeps the later end', () => {
    const set = createIdSet();
    const one = crypto.randomUUID();
    set.add(one, 200);
    set.add(one, 50);
    expect(set.size).toBe(1);
    forgetExpired(set, 100);
    expect(set.has(one)).toBe(true);
  });
});

test('an id beyond the year 2106 or from before 1970 is held all the same', () => {
  const set = createIdSet();
  const [far, past] = [crypto.randomUUID(), crypto.randomUUID()];
  set.add(far, Number.MAX_SAFE_INTEGER);
  set.add(past, -5);
  expect([set.has(far), set.has(past)]).toEqual([true, true]);
});

test('only lower-case UUID text is an id: anything else is not in the set', () => {
  const set = createIdSet();
  const one = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';
  set.add(one, 100);
  const odd = [
    '',
    one.toUpperCase(),
    one.slice(1),
    `${one}0`,
    one.replaceAll('-', ''),
    one.replace('a', 'g'),
    ' '.repeat(36),
    '-'.repeat(36),
  ];
  for (const other of odd) {
    expect(set.has(other), other).toBe(false);
    set.add(other, 100);
  }
  expect(set.size).toBe(1);
});
