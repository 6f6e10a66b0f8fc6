import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { faketimePath } from '../../tools/faketime.mjs';
import { kinds, planOf } from './plan.ts';
import { rowOf } from './report.ts';
import { runRound } from './round.ts';
import { openWorld, type World } from './world.ts';

// Real servers and processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** A dozen of the hundred: every kind but the full disk, which takes root to mount one. */
const rounds = [
  'seed 8: connections break while the old side retires',
  'seed 716: the old PostgreSQL is killed when it has retired',
  'seed 45: a clock is wrong throughout a switch',
  'seed 46: the tool is killed when a range is marked',
  'seed 55: the new PostgreSQL is killed when it is open',
  'seed 59: a row does not fit in the middle of the copy',
  'seed 65: the tool is killed when the fence stands',
  'seed 75: a second tool starts before the hold',
  'seed 84: the tool is killed when one side is cleared',
  'seed 95: the application is killed when the old side has retired',
  'seed 135: the tool sleeps before the retirement until its fence is lifted',
  'seed 219: the tool is killed when the log of changes is emptied',
].map((name) => ({ name, plan: planOf(Number(/\d+/.exec(name)?.[0]), undefined) }));

let world: World;
beforeAll(async () => {
  world = await openWorld({
    customers: 100,
    installation: debianPostgresPath() || undefined,
    withDisk: false,
  });
});
afterAll(() => world?.close());

it('the seeds have every kind', () => {
  const drawn = new Set<string>(rounds.map(({ plan }) => plan.kind));
  expect(kinds.filter((kind) => !drawn.has(kind))).toEqual(['disk-full']);
});

for (const { name, plan } of rounds) {
  it.skipIf(plan.kind === 'clock' && faketimePath() === '')(name, async () => {
    const outcome = await runRound(world, plan, { freezeMs: 2_200, holdMs: 800 });
    console.log(rowOf(outcome));
    expect(outcome.violations, outcome.timeline.join('\n')).toEqual([]);
    expect(outcome.hit, 'the injection came while the command ran').toBe(true);
  });
}
