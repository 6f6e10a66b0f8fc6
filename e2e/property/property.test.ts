import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { sweepOften } from '#server/testing/sweeping.ts';
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

/** Shorter than the clocks differ: who reckoned with them would find a login or a code over. */
const short = { GATEHOUSE_FLOW_SECONDS: '300', GATEHOUSE_CODE_SECONDS: '300' };
/** The second node holds few facts: half of the time it asks PostgreSQL instead of its memory. */
const envOfB = () => ({ ...clockOff(5), GATEHOUSE_FACTS_MAX: '2000' });
/** From so many sequences on there are more facts than that. */
const sequencesOverLimit = 1000;

let two: TwoNodes;
beforeAll(async () => {
  two = await deployTwo({ env: { ...clockOff(-5), ...short }, envOfB });
});
afterAll(() => two?.close());

test(
  `R4: no order of ${sequences} random sequences at two nodes whose clocks differ by 10 minutes lets a revoked thing be active again`,
  async () => {
    const sweeping = sweepOften(two.database);
    const found = await hunt({ nodes: two.nodes, sequences, seed, replay });
    const swept = await sweeping.stop();
    console.log(found.summary);
    console.log([...found.kinds].map(([kind, times]) => `${times} ${kind}`).join(', '));
    if (found.report !== '') expect.fail(found.report);
    if (replay !== '') return;
    // Else a generator that draws nothing of a kind would pass.
    const leastRuns = Math.min(4, Math.floor(sequences / 250));
    const rare = everyKind.filter((kind) => (found.kinds.get(kind) ?? 0) < leastRuns);
    expect(rare).toEqual([]);
    expect(found.abandoned).toBeLessThanOrEqual(sequences / 10);
    if (sequences < sequencesOverLimit) return;
    expect(swept, 'tables swept meanwhile').toBeGreaterThan(20);
    expect(two.b.server.output()).toContain('facts_over_limit');
  },
  msMax,
);

test.skipIf(!clocksDiffer)('the clocks of the two nodes do differ', async () => {
  const clocks = two.nodes.map(({ server }) => server.output());
  for (const output of clocks) expect(output).toContain('clock_skew');
});
