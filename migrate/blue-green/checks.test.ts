import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { asItIs, openTables, type Tables } from '#migrate/testing/tables.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

// A migration without a way back, and checks that are wrong themselves.

const item = 'create table item (id bigint primary key, v integer)';
let tables: Tables;
beforeAll(async () => {
  tables = await openTables(
    { blue: `${item}; insert into item select n, n from generate_series(1, 10) n`, green: item },
    [asItIs('item', ['id'], ['v'])],
    null,
    [
      { name: 'fails', on: 'blue', violations: 'select 1 / (id - id) as none from item' },
      { name: 'holds', on: 'both', violations: 'select id from item where id < 0' },
      // Both columns count, whatever they are called.
      {
        name: 'differs',
        equal: {
          blue: 'select count(*) as n, max(v) as c from item',
          green: 'select count(*) + 1 as n, max(v) as c from item',
        },
      },
    ],
  );
  await tables.runAll('prepare', 'copy', 'follow --once');
});
afterAll(() => tables.close());

it('a check that cannot be asked is one check, and the others are asked of whole rows', async () => {
  await expect(tables.run('verify')).rejects.toThrow(/0 rows differ, 2 checks do not hold/);
});

it('without a way back every command says so, and status recommends none that needs it', async () => {
  expect(await tables.run('switch', '--no-verify')).toContain('green is live');
  for (const act of ['rollback', 'verify', 'watch']) {
    await expect(tables.run(act)).rejects.toThrow(
      /^Green is live, and the mapping has no "reverse"/,
    );
  }
  expect(await tables.run('status')).not.toContain('migrate rollback');
});

it('finish waits for who reads the seam in a transaction, and lets others read it meanwhile', async () => {
  const [reader, poller] = [tables.green, tables.green].map(
    (url) => new pg.Client({ connectionString: url, statement_timeout: 3_000 }),
  );
  if (reader === undefined || poller === undefined) throw new Error('no clients');
  await Promise.all([reader.connect(), poller.connect()]);
  try {
    await reader.query('begin; select s.state from migrate.seam s');
    const finished = tables.run('finish', '--anyway');
    finished.catch(() => {});
    let longestMs = 0;
    for (const untilMs = performance.now() + 2_500; performance.now() < untilMs; ) {
      const startedMs = performance.now();
      await poller.query('select s.state from migrate.seam s');
      longestMs = Math.max(longestMs, performance.now() - startedMs);
      await sleep(20);
    }
    await reader.query('commit');
    expect(await finished).toContain('every trigger, function and table of migrate is gone');
    // The reader keeps its transaction for longer.
    expect(longestMs).toBeLessThan(2_000);
  } finally {
    await Promise.all([reader.end(), poller.end()]);
  }
});
