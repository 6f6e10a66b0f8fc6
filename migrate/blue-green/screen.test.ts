import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query, startTool, type Tool } from '#migrate/testing/databases.ts';
import { openReport } from './screen.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let pair: Pair;
beforeAll(async () => {
  pair = await openBank(50);
  await migrate(pair, 'prepare');
});
afterAll(() => pair.close());

const works = async (command: string) => {
  const [row] = await query(
    pair.green,
    `select count(*)::int as n from pg_stat_activity a
     where a.datname = current_database() and a.application_name like 'migrate-tool/%'
       and (a.query like '%' || $1 || '%' or a.wait_event_type = 'Lock')`,
    [command],
  );
  return Number(row?.n) > 0;
};

describe('Ctrl-C', () => {
  it('twice, and a command ends that waits for somebody; once, as npm sends it twice, it does not', async () => {
    const holder = new pg.Client({ connectionString: pair.green });
    await holder.connect();
    await holder.query('begin; lock table migrate.control in access exclusive mode');
    let tool: Tool | undefined;
    try {
      tool = startTool(pair, ['status']);
      await expect.poll(() => works('nothing else')).toBe(true);
      tool.kill('SIGINT');
      tool.kill('SIGINT');
      await expect.poll(() => tool?.output()).toContain('Ctrl-C again');
      tool.kill('SIGINT');
      expect(await tool.ended).toMatchObject({ code: 130, signal: null });
    } finally {
      tool?.kill('SIGKILL');
      await holder.query('rollback');
      await holder.end();
    }
  });

  it('a command that was asked to pause says what to do', async () => {
    const tool = startTool(pair, ['copy', '--workers', '1', '--rows-per-second', '200']);
    await expect.poll(() => works('migrate copy')).toBe(true);
    await migrate(pair, 'pause');
    await sleep(1_000);
    tool.kill('SIGINT');
    const { code, output } = await tool.ended;
    expect([code, output.trim().split('\n').at(-1)]).toEqual([
      1,
      'Stopped; the same command goes on.',
    ]);
  });
});

it.each([
  ['first', 'asc'],
  ['last', 'desc'],
])('where the server ends its %s session, follow fails and says what to do', async (_, order) => {
  await migrate(pair, 'copy');
  const tool = startTool(pair, ['follow', '--interval-ms', '50']);
  const sessions = () =>
    query(
      pair.green,
      `select a.pid from pg_stat_activity a where a.datname = current_database()
         and a.application_name like 'migrate-tool/%/work' order by a.backend_start ${order}`,
    );
  await expect.poll(sessions).toHaveLength(2);
  await sleep(1_000);
  const [session] = await sessions();
  await query(pair.green, 'select pg_terminate_backend($1)', [session?.pid]);
  await query(pair.blue, "update customer set full_name = 'Some One' where id = 1");
  const { code, output } = await tool.ended;
  expect(code).toBe(1);
  expect(output).toMatch(/^A connection broke \(.*\)\. Start the command again: it goes on\.$/m);
});

it('what is said at the end stands on a line of its own, on a terminal of any width', () => {
  let written = '';
  const report = openReport(
    {
      write: (text) => {
        written += text;
      },
      isTerminal: true,
      columns: () => 30,
      nowMs: () => 0,
    },
    false,
  );
  report.progress({ phase: 'copy', rowsDone: 5_000, rowsAll: 10_000, rowsPerSecond: 1_000 });
  expect(written).toBe('copy, 5000 of about 10000 rows (50 %), 1000 rows/s'.slice(0, 29));
  report.end();
  expect(written.endsWith('\r\u001b[2K')).toBe(true);
});
