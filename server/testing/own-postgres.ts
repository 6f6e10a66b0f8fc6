import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withClient } from '#server/postgres/cluster.ts';
import { startEmbeddedPostgres } from '#server/postgres/embedded.ts';
import { roles } from '#server/postgres/passwords.ts';
import { migrate } from '#server/schema/migrate.ts';
import type { TestDatabase } from './harness.ts';

/** A PostgreSQL of one test file, which may be stopped without harm to the others. */
export interface OwnPostgres {
  readonly port: number;
  /** Its migrated database; the URLs go by the Unix socket. */
  readonly database: TestDatabase;
  stop(): Promise<void>;
  /** Starts it again, on the same port and data. */
  start(): Promise<void>;
  /** Ends the connections of this name that came by TCP; gives how many there were. */
  killRemote(applicationName: string): Promise<number>;
  close(): Promise<void>;
}

/** Starts it with the tables of Gatehouse in it. */
export async function startOwnPostgres(): Promise<OwnPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-own-'));
  await chmod(dataDir, 0o755);
  let postgres = await startEmbeddedPostgres({ dataDir });
  const { urls, port } = postgres;
  await migrate({ ownerUrl: urls.owner, serverRole: roles.server, usageRole: roles.usage });
  return {
    port,
    database: { urls, close: async () => {} },
    stop: () => postgres.stop(),
    async start() {
      postgres = await startEmbeddedPostgres({ dataDir, port });
    },
    killRemote: (applicationName) =>
      withClient(urls.superuser, async (client) => {
        const { rows } = await client.query<{ killed: number }>(
          `select count(pg_terminate_backend(a.pid))::int as killed from pg_stat_activity a
           where a.application_name = $1 and a.client_addr is not null`,
          [applicationName],
        );
        return rows[0]?.killed ?? 0;
      }),
    async close() {
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
