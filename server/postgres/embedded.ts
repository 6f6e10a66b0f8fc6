import { open, readFile, rename } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Binaries, findBinaries, installedBinaries } from './binaries.ts';
import { createCluster, databaseName, prepareDatabase, withClient } from './cluster.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { type Layout, placeCluster, placeSocket } from './layout.ts';
import { passwordsAt, type Role, roles } from './passwords.ts';
import { freePort, isFree } from './port.ts';
import {
  clearFormerPostmaster,
  forgetFormerOwners,
  type PostgresEnd,
  type Postmaster,
  startPostmaster,
} from './postmaster.ts';

export interface EmbeddedPostgresOptions {
  /** Holds everything of this PostgreSQL: data, passwords, log. Made when missing. */
  readonly dataDir: string;
  /** TCP port on 127.0.0.1; absent or 0: a free one. */
  readonly port?: number;
  /** PostgreSQL settings beyond ours, by their names. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Another PostgreSQL than the one that npm brings: the directory over its `bin`. For tests. */
  readonly installation?: string;
  /** Told about what is unusual: a leftover server shut down, files placed elsewhere. */
  readonly log?: (sentence: string) => void;
}

export interface EmbeddedPostgres {
  /** Connection URLs of database `gatehouse`, one per role; they use the Unix socket. */
  readonly urls: Readonly<Record<Role, string>>;
  readonly pid: number;
  /** It also listens on this port of 127.0.0.1. */
  readonly port: number;
  /** Resolves when PostgreSQL is gone, whether asked to or not. */
  readonly ended: Promise<PostgresEnd>;
  /** Ends all sessions, writes everything out, waits until PostgreSQL is gone. */
  stop(): Promise<void>;
}

/** Replaying the log after a crash takes its time; a start that takes longer is stuck. */
const readyMsMax = 300_000;

/**
 * Starts a PostgreSQL of our own on `dataDir`, with the roles and the database of Gatehouse in it
 * (no tables: see server/schema). Refuses with {@link EmbeddedPostgresError}, whose message says
 * what to do. When this process dies, PostgreSQL shuts itself down; the next start finds its data.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => {});
  const layout = await placeCluster(options.dataDir, log);
  const binaries =
    options.installation === undefined
      ? await findBinaries(layout.account, log)
      : await installedBinaries(options.installation);
  const passwords = await passwordsAt(layout.passwordFile, layout.clusterVersion !== undefined);
  if (layout.clusterVersion === undefined) {
    await createCluster(binaries, layout, passwords.superuser);
  } else if (layout.clusterVersion !== binaries.majorVersion) {
    throw otherVersion(layout, binaries);
  }
  await clearFormerPostmaster(layout, log);
  const socket = await placeSocket(layout);
  const settings = { ...ourSettings(socket.directory, binaries), ...options.settings };
  const urlOf = (role: Role, port: number, database = databaseName) =>
    `postgres://${roles[role]}:${passwords[role]}@localhost:${port}/${database}` +
    `?host=${encodeURIComponent(socket.directory)}`;
  try {
    const { postmaster, port } = await startOnPort(options.port ?? 0, async (port) => {
      const started = await launch(binaries, layout, { ...settings, port: String(port) });
      await untilReady(started, layout, urlOf('superuser', port, 'postgres'));
      return started;
    });
    await forgetFormerOwners(layout, postmaster.pid);
    const superuserUrl = (database: string) => urlOf('superuser', port, database);
    await prepareDatabase(superuserUrl, passwords, binaries.hasStatementStatistics);
    postmaster.unref();
    return {
      urls: {
        owner: urlOf('owner', port),
        server: urlOf('server', port),
        usage: urlOf('usage', port),
        superuser: urlOf('superuser', port),
      },
      pid: postmaster.pid,
      port,
      ended: postmaster.ended,
      async stop() {
        await postmaster.stop();
        await socket.remove();
      },
    };
  } catch (error) {
    await socket.remove();
    throw error;
  }
}

function ourSettings(socketDirectory: string, binaries: Binaries) {
  return {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: socketDirectory,
    // What is acknowledged survives a loss of power; no other setting is worth more.
    fsync: 'on',
    // a system call per statement, for the list of processes
    update_process_title: 'off',
    synchronous_commit: 'on',
    ...(binaries.hasStatementStatistics ? { shared_preload_libraries: 'pg_stat_statements' } : {}),
    // Statements here take well under a millisecond: compiling them costs more than it can save.
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    // Errors reach whoever made them. In a file they would quote values, and grow without bound.
    log_min_messages: 'log',
    log_checkpoints: 'off',
    log_error_verbosity: 'terse',
  };
}

async function launch(
  binaries: Binaries,
  layout: Layout,
  settings: Readonly<Record<string, string>>,
): Promise<Postmaster> {
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  await rename(layout.logFile, `${layout.logFile}.1`).catch(() => {});
  const logFile = await open(layout.logFile, 'a', 0o600);
  try {
    return startPostmaster(
      binaries.postgres,
      ['-D', layout.clusterDir, ...args],
      layout,
      logFile.fd,
    );
  } finally {
    await logFile.close();
  }
}

/** Tries other ports as long as somebody else takes the one just found free. */
async function startOnPort(
  wanted: number,
  start: (port: number) => Promise<Postmaster>,
): Promise<{ readonly postmaster: Postmaster; readonly port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = wanted === 0 ? await freePort() : wanted;
    try {
      return { postmaster: await start(port), port };
    } catch (error) {
      if (await isFree(port)) throw error;
      if (wanted !== 0) {
        throw new EmbeddedPostgresError(
          `PostgreSQL cannot listen on 127.0.0.1:${port}: the port is taken.`,
          { cause: error },
        );
      }
      if (attempt === 5) throw error;
    }
  }
}

async function untilReady(postmaster: Postmaster, layout: Layout, url: string): Promise<void> {
  const pollMs = 20;
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    if (postmaster.hasEnded()) throw await startFailed(layout);
    const answer = await withClient(url, async () => undefined).catch((error: unknown) => error);
    if (answer === undefined) return;
    if (waitedMs >= readyMsMax || isFinal(answer)) {
      await postmaster.stop();
      throw new EmbeddedPostgresError(
        `PostgreSQL started on ${layout.clusterDir} but does not let us in: ${String(answer)}`,
        { cause: answer },
      );
    }
    await sleep(pollMs);
  }
}

/** A wrong password (28P01) stays wrong; every other refusal ends when PostgreSQL is ready. */
function isFinal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '28P01';
}

async function startFailed(layout: Layout) {
  const text = await readFile(layout.logFile, 'utf8').catch(() => '');
  const last = text.trim().split('\n').slice(-4).join('\n');
  return new EmbeddedPostgresError(
    `PostgreSQL could not be started on ${layout.clusterDir}. It said:\n${last}`,
  );
}

function otherVersion(layout: Layout, binaries: Binaries) {
  return new EmbeddedPostgresError(
    `The data in ${layout.clusterDir} was made by PostgreSQL ${layout.clusterVersion}, and this ` +
      `release brings PostgreSQL ${binaries.majorVersion}, which cannot read it. Start the former ` +
      'release, or set GATEHOUSE_DATA_DIR to a new directory.',
  );
}
