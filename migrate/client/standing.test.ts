import { describe, expect, it } from 'vitest';
import type { Seam } from './seam.ts';
import { errandOf, liveOf, readableOf, refusedWord, type Word } from './standing.ts';

const key = Buffer.alloc(32, 7);
const seam = (state: Seam['state'], epoch: number, more: Partial<Seam> = {}): Seam => ({
  migrationId: 'm',
  side: 'blue',
  state,
  epoch,
  holdUntilMs: 0,
  fenceExpired: false,
  openingKey: state === 'retired' ? key : null,
  pollMs: 1_000,
  near: false,
  ...more,
});

describe('which side is live', () => {
  const table: readonly [string, Word, Word, 'blue' | 'green' | undefined, string | undefined][] = [
    ['the one that says so', seam('live', 1), seam('copy', 0), undefined, 'blue'],
    [
      'the greater epoch, where one answer is older',
      seam('live', 1),
      seam('live', 2),
      'blue',
      'green',
    ],
    ['none while one is fenced', seam('fenced', 1), seam('copy', 0), 'blue', undefined],
    [
      'none while one has retired and none is open',
      seam('retired', 1),
      seam('copy', 0),
      'blue',
      undefined,
    ],
    ['rule 6: the primary where there is no migration', 'bare', 'bare', undefined, 'blue'],
    ['rule 6: the one that was live last, after finish', 'bare', 'bare', 'green', 'green'],
    ['rule 6: the bare one beside a retired one', seam('retired', 1), 'bare', 'green', 'green'],
    ['rule 6: so also for who has just started', seam('retired', 1), 'bare', undefined, 'green'],
    [
      'the primary while prepare or abort are under way',
      'bare',
      seam('copy', 0),
      undefined,
      'blue',
    ],
    ['what was live and is not reached any more', seam('live', 1), 'bare', 'blue', 'blue'],
    ['none where nobody was ever reached', undefined, undefined, undefined, undefined],
    [
      'never a copy because the primary is not reached',
      undefined,
      seam('copy', 0),
      undefined,
      undefined,
    ],
    [
      'never the retired one because the other is not reached',
      seam('retired', 1),
      undefined,
      'green',
      undefined,
    ],
    ['not the other because the primary is not reached', undefined, 'bare', undefined, undefined],
  ];
  it.each(table)('%s', (_, blue, green, last, expected) => {
    expect(liveOf({ blue, green }, last, 'blue')).toBe(expected);
  });
});

describe('where a read goes', () => {
  const both = ['blue', 'green'] as const;
  it('to the fenced side, which is the newest there is', () => {
    const words = { blue: seam('fenced', 1), green: seam('copy', 0) };
    expect(readableOf(words, both, 'blue', 'blue')).toBe('blue');
  });
  it('to the side that retired last, until the other is open', () => {
    const words = { blue: seam('retired', 3), green: seam('retired', 2) };
    expect(readableOf(words, both, 'blue', 'blue')).toBe('blue');
  });
  it('nowhere, where the other may be open for long and is not reached', () => {
    const words = { blue: seam('retired', 1), green: seam('copy', 0) };
    expect(readableOf(words, ['blue'], 'blue', 'blue')).toBeUndefined();
  });
  it('never to a copy', () => {
    const words = { blue: undefined, green: seam('copy', 0) };
    expect(readableOf(words, both, undefined, 'green')).toBeUndefined();
  });
});

describe('what any client does for a tool that died', () => {
  it('lifts a fence whose deadline has passed, and no other', () => {
    const expired = seam('fenced', 1, { fenceExpired: true });
    expect(errandOf({ blue: expired, green: seam('copy', 0) })).toEqual({
      errand: 'unfence',
      side: 'blue',
    });
    expect(errandOf({ blue: seam('fenced', 1), green: seam('copy', 0) })).toBeUndefined();
  });
  it('opens the side that the other retired for, by its key', () => {
    const open = (side: 'blue' | 'green') => ({ errand: 'open', side, key });
    const words = { blue: seam('retired', 1), green: seam('copy', 0) };
    expect(errandOf(words)).toEqual(open('green'));
    const back = { blue: seam('retired', 1), green: seam('retired', 2) };
    expect(errandOf(back)).toEqual(open('blue'));
    expect(errandOf({ blue: seam('retired', 1), green: seam('live', 2) })).toBeUndefined();
  });
});

it('a side that has refused a write is not live, whatever it said before', () => {
  expect(refusedWord(seam('live', 1))).toMatchObject({ state: 'fenced' });
  expect(refusedWord('bare')).toBeUndefined();
});
