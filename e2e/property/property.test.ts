import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { deployTwo, type TwoNodes } from '../two-nodes.ts';
import { hunt } from './hunt.ts';
import { everyKind } from './operation.ts';

const { sequences, seed, replay, faketime } = inject('property');
const clocksDiffer = faketime !== '';
/** Far more than it takes: 1,000 sequences cost about 110 s of CPU, nodes and PostgreSQL included. */
const msMax = 60_000 + sequences * 1000;

/** A system clock that is wrong by so many minutes, from the start; monotonic time stays true. */
const clockOff = (minutes: number): Readonly<Record<string, string>> =>
  !clocksDiffer
    ? {}
    : {
        LD_PRELOAD: faketime,
        FAKETIME: `${minutes < 0 ? '-' : '+'}${Math.abs(minutes)}m`,
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        DONT_FAKE_MONOTONIC: '1',
      };

/** The second node holds few facts: half of the time it asks PostgreSQL instead of its memory. */
const envOfB = () => ({ ...clockOff(5), GATEHOUSE_FACTS_MAX: '2000' });

let two: TwoNodes;
beforeAll(async () => {
  two = await deployTwo({ env: clockOff(-5), envOfB });
});
afterAll(() => two?.close());

test(
  `R4: no order of ${sequences} random sequences at two nodes whose clocks differ by 10 minutes lets a revoked thing be active again`,
  async () => {
    const found = await hunt({ nodes: two.nodes, sequences, seed, replay });
    console.log(found.summary);
    console.log([...found.kinds].map(([kind, times]) => `${times} ${kind}`).join(', '));
    if (found.report !== '') expect.fail(found.report);
    if (replay !== '') return;
    // Else a generator that draws nothing of a kind would pass.
    const leastRuns = Math.min(4, Math.floor(sequences / 250));
    const rare = everyKind.filter((kind) => (found.kinds.get(kind) ?? 0) < leastRuns);
    expect(rare).toEqual([]);
    expect(found.abandoned).toBeLessThanOrEqual(sequences / 10);
  },
  msMax,
);

test.skipIf(!clocksDiffer)('the clocks of the two nodes do differ', async () => {
  const clocks = two.nodes.map(({ server }) => server.output());
  for (const output of clocks) expect(output).toContain('clock_skew');
});
