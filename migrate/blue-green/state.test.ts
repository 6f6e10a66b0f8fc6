import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  doneAlready,
  flowOf,
  mendingOf,
  type Phase,
  phaseOf,
  refusalOf,
  type State,
  type Wound,
} from './state.ts';

const done = { prepared: true, copied: true, built: true };

describe('the phase is read off the two control rows', () => {
  it.each<[State | undefined, State | undefined, boolean, boolean, Phase]>([
    [undefined, undefined, false, false, 'none'],
    ['live', undefined, false, false, 'partial'],
    [undefined, 'copy', false, false, 'partial'],
    ['retired', undefined, false, false, 'finishing'],
    [undefined, 'live', false, false, 'finishing'],
    ['live', 'copy', false, false, 'copying'],
    ['live', 'copy', true, false, 'building'],
    ['live', 'copy', true, true, 'following'],
    ['fenced', 'copy', true, true, 'fenced'],
    ['retired', 'copy', true, true, 'opening'],
    ['retired', 'live', true, true, 'watching'],
    ['retired', 'fenced', true, true, 'fenced'],
    ['retired', 'retired', true, true, 'opening'],
    ['live', 'retired', true, true, 'returned'],
  ])('blue %s, green %s, copied %s, built %s: %s', (blue, green, copied, built, phase) => {
    expect(phaseOf({ blue, green, prepared: true, copied, built })).toBe(phase);
  });

  it('what is prepared in part, or aborted in part, is no copy that goes on', () => {
    const rest = { blue: 'live', prepared: false } as const;
    expect(phaseOf({ ...rest, green: 'copy', copied: true, built: true })).toBe('partial');
    expect(phaseOf({ ...rest, green: 'retired', copied: false, built: false })).toBe('partial');
  });

  it('two live databases are a bug, not a phase', () => {
    expect(() => phaseOf({ blue: 'live', green: 'live', ...done })).toThrow(/Both databases/);
  });
});

describe('a command begins only where it has something to do', () => {
  it('a switch needs a green that is in step', () => {
    expect(refusalOf('switch', 'following')).toBeUndefined();
    expect(refusalOf('switch', 'copying')).toContain('"migrate copy"');
    expect(refusalOf('switch', 'watching')).toBeDefined();
  });

  it('abort never takes away a database that is live: rollback comes before', () => {
    expect(refusalOf('abort', 'watching')).toContain('"migrate rollback"');
    expect(refusalOf('abort', 'returned')).toBeUndefined();
  });

  it('and where what it is for is done it says so, but never of a side that is not live', () => {
    expect(doneAlready('switch', 'watching')).toContain('Green is live');
    expect(doneAlready('switch', 'fenced')).toBeUndefined();
    expect(doneAlready('rollback', 'following')).toBeDefined();
    expect(doneAlready('rollback', 'watching')).toBeUndefined();
    expect(doneAlready('finish', 'none')).toContain('in either database');
    expect(doneAlready('finish', 'finishing')).toBeUndefined();
    expect(doneAlready('abort', 'partial')).toBeUndefined();
    expect(doneAlready('prepare', 'none')).toBeUndefined();
  });

  it('writes flow from the live side to the other, and nowhere in the middle of a switch', () => {
    expect(flowOf('following')).toEqual({ from: 'blue', to: 'green' });
    expect(flowOf('watching')).toEqual({ from: 'green', to: 'blue' });
    expect(flowOf('fenced')).toBeUndefined();
    expect(flowOf('opening')).toBeUndefined();
  });
});

describe('a switch that died is ended one way only', () => {
  const wound = (state: State, epoch: number, hasOpeningKey = false): Wound => ({
    state,
    epoch,
    hasOpeningKey,
  });

  it('before retirement the fence is lifted', () => {
    expect(mendingOf(wound('fenced', 1), wound('copy', 0))).toEqual({
      mend: 'unfence',
      side: 'blue',
    });
  });

  it('after retirement there is only forward, also on the way back', () => {
    expect(mendingOf(wound('retired', 1, true), wound('copy', 0))).toEqual({
      mend: 'open',
      side: 'green',
    });
    expect(mendingOf(wound('retired', 1, true), wound('retired', 2, true))).toEqual({
      mend: 'open',
      side: 'blue',
    });
  });

  it('nothing is opened beside a live side, nor without a published key', () => {
    const states: State[] = ['copy', 'live', 'fenced', 'retired'];
    const anyWound = fc.record({
      state: fc.constantFrom(...states),
      epoch: fc.integer({ min: 0, max: 9 }),
      hasOpeningKey: fc.boolean(),
    });
    fc.assert(
      fc.property(anyWound, anyWound, (blue, green) => {
        const mending = mendingOf(blue, green);
        if (mending.mend !== 'open') return;
        const [opened, other] = mending.side === 'blue' ? [blue, green] : [green, blue];
        expect(other.state).toBe('retired');
        expect(other.hasOpeningKey).toBe(true);
        expect(other.epoch >= opened.epoch).toBe(true);
        expect(opened.state === 'live' || opened.state === 'fenced').toBe(false);
      }),
    );
  });
});
