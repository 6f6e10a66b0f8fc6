import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { type Pair, query } from '#migrate/testing/databases.ts';
import { setGuard } from './capture.ts';
import {
  fence,
  insertControl,
  makeId,
  makeOpeningKey,
  makeReady,
  open,
  readControl,
  retire,
  unfence,
} from './control.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const id = '00000000-0000-4000-8000-000000000001';
const table = { schema: 'public', name: 'transfer' };
const write = 'delete from transfer where cents = -1';

let pair: Pair;
let blue: pg.Client;
let green: pg.Client;
beforeAll(async () => {
  pair = await openBank(10);
  blue = new pg.Client({ connectionString: pair.blue });
  green = new pg.Client({ connectionString: pair.green });
  await Promise.all([blue.connect(), green.connect()]);
  const sql = await readFile(new URL('./control.sql', import.meta.url), 'utf8');
  for (const client of [blue, green]) await client.query(sql);
});
beforeEach(begin);
async function begin() {
  for (const client of [blue, green]) await client.query('delete from migrate.control');
  const row = { migrationId: id, mapping: 'bank' };
  await insertControl(blue, { ...row, side: 'blue', state: 'live', epoch: 1 });
  await insertControl(green, { ...row, side: 'green', state: 'copy', epoch: 0 });
}
afterAll(async () => {
  await Promise.all([blue.end(), green.end()]);
  await pair.close();
});

describe('the guard', () => {
  it('lets everybody write while the side is live, and nobody while it is fenced', async () => {
    await setGuard(blue, table, true);
    await query(pair.blue, write);
    await fence(blue, makeId(), 60_000);
    await expect(query(pair.blue, write)).rejects.toMatchObject({ code: 'MG001' });
    await expect(query(pair.blue, 'truncate transfer')).rejects.toMatchObject({ code: 'MG001' });
    await expect(
      query(pair.blue, `set session_replication_role = replica; ${write}`),
    ).rejects.toMatchObject({ code: 'MG001' });
  });

  it('an open session and a prepared statement are refused too', async () => {
    const session = new pg.Client({ connectionString: pair.blue });
    await session.connect();
    await session.query({ name: 'w', text: write });
    await fence(blue, makeId(), 60_000);
    await expect(session.query({ name: 'w', text: write })).rejects.toMatchObject({
      code: 'MG001',
    });
    await session.end();
  });

  it('a snapshot from before the fence does not get by', async () => {
    const session = new pg.Client({ connectionString: pair.blue });
    await session.connect();
    for (const level of ['repeatable read', 'serializable']) {
      await session.query(`begin isolation level ${level}`);
      await session.query('select count(*) from account');
      await fence(blue, makeId(), 60_000);
      await expect(session.query(write)).rejects.toMatchObject({ code: '40001' });
      await session.query('rollback');
      await unfence(blue, null);
    }
    await session.end();
  });

  it('a fence that has run out is lifted by the first writer that it would refuse', async () => {
    await fence(blue, makeId(), 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await query(pair.blue, write);
    expect((await readControl(blue))?.state).toBe('live');
  });

  it('and by nobody twice: who comes beside that writer waits, and writes', async () => {
    const first = new pg.Client({ connectionString: pair.blue });
    await first.connect();
    await fence(blue, makeId(), 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await first.query(`begin; ${write}`);
    const second = query(pair.blue, write);
    const waits = `select 1 from pg_locks l where l.locktype = 'transactionid' and not l.granted`;
    await expect.poll(() => query(pair.blue, waits)).not.toEqual([]);
    await first.query('commit');
    await expect(second).resolves.toBeDefined();
    await first.end();
  });
});

describe('retirement and opening', () => {
  it('no key opens a side before the other has retired for it', async () => {
    const { key, lock } = makeOpeningKey();
    await makeReady(green, lock, 2);
    expect((await query(pair.blue, 'select s.opening_key as k from migrate.seam s'))[0]?.k).toBe(
      null,
    );
    expect(await open(green, makeOpeningKey().key)).toBe(false);
    const fenceId = makeId();
    await fence(blue, fenceId, 60_000);
    expect(await retire(blue, fenceId, key)).toBe(true);
    const [row] = await query(pair.blue, 'select s.opening_key as k from migrate.seam s');
    const [opened] = await query(pair.green, 'select migrate.open($1) as opened', [row?.k]);
    expect(opened?.opened).toBe(true);
    expect((await readControl(green))?.epoch).toBe(2);
  });

  it('a fence that ran out, was lifted or is another cannot be retired', async () => {
    const { key } = makeOpeningKey();
    const fenceId = makeId();
    await fence(blue, fenceId, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await retire(blue, fenceId, key)).toBe(false);
    await unfence(blue, fenceId);
    await fence(blue, makeId(), 60_000);
    expect(await retire(blue, fenceId, key)).toBe(false);
  });

  it('two live databases cannot be, whatever tools and clients do in whatever order', async () => {
    // Three tools that may stop anywhere and go on later, and clients that know only what is public.
    const step = fc.record({
      tool: fc.integer({ min: 0, max: 2 }),
      act: fc.constantFrom(
        'ready',
        'fence',
        'retire',
        'open',
        'unfence',
        'client',
        'expire',
        'guess',
      ),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 24 }), async (steps) => {
        await begin();
        const tools = [0, 1, 2].map(() => ({
          ...makeOpeningKey(),
          fenceId: makeId(),
          retired: false,
        }));
        for (const { tool, act } of steps) {
          const rows = [await readControl(blue), await readControl(green)];
          const [from, to] = rows[1]?.state === 'live' ? [green, blue] : [blue, green];
          const own = tools[tool];
          if (own === undefined) continue;
          if (act === 'ready')
            await makeReady(to, own.lock, Math.max(...rows.map((r) => r?.epoch ?? 0)) + 1);
          if (act === 'fence') await fence(from, own.fenceId, 60_000);
          if (act === 'unfence') await unfence(from, own.fenceId);
          if (act === 'expire') {
            await from.query(
              `update migrate.control set fence_until = clock_timestamp() where state = 'fenced'`,
            );
            await from.query('select migrate.unfence_expired()');
          }
          if (act === 'retire')
            own.retired = (await retire(from, own.fenceId, own.key)) || own.retired;
          // A tool opens only after its own retirement, however long ago that was.
          if (act === 'open' && own.retired)
            for (const side of [blue, green]) await open(side, own.key);
          // Whoever has no key opens nothing.
          if (act === 'guess') await open(to, makeOpeningKey().key);
          if (act === 'client') {
            for (const [seen, other] of [
              [blue, green],
              [green, blue],
            ] as const) {
              const key = (await readControl(seen))?.openingKey;
              if (key != null) await open(other, key);
            }
          }
          const now = [await readControl(blue), await readControl(green)];
          expect(now.map((row) => row?.state)).not.toEqual(['live', 'live']);
        }
      }),
      { numRuns: 60 },
    );
  });
});
