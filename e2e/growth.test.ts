import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OwnPostgres, startOwnPostgres } from '#server/testing/own-postgres.ts';
import { judgeGrowth, scansOfGrowing } from '../bench/growth/judgement.ts';
import { operations } from '../bench/growth/operations.ts';
import { explainSettings } from '../bench/growth/plans.ts';
import { costOf, sweepCost, writePlans } from '../bench/growth/statements.ts';
import { openSubject, type Subject } from '../bench/growth/subject.ts';

// The long form, with three million rows and CPU: npm run growth.
const runs = 6;

let postgres: OwnPostgres;
let small: Subject;
let large: Subject;

beforeAll(async () => {
  postgres = await startOwnPostgres({
    ...explainSettings,
    fsync: 'off',
    full_page_writes: 'off',
    max_wal_size: '4GB',
    shared_buffers: '256MB',
  });
  // The small one as in its first minute: PostgreSQL knows nothing of what its tables hold.
  small = await openSubject({ postgres, rows: 10_000, analyze: false });
  large = await openSubject({ postgres, rows: 150_000, analyze: true });
  await writePlans(small, true);
});
afterAll(async () => {
  await large?.close();
  await small?.close();
  await postgres?.close();
});

describe('R22: with fifteen times the grants and chains', () => {
  for (const operation of operations) {
    test(`${operation.name}: the same statements, a page more per index at most, no scan`, async () => {
      const before = await costOf(small, postgres.logFile, operation, runs);
      const after = await costOf(large, postgres.logFile, operation, runs);
      expect(before.runs).toBeGreaterThan(0);
      expect(before.costs.length + after.costs.length).toBeGreaterThan(0);
      expect(judgeGrowth(before, after)).toEqual([]);
    });
  }

  test('the sweeper reads its slices by their indexes, with statistics and without', async () => {
    for (const statistics of [false, true]) {
      if (statistics) await small.superuser.query('vacuum (analyze)');
      const cost = await sweepCost(small, postgres.logFile);
      expect(cost.statements).toBeGreaterThan(small.rows / 500);
      expect(scansOfGrowing(cost)).toEqual([]);
    }
  });

  test('control: an index of the hot path that is gone is seen at once', async () => {
    const refresh = operations.find((one) => one.name === 'refresh');
    if (refresh === undefined) throw new Error('there is no such operation');
    const before = await costOf(small, postgres.logFile, refresh, runs);
    await large.superuser.query('alter table "grant" drop constraint grant_id_key');
    const after = await costOf(large, postgres.logFile, refresh, runs);
    const said = judgeGrowth(before, after).join('\n');
    expect(said).toContain('Seq Scan of grant');
    expect(said).toContain('more buffers');
  });
});
