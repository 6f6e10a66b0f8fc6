import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '#server/postgres/embedded.ts';
import { query } from './databases.ts';

/** Two PostgreSQL servers, each with an empty database `shop`. */
export interface Servers {
  readonly blue: string;
  readonly green: string;
  /** What each of them is: `15.18`. */
  readonly versions: { readonly blue: string; readonly green: string };
  close(): Promise<void>;
}

/**
 * Starts both: blue from `installation` (the directory over its bin; undefined: what npm brings),
 * green from what npm brings. Nothing has to survive a loss of power unless `durable`. `settings`
 * are PostgreSQL's, for both.
 */
export async function startServers(
  installation: string | undefined,
  durable: boolean,
  settings: Readonly<Record<string, string>> = {},
): Promise<Servers> {
  const start = async (from: string | undefined) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'migrate-server-'));
    await chmod(dataDir, 0o755);
    const postgres = await startEmbeddedPostgres({
      dataDir,
      ...(from === undefined ? {} : { installation: from }),
      settings: {
        max_wal_size: '4GB',
        shared_buffers: '512MB',
        ...settings,
        ...(durable ? {} : { fsync: 'off', full_page_writes: 'off' }),
      },
    });
    await query(postgres.urls.superuser, 'create database shop template template0');
    const url = new URL(postgres.urls.superuser);
    url.pathname = '/shop';
    const [row] = await query(url.href, "select current_setting('server_version') as version");
    return { url: url.href, version: String(row?.version), postgres, dataDir };
  };
  const blue = await start(installation);
  const green = await start(undefined);
  return {
    blue: blue.url,
    green: green.url,
    versions: { blue: blue.version, green: green.version },
    async close() {
      for (const { postgres, dataDir } of [blue, green]) {
        await postgres.stop();
        await rm(dataDir, { recursive: true, force: true });
      }
    },
  };
}
