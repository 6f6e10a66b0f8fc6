import { randomInt } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { runKills } from './rounds.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** How many processes are killed; `npm run kill` asks for 200. */
    kills: number;
    /** Repeats the random decisions of a run; 0: a seed of its own. */
    killSeed: number;
  }
}

const kills = inject('kills');
const seed = inject('killSeed') || randomInt(1, 2 ** 31);

test(`nothing acknowledged is lost and nothing dead lives, over ${kills} SIGKILLs under load`, async () => {
  console.log(
    `kills: ${kills}, seed: ${seed} (GATEHOUSE_KILLS=${kills} GATEHOUSE_KILL_SEED=${seed})`,
  );
  const report = await runKills(kills, seed);
  console.log(JSON.stringify({ killed: report.kills, ...report.counts }, undefined, 2));
  expect(report.violations.join('\n\n'), `seed ${seed}`).toBe('');
  // Control: the load did what it should, and was hurt by the kills.
  expect(report.counts['code redeemed']).toBeGreaterThan(kills);
  expect(report.counts.refreshed).toBeGreaterThan(kills);
  expect(report.counts['connections broken']).toBeGreaterThan(0);
  expect(report.counts['503']).toBeGreaterThan(0);
}, 3_600_000);
