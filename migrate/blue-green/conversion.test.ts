import { expect, it } from 'vitest';
import { isTakenForUtc, lossOf } from './conversion.ts';

it.each([
  ['timestamp with time zone', 'date', 'lose the time of day'],
  ['interval', 'time without time zone', 'lose the days'],
  ['double precision', 'real', 'lose digits'],
  ['numeric', 'double precision', 'lose digits'],
  ['integer', 'boolean', 'take every number but 0 for true'],
  ['numeric[]', 'integer[]', 'round it'],
  ['real[]', 'numeric[]', 'lose digits'],
  // These arrive as they are, or are refused with their row.
  ['real', 'numeric', undefined],
  ['numeric', 'bigint', undefined],
  ['integer', 'double precision', undefined],
  ['date', 'timestamp without time zone', undefined],
  ['text', 'date', undefined],
  ['text', 'character varying', undefined],
])('from %s to %s', (from, to, loss) => {
  expect(lossOf(from, to)).toBe(loss);
});

it('what has no zone is taken for UTC, in arrays too', () => {
  expect(isTakenForUtc('timestamp without time zone[]', 'timestamp with time zone[]')).toBe(true);
  expect(isTakenForUtc('timestamp with time zone', 'timestamp without time zone')).toBe(true);
  expect(isTakenForUtc('date', 'timestamp without time zone')).toBe(false);
  expect(isTakenForUtc('timestamp with time zone', 'timestamp with time zone')).toBe(false);
});
