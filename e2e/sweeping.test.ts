import { expect, test } from 'vitest';
import { startOwnPostgres } from '#server/testing/own-postgres.ts';
import { judgeSweeping } from '../bench/growth/judgement.ts';
import { measureSweeping, sweptTables } from '../bench/growth/sweeping.ts';

// The long form, with a backlog of a million: npm run growth -- sweeping.
test('R22: under traffic, every table that is swept stands still, and a backlog is worked off (control: unswept)', async () => {
  const postgres = await startOwnPostgres({ autovacuum_naptime: '1s', fsync: 'off' });
  try {
    const sweeping = await measureSweeping({
      postgres,
      seconds: 24,
      loginsPerSecond: 150,
      backlog: 10_000,
      swept: true,
    });
    console.log(
      sweptTables
        .map((table) => `${table}: ${sweeping.removed[table]} rows removed`)
        .concat(`${sweeping.journeys} journeys, ${(sweeping.hotShare * 100).toFixed(0)} % HOT`)
        .join('\n'),
    );
    expect(sweeping.journeys).toBeGreaterThan(10);
    expect(judgeSweeping(sweeping)).toEqual([]);
    expect(sweeping.backlog?.rows).toBe(10_000);
    const plan = { postgres, seconds: 8, loginsPerSecond: 150, backlog: 0 };
    const control = await measureSweeping({ ...plan, swept: false });
    for (const table of sweptTables) {
      expect(judgeSweeping(control)).toContain(`${table}: nothing was ever swept`);
    }
    expect(judgeSweeping(control).join('\n')).toMatch(/chain: \d+ rows more/);
  } finally {
    await postgres.close();
  }
}, 180_000);
