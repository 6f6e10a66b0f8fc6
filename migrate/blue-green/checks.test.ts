import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openEmptyPair } from '#migrate/testing/bank.ts';
import { migrate as migratePair, type Pair, query } from '#migrate/testing/databases.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

// A migration without a way back, and checks that are wrong themselves.

const mapping = {
  name: 'checked',
  forward: {
    tables: [
      {
        target: 'item',
        key: ['id'],
        select: 'select id, v from item',
        sources: [{ table: 'item', columns: ['id'] }],
      },
    ],
  },
  checks: [
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
};

let pair: Pair;
let directory = '';
const migrate = (...args: readonly string[]) =>
  migratePair(pair, ...args, '--mapping', join(directory, 'mapping.json'));

beforeAll(async () => {
  pair = await openEmptyPair();
  directory = await mkdtemp(join(tmpdir(), 'migrate-checks-'));
  await writeFile(join(directory, 'mapping.json'), JSON.stringify(mapping));
  for (const side of ['blue', 'green'] as const) {
    await query(pair[side], 'create table item (id bigint primary key, v integer)');
  }
  await query(pair.blue, 'insert into item select n, n from generate_series(1, 10) n');
  for (const step of [['prepare'], ['copy'], ['follow', '--once']]) await migrate(...step);
});
afterAll(async () => {
  await pair.close();
  await rm(directory, { recursive: true });
});

it('a check that cannot be asked is one check, and the others are asked of whole rows', async () => {
  await expect(migrate('verify')).rejects.toThrow(/0 rows differ, 2 checks do not hold/);
});

it('without a way back every command says so, and status recommends none that needs it', async () => {
  expect(await migrate('switch', '--no-verify')).toContain('green is live');
  for (const act of ['rollback', 'verify', 'watch']) {
    await expect(migrate(act)).rejects.toThrow(/^Green is live, and the mapping has no "reverse"/);
  }
  expect(await migrate('status')).not.toContain('migrate rollback');
});

it('finish waits for who reads the seam in a transaction, and lets others read it meanwhile', async () => {
  const [reader, poller] = [pair.green, pair.green].map(
    (url) => new pg.Client({ connectionString: url, statement_timeout: 3_000 }),
  );
  if (reader === undefined || poller === undefined) throw new Error('no clients');
  await Promise.all([reader.connect(), poller.connect()]);
  try {
    await reader.query('begin; select s.state from migrate.seam s');
    const finished = migrate('finish', '--anyway');
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
