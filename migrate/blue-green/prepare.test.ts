import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query, startTool } from '#migrate/testing/databases.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let pair: Pair;
beforeAll(async () => {
  pair = await openBank(50);
});
afterAll(() => pair.close());

/** Starts a command, which waits at table `transfer` of blue, and kills it as soon as `sql` gives rows. */
async function killHalfWay(command: string, held: string, sql: string): Promise<void> {
  const holder = new pg.Client({ connectionString: pair.blue });
  await holder.connect();
  try {
    await holder.query(`begin; ${held}`);
    const tool = startTool(pair, [command]);
    await vi.waitFor(async () => expect(await query(pair.blue, sql)).not.toEqual([]), {
      timeout: 60_000,
      interval: 20,
    });
    tool.kill('SIGKILL');
    expect((await tool.ended).signal).toBe('SIGKILL');
  } finally {
    await holder.end();
  }
}

it('a database that is named as psql takes it, too, is asked for as a URL', async () => {
  const words = { ...pair, blue: 'host=db1 dbname=shop password=secret' };
  await expect(migrate(words, 'plan')).rejects.toThrow(/^--blue is no URL: write postgres:/);
});

it('a command line that is wrong is said as JSON too, where that is asked for', async () => {
  const { code, output } = await startTool(pair, ['prepare', '--json', '--workers', '2']).ended;
  expect(code).toBe(2);
  expect(JSON.parse(output)).toMatchObject({
    ok: false,
    error: expect.stringContaining('--workers'),
  });
});

const guards = (table: string) => `select 1 from pg_trigger t
  where t.tgrelid = '${table}'::regclass and t.tgname = 'migrate_guard'`;

it('a prepare that died before it captured everything is no beginning for a copy', async () => {
  await killHalfWay('prepare', 'update transfer set note = note', guards('account'));
  await expect(migrate(pair, 'copy')).rejects.toThrow(
    /in phase "partial"\. A "migrate prepare" or "migrate abort" died half-way: the same command again/,
  );
  await migrate(pair, 'prepare');
  await migrate(pair, 'copy', '--workers', '1');
  await migrate(pair, 'follow', '--once');
  expect(await migrate(pair, 'verify')).toContain('every check holds');
});

it('an abort that died goes on as abort only: what is written since is not known', async () => {
  const gone = `select 1 where not exists (${guards('account')})`;
  await killHalfWay('abort', 'select 1 from transfer', gone);
  await query(pair.blue, "update account set status = 'closed' where id = 1");
  for (const act of ['copy', 'follow', 'verify', 'switch']) {
    await expect(migrate(pair, act), act).rejects.toThrow(/in phase "partial"/);
  }
  await expect(migrate(pair, 'prepare')).rejects.toThrow(/has rows already.*"migrate abort"/);
  await migrate(pair, 'abort');
  expect(await migrate(pair, 'status')).toContain('phase: none');
});
