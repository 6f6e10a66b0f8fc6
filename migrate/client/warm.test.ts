import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, it } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { query } from '#migrate/testing/databases.ts';
import { openPrimedPool, warm } from './warm.ts';

it('a connection that breaks while it is warmed does not end the process', async () => {
  const pair = await openBank(1);
  let opened = 0;
  const pool = new pg.Pool({
    connectionString: pair.blue,
    application_name: 'warming',
    max: 2,
    onConnect: async (client) => {
      opened += 1;
      if (opened === 2) await client.query('select pg_sleep(2)');
    },
  });
  pool.on('error', () => {});
  try {
    const warming = warm(pool, 2);
    const ended = `select pg_terminate_backend(a.pid) as ended from pg_stat_activity a
      where a.application_name = 'warming' and a.state = 'idle' and a.query = ''`;
    let count = 0;
    for (let tries = 0; tries < 100 && count === 0; tries += 1) {
      count = (await query(pair.blue, ended)).length;
      await sleep(20);
    }
    expect(count).toBeGreaterThan(0);
    await warming;
    const { rows } = await pool.query<{ one: number }>('select 1 as one');
    expect(rows).toEqual([{ one: 1 }]);
  } finally {
    await pool.end();
    await pair.close();
  }
});

it('connections that fell idle in one moment do not end in one moment', async () => {
  const pair = await openBank(1);
  const idleMs = 1_000;
  const pool = openPrimedPool(
    { connectionString: pair.blue, max: 20, idleTimeoutMillis: idleMs },
    [],
  );
  try {
    await warm(pool, 20);
    expect(pool.totalCount).toBe(20);
    const left = new Set<number>();
    const untilMs = performance.now() + 4 * idleMs;
    while (pool.totalCount > 0 && performance.now() < untilMs) {
      left.add(pool.totalCount);
      await sleep(10);
    }
    expect(pool.totalCount).toBe(0);
    expect(left.size).toBeGreaterThan(5);
  } finally {
    await pool.end();
    await pair.close();
  }
});
