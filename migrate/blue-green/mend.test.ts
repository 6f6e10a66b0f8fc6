import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query, startTool } from '#migrate/testing/databases.ts';
import { startWriters } from '#migrate/testing/writers.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let pair: Pair;
beforeAll(async () => {
  pair = await openBank(500);
  await migrate(pair, 'prepare');
  await migrate(pair, 'copy', '--workers', '2');
  await migrate(pair, 'follow', '--once');
});
afterAll(() => pair.close());

const states = async () => {
  const read = async (url: string) =>
    String((await query(url, 'select c.state from migrate.control c'))[0]?.state);
  return { blue: await read(pair.blue), green: await read(pair.green) };
};

/** Waits until a control row shows what is looked for, and ends the tool at that very moment. */
async function killWhen(tool: ReturnType<typeof startTool>, sql: string): Promise<void> {
  for (;;) {
    const seen = await Promise.all([query(pair.blue, sql), query(pair.green, sql)]);
    if (seen.flat().some(({ yes }) => yes === true)) break;
    if ((await Promise.race([tool.ended, sleep(1)])) !== undefined) break;
  }
  tool.kill('SIGKILL');
  await tool.ended;
}

describe('a tool that is asked to stop', () => {
  /** Whoever begins is asked to stop as soon as it has forgotten what the one before it was asked. */
  const askEach = async (side: 'blue' | 'green') =>
    query(
      pair[side],
      `create function migrate.ask_stop() returns trigger language plpgsql as
         'begin new.asked = ''stop''; return new; end';
       create trigger ask_stop before update of asked on migrate.notice for each row
         when (new.asked is null) execute function migrate.ask_stop()`,
    );
  const askNone = async (side: 'blue' | 'green') =>
    query(pair[side], 'drop function migrate.ask_stop() cascade');

  it('ends between two ranges that it compares, and before it holds writes', async () => {
    // The last to look is who compares ranges of blue.
    await askEach('blue');
    await expect(migrate(pair, 'verify')).rejects.toThrow(/^Stopped; the same command goes on\.$/);
    await askNone('blue');
    await askEach('green');
    for (const act of ['verify', 'switch', 'run']) {
      const given = act === 'verify' ? [act] : [act, '--no-verify'];
      await expect(migrate(pair, ...given), act).rejects.toThrow(/^Stopped;/);
      expect(await states()).toEqual({ blue: 'live', green: 'copy' });
    }
    await askNone('green');
    expect(await migrate(pair, 'verify')).toContain('every check holds');
  });
});

describe('who looks while a switch comes', () => {
  it('never sees two that are live, of which one answer is old', async () => {
    const first = new pg.Client({ connectionString: pair.green });
    const second = new pg.Client({ connectionString: pair.green });
    await Promise.all([first.connect(), second.connect()]);
    const lock = 'begin; lock table migrate.notice in access exclusive mode';
    const untilWaiting = (count: number) =>
      vi.waitFor(
        async () =>
          expect(
            await query(
              pair.green,
              `select from pg_locks l where not l.granted and l.relation = 'migrate.notice'::regclass`,
            ),
          ).toHaveLength(count),
        { timeout: 20_000 },
      );
    await first.query(lock);
    const looked = migrate(pair, 'status');
    await untilWaiting(1);
    // Behind the first question of green, and before the one that comes with that of blue.
    const queued = second.query(lock);
    await untilWaiting(2);
    await first.query('commit');
    await queued;
    await untilWaiting(1);
    const become = (state: string) => `update migrate.control set state = '${state}'`;
    await query(pair.blue, become('retired'));
    await second.query(`${become('live')}; commit`);
    expect(await looked).toContain('phase: watching');
    await query(pair.green, become('copy'));
    await query(pair.blue, become('live'));
    await Promise.all([first.end(), second.end()]);
  });
});

describe('a tool that is killed in a switch', () => {
  it.each([
    ['near', 'select n.near as yes from migrate.notice n'],
    ['held', 'select n.hold_until is not null as yes from migrate.notice n'],
    ['fenced', "select c.state = 'fenced' as yes from migrate.control c"],
    ['retired', 'select c.opening_key is not null as yes from migrate.control c'],
  ])(
    'when the side is %s: writers go on by themselves, and nothing is lost',
    {
      timeout: 180_000,
    },
    async (_, sql) => {
      const before = (await states()).green === 'live' ? 'rollback' : 'switch';
      const writers = startWriters(pair, 3, 2);
      const tool = startTool(pair, [before, '--no-verify', '--hold-ms', '1000']);
      await killWhen(tool, sql);
      const acknowledged = writers.ledger.acknowledged.size;
      // Nobody starts the tool again: the deadline, or the published key, is enough for the writers.
      for (let waitedMs = 0; writers.ledger.acknowledged.size < acknowledged + 20; waitedMs += 20) {
        if (waitedMs > 20_000) throw new Error('writers never went on');
        await sleep(20);
      }
      const ledger = await writers.stop();
      expect(ledger.twoLive).toBe(0);
      const now = await states();
      const live = now.green === 'live' ? 'green' : 'blue';
      expect(now[live]).toBe('live');
      await migrate(pair, 'watch', '--once').catch(() => migrate(pair, 'follow', '--once'));
      for (const [side, table] of [
        ['blue', 'transfer'],
        ['green', 'movement'],
      ] as const) {
        const rows = await query(pair[side], `select t.id::text as id from ${table} t`);
        const there = new Set(rows.map(({ id }) => id));
        expect([...ledger.acknowledged].filter((id) => !there.has(id))).toEqual([]);
      }
    },
  );

  it('at random moments of a switch, again and again', async () => {
    const writers = startWriters(pair, 3, 2);
    for (let round = 0; round < 3; round += 1) {
      const act = (await states()).green === 'live' ? 'rollback' : 'switch';
      const tool = startTool(pair, [act, '--no-verify', '--hold-ms', '800']);
      await sleep(randomInt(500, 4_000));
      tool.kill('SIGKILL');
      await tool.ended;
    }
    // Any command that works on both ends what the dead one has left.
    expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
    const ledger = await writers.stop();
    expect(ledger.twoLive).toBe(0);
    const said = await migrate(pair, 'verify', '--workers', '2');
    expect(said).toContain('every check holds');
    const side = (await states()).green === 'live' ? 'green' : 'blue';
    const rows = await query(
      pair[side],
      `select t.id::text as id from ${side === 'blue' ? 'transfer' : 'movement'} t`,
    );
    const there = new Set(rows.map(({ id }) => id));
    expect([...ledger.acknowledged].filter((id) => !there.has(id))).toEqual([]);
  });
});
