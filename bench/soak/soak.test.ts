import { expect, test } from 'vitest';
import { isServed } from './soak.ts';

test('a soak whose operations were answered with 503 is no soak, however flat', () => {
  expect(isServed({ operations: 700_000, unavailable: 0 })).toBe(true);
  expect(isServed({ operations: 700_000, unavailable: 300 })).toBe(true);
  expect(isServed({ operations: 350_000, unavailable: 350_000 })).toBe(false);
  expect(isServed({ operations: 0, unavailable: 10 })).toBe(false);
});
