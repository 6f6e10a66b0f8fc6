import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query } from '#migrate/testing/databases.ts';
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
