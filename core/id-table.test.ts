import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createIdTable, shares } from './id-table.ts';

/** Keys of few different words, so that they come again and share segments and slots. */
const key = fc.array(fc.nat(3), { minLength: 4, maxLength: 4 });
const put = fc.record({ key, end: fc.integer({ min: 1, max: 60 }), order: fc.nat(1000) });
const step = fc.oneof(
  { weight: 8, arbitrary: put },
  { weight: 1, arbitrary: fc.record({ forget: fc.nat(60) }) },
);

test('it holds what a Map of keys, latest ends and highest orders would hold', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.array(key), (steps, others) => {
      const table = createIdTable(true);
      const model = new Map<string, { end: number; order: number }>();
      const seen = new Set(others.map(String));
      for (const one of steps) {
        if ('forget' in one) {
          for (let share = 0; share < shares; share++) table.forgetNext(one.forget);
          for (const [id, held] of model) if (held.end < one.forget) model.delete(id);
        } else {
          table.put(Uint32Array.from(one.key), one.end, one.order);
          const id = String(one.key);
          const held = model.get(id) ?? { end: 0, order: 0 };
          seen.add(id);
          model.set(id, {
            end: Math.max(held.end, one.end),
            order: Math.max(held.order, one.order),
          });
        }
        expect(table.size).toBe(model.size);
      }
      for (const id of seen) {
        const words = Uint32Array.from(id.split(',').map(Number));
        expect(table.order(words)).toBe(model.get(id)?.order ?? -1);
      }
    }),
  );
});

test('orders are whole numbers as large as a bigint column of ours grows', () => {
  const table = createIdTable(true);
  table.put(Uint32Array.of(1, 2, 3, 4), 100, Number.MAX_SAFE_INTEGER);
  expect(table.order(Uint32Array.of(1, 2, 3, 4))).toBe(Number.MAX_SAFE_INTEGER);
});

test('R21: no call touches more than its share: ids that share a time are spread over all', () => {
  const table = createIdTable(false);
  const perShare = 200;
  for (let i = 0; i < shares * perShare; i++) {
    // As UUIDv7 of one millisecond, random at their end.
    table.put(Uint32Array.of(0x0190a1b2, 0xc3d47000, 0x80000000, randomInt(2 ** 32)), 1);
  }
  const before = table.size;
  table.forgetNext(2);
  expect(before - table.size).toBeGreaterThan(perShare / 2);
  expect(before - table.size).toBeLessThan(perShare * 2);
});
