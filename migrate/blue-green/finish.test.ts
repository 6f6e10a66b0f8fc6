import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { mappingPath } from '#migrate/chaos/bank.ts';
import { startTool } from '#migrate/chaos/tool.ts';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query } from '#migrate/testing/databases.ts';
import { runbookFile } from '#migrate/testing/runbook.ts';
import { catalogOf } from '#migrate/testing/traces.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let pair: Pair;
beforeAll(async () => {
  pair = await openBank(100);
});
const passwordFile = join(tmpdir(), `migrate-finish-${process.pid}`);
afterAll(async () => {
  await pair.close();
  await rm(passwordFile);
});

const catalogs = async () => ({
  blue: await catalogOf(pair.blue),
  green: await catalogOf(pair.green),
});

/** A migration up to where green follows blue, with foreign tables on both sides. */
async function begin(): Promise<void> {
  await migrate(pair, 'prepare');
  await migrate(pair, 'copy');
  await migrate(pair, 'follow', '--once');
  for (const side of ['blue', 'green'] as const) {
    const other = new URL(side === 'blue' ? pair.green : pair.blue);
    await writeFile(passwordFile, decodeURIComponent(other.password), { mode: 0o600 });
    const place = ['--host', other.searchParams.get('host') ?? '', '--port', other.port];
    const role = ['--role', other.username, '--remote-role', other.username];
    const rest = ['--database', other.pathname.slice(1), '--password-file', passwordFile];
    await migrate(pair, 'foreign', '--side', side, ...place, ...role, ...rest);
  }
}

/** A finish that is killed when it has made two changes more; false: it came to its end instead. */
async function dieAfterTwoSteps(): Promise<boolean> {
  const tool = startTool(pair, ['finish', '--mapping', mappingPath], {
    name: 'the third change',
    statements: ['^set local lock_timeout'],
    visit: 3,
    moment: 'before',
  });
  if ((await tool.untilStopped(60_000)) === 'stopped') {
    tool.kill('SIGKILL');
    await tool.untilEnded(10_000);
    return true;
  }
  expect(await tool.untilEnded(60_000)).toMatchObject({ code: 0 });
  return false;
}

describe('the end of a migration leaves the catalogs as they were', () => {
  it('by abort', async () => {
    const before = await catalogs();
    await begin();
    const meanwhile = await catalogs();
    expect(meanwhile.blue.length).toBeGreaterThan(before.blue.length + 20);
    expect(meanwhile.blue.some((line) => line.startsWith('extension postgres_fdw'))).toBe(true);
    await migrate(pair, 'abort');
    expect(await catalogs()).toEqual(before);
    expect(await query(pair.green, 'select 1 from person')).toEqual([]);
    expect(await migrate(pair, 'abort')).toContain('Nothing is left to do by "migrate abort"');
  });

  it('by finish, after a switch', async () => {
    const before = await catalogs();
    await begin();
    await migrate(pair, 'switch');
    const report = await migrate(pair, 'report');
    expect(report).toMatch(/read P95, ms +[\d.]+ +[\d.]+/);
    expect(report).toMatch(/switched +.*RSS MiB \d+, heap MiB \d+/);
    await migrate(pair, 'finish', '--anyway');
    expect(await catalogs()).toEqual(before);
    expect(await migrate(pair, 'finish')).toContain('Nothing is left to do by "migrate finish"');
  });

  it('and where it ends half-way, only finish goes on: green is in use', async () => {
    await query(pair.green, 'truncate person, wallet, wallet_state, movement');
    const before = await catalogs();
    await begin();
    await migrate(pair, 'switch', '--no-verify');
    await migrate(pair, 'finish', '--keep-guard');
    for (const act of ['prepare', 'abort', 'switch', 'rollback']) {
      await expect(migrate(pair, act), act).rejects.toThrow(
        /in phase "finishing"\. Green is in use, .* "migrate finish"/,
      );
    }
    expect(await migrate(pair, 'run')).toContain('Nothing is left to do by "run"');
    expect(await migrate(pair, 'status')).toMatch(/Green is in use, .* "migrate finish"/);
    const write = 'update account set status = status';
    await expect(query(pair.blue, write)).rejects.toMatchObject({ code: 'MG001' });
    const user = new pg.Client({ connectionString: pair.blue, application_name: 'the shop' });
    await user.connect();
    await expect(migrate(pair, 'finish')).rejects.toThrow(/Blue is still in use.*the shop/);
    await user.end();
    await migrate(pair, 'finish');
    expect(await catalogs()).toEqual(before);
    expect(await query(pair.green, 'select 1 from person limit 1')).toHaveLength(1);
  });

  it('by finish, after a switch, wherever a finish dies: nothing else goes on then', async () => {
    await query(pair.green, 'truncate person, wallet, wallet_state, movement');
    const before = await catalogs();
    for (const step of [['prepare'], ['copy'], ['follow', '--once'], ['switch', '--no-verify']])
      await migrate(pair, ...step);
    await query(pair.green, "update wallet_state set status = 'last' where wallet_id = 1");
    const phases: string[] = [];
    while (await dieAfterTwoSteps()) {
      const [, phase = ''] = /^phase: (.*)$/m.exec(await migrate(pair, 'status')) ?? [];
      for (const act of ['prepare', 'abort']) {
        await expect(migrate(pair, act), act).rejects.toThrow(`in phase "${phase}"`);
      }
      if (phases.length === 0) {
        const back = migrate(pair, 'rollback', '--no-verify');
        await expect(back).rejects.toThrow(/are not captured.*no way back: "migrate finish"/);
        expect(await migrate(pair, 'report')).toContain('Before and after the last switch');
      }
      phases.push(phase);
      await query(pair.green, "update wallet_state set status = 'on' where wallet_id = 2");
    }
    expect(phases).toEqual(['watching', 'watching', 'finishing', 'finishing']);
    expect(await catalogs()).toEqual(before);
    const [row] = await query(pair.blue, 'select a.status from account a where a.id = 1');
    expect(row?.status).toBe('last');
  });

  it('and by what the runbook says where one side is gone for good', async () => {
    await query(pair.green, 'truncate person, wallet, wallet_state, movement');
    const before = await catalogs();
    const [, free = ''] = /```sql\n(.*?)```/s.exec(await readFile(runbookFile, 'utf8')) ?? [];
    await migrate(pair, 'prepare');
    await query(pair.blue, free);
    expect((await catalogs()).blue).toEqual(before.blue);
    await migrate(pair, 'abort');
    expect((await catalogs()).green).toEqual(before.green);

    await begin();
    await migrate(pair, 'switch', '--no-verify');
    await query(pair.blue, free);
    await query(pair.blue, "drop extension postgres_fdw; update account set status = 'here'");
    expect(await migrate(pair, 'status')).toMatch(/phase: finishing\nGreen is in use/);
    await expect(migrate(pair, 'abort')).rejects.toThrow(/in phase "finishing"/);
    await migrate(pair, 'finish', '--anyway');
    expect(await catalogs()).toEqual(before);
  });

  it('and who only looks at that moment sees nothing any more', async () => {
    await query(pair.green, 'truncate person, wallet, wallet_state, movement');
    await migrate(pair, 'prepare');
    const ender = new pg.Client({ connectionString: pair.green });
    await ender.connect();
    await ender.query('begin; lock table migrate.event in access exclusive mode');
    const looked = migrate(pair, 'status');
    const waits = `select 1 from pg_locks l
      where not l.granted and l.relation = to_regclass('migrate.event')`;
    await vi.waitFor(async () => expect((await ender.query(waits)).rowCount).toBe(1), {
      timeout: 20_000,
    });
    await ender.query('drop schema migrate cascade; commit');
    await ender.end();
    expect(await looked).toContain('green: not prepared');
    await migrate(pair, 'abort');
  });

  it('but for an extension that was there before, or that somebody uses by now', async () => {
    await query(pair.green, 'truncate person, wallet, wallet_state, movement');
    await query(pair.blue, 'create extension postgres_fdw');
    const before = await catalogs();
    await begin();
    await query(pair.green, 'create server theirs foreign data wrapper postgres_fdw');
    await migrate(pair, 'abort');
    const after = await catalogs();
    expect(after.blue).toEqual(before.blue);
    expect(after.green.filter((line) => !before.green.includes(line))).toContain('server theirs');
    expect(after.green.filter((line) => /^(schema|server).*migrate/.test(line))).toEqual([]);
  });
});
