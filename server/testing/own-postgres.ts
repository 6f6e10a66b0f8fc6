import { execFile } from 'node:child_process';
import { chmod, chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { withClient } from '#server/postgres/cluster.ts';
import { startEmbeddedPostgres } from '#server/postgres/embedded.ts';
import { roles } from '#server/postgres/passwords.ts';
import { migrate } from '#server/schema/migrate.ts';
import type { TestDatabase } from './harness.ts';

/** A PostgreSQL of one test file, which may be stopped without harm to the others. */
export interface OwnPostgres {
  readonly port: number;
  /** What PostgreSQL writes of itself. */
  readonly logFile: string;
  /** Its migrated database; the URLs go by the Unix socket. */
  readonly database: TestDatabase;
  /** The process of the postmaster. */
  pid(): number;
  stop(): Promise<void>;
  /** Starts it again, on the same port and data. */
  start(): Promise<void>;
  /** Ends the connections of this name that came by TCP; gives how many there were. */
  killRemote(applicationName: string): Promise<number>;
  /** Runs `sql` in a transaction that stays open, with its locks, until what this gives is called. */
  hold(sql: string): Promise<() => Promise<void>>;
  /** SIGKILL to the postmaster; its children end themselves. `start` recovers. */
  kill(): Promise<void>;
  /** SIGKILL to one backend, after which PostgreSQL ends all of them and recovers by itself. */
  killBackend(): Promise<number>;
  /** SIGSTOP to the backends of this name, which had better be idle; gives what lets them go on. */
  suspend(applicationName: string): Promise<() => void>;
  /** A base backup of the running server: its files, copied between pg_backup_start and _stop. */
  backUp(): Promise<void>;
  /** Stops it if it runs, and puts the files of the backup in place of its own. `start` replays. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

const run = promisify(execFile);

/** Starts it with the tables of Gatehouse in it, and with these settings beside ours. */
export async function startOwnPostgres(
  settings: Readonly<Record<string, string>> = {},
): Promise<OwnPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-own-'));
  await chmod(dataDir, 0o755);
  let postgres = await startEmbeddedPostgres({ dataDir, settings });
  const { urls, port } = postgres;
  const clusterDir = await withClient(urls.superuser, async (client) => {
    const { rows } = await client.query<{ data_directory: string }>('show data_directory');
    return rows[0]?.data_directory ?? '';
  });
  const backupDir = join(dataDir, 'backup');
  let stopped = false;
  await migrate({ ownerUrl: urls.owner, serverRole: roles.server, usageRole: roles.usage });
  return {
    port,
    logFile: join(dataDir, 'postgres.log'),
    database: { urls, close: async () => {} },
    pid: () => postgres.pid,
    async stop() {
      stopped = true;
      await postgres.stop();
    },
    async start() {
      postgres = await startEmbeddedPostgres({ dataDir, port, settings });
      stopped = false;
    },
    async kill() {
      stopped = true;
      process.kill(postgres.pid, 'SIGKILL');
      await postgres.ended;
      await rm(join(clusterDir, 'postmaster.pid'), { force: true });
      // A child that still ends holds the shared memory, and PostgreSQL would not start beside it.
      await childrenGone(clusterDir);
    },
    killBackend: () =>
      withClient(urls.superuser, async (client) => {
        const { rows } = await client.query<{ pid: number }>(
          `select a.pid from pg_stat_activity a
           where a.application_name like 'gatehouse-%' order by random() limit 1`,
        );
        const pid = rows[0]?.pid;
        if (pid !== undefined) process.kill(pid, 'SIGKILL');
        return pid ?? 0;
      }),
    suspend: (applicationName) =>
      withClient(urls.superuser, async (client) => {
        const { rows } = await client.query<{ pid: number }>(
          'select a.pid from pg_stat_activity a where a.application_name = $1',
          [applicationName],
        );
        const send = (signal: NodeJS.Signals) => {
          for (const { pid } of rows) process.kill(pid, signal);
        };
        send('SIGSTOP');
        return () => send('SIGCONT');
      }),
    async backUp() {
      await rm(backupDir, { recursive: true, force: true });
      const { uid, gid } = await stat(clusterDir);
      await withClient(urls.superuser, async (client) => {
        await client.query(`select pg_backup_start('test', fast => true)`);
        await run('cp', ['-a', clusterDir, backupDir]);
        const { rows } = await client.query<{ labelfile: string }>(
          'select s.labelfile from pg_backup_stop(wait_for_archive => false) s',
        );
        await run('cp', ['-a', `${clusterDir}/pg_wal/.`, `${backupDir}/pg_wal/`]);
        const label = join(backupDir, 'backup_label');
        await writeFile(label, rows[0]?.labelfile ?? '');
        await chown(label, uid, gid);
      });
      await rm(join(backupDir, 'postmaster.pid'), { force: true });
    },
    async restore() {
      if (!stopped) await postgres.stop();
      stopped = true;
      await rm(clusterDir, { recursive: true, force: true });
      await run('cp', ['-a', backupDir, clusterDir]);
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
    async hold(sql) {
      const client = new pg.Client({ connectionString: urls.superuser });
      await client.connect();
      await client.query(`begin; ${sql}`);
      return () => client.end();
    },
    async close() {
      if (!stopped) await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Waits until no process has the cluster's directory as its own. */
async function childrenGone(clusterDir: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 50) {
    const { stdout } = await run('sh', ['-c', 'readlink /proc/[0-9]*/cwd || true']);
    if (!stdout.split('\n').includes(clusterDir)) return;
    await sleep(50);
  }
  throw new Error('processes of a killed PostgreSQL do not end');
}
