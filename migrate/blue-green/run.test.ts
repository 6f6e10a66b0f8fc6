import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { fillBank, migrate, query } from '#migrate/testing/databases.ts';
import { type Servers, startServers } from '#migrate/testing/servers.ts';
import { startWriters } from '#migrate/testing/writers.ts';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const older = debianPostgresPath();

describe.skipIf(older === '')('PostgreSQL 15 to 18 and back, on two servers', () => {
  let servers: Servers;
  beforeAll(async () => {
    servers = await startServers(older, false);
    await fillBank(servers, 500);
  });
  afterAll(() => servers.close());

  it('"migrate run" does it all in one command, while writes go on', async () => {
    expect(servers.versions.blue).toMatch(/^15/);
    expect(servers.versions.green).toMatch(/^18/);
    const pair = { ...servers };
    const writers = startWriters(pair, 2, 5);
    expect(await migrate(pair, 'run', '--workers', '2')).toMatch(/green is live \(epoch 2\)/);
    expect(await migrate(pair, 'rollback', '--workers', '2')).toMatch(/blue is live \(epoch 3\)/);
    const ledger = await writers.stop();
    expect(ledger.twoLive).toBe(0);
    const rows = await query(pair.blue, 'select t.id::text as id from transfer t');
    const there = new Set(rows.map(({ id }) => id));
    expect([...ledger.acknowledged].filter((id) => !there.has(id))).toEqual([]);
    expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
  });

  it('a straggler on the old side reaches the new one through foreign tables', async () => {
    const live = new URL(servers.blue);
    const passwordFile = join(tmpdir(), `migrate-straggler-${process.pid}`);
    await writeFile(passwordFile, decodeURIComponent(live.password), { mode: 0o600 });
    await query(servers.green, "create role straggler login password 'straggler'");
    const places = ['--host', live.searchParams.get('host') ?? '', '--port', live.port];
    const reached = ['--database', 'shop', '--remote-role', live.username];
    const given = ['--side', 'green', '--role', 'straggler', '--password-file', passwordFile];
    await migrate({ ...servers }, 'foreign', ...places, ...reached, ...given);
    const url = new URL(servers.green);
    url.username = 'straggler';
    url.password = 'straggler';
    await query(url.href, "update migrate_other_side.account set status = 'seen' where id = 3");
    const [row] = await query(servers.blue, 'select a.status from account a where a.id = 3');
    expect(row?.status).toBe('seen');
    await migrate({ ...servers }, 'abort');
    const left = await query(
      servers.green,
      "select n.nspname from pg_namespace n where n.nspname like 'migrate%'",
    );
    expect(left).toEqual([]);
  });
});
