import { execFile } from 'node:child_process';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startEmbeddedPostgres } from '#server/postgres/embedded.ts';
import { faketimePath } from '../../tools/faketime.mjs';

/** A PostgreSQL that dies and comes back, on the same port and data. */
export interface Server {
  readonly port: number;
  /** Its version, such as `15.18`. */
  readonly version: string;
  /** Who runs it. */
  readonly owner: { readonly uid: number; readonly gid: number };
  /** A database of it, as superuser and past every proxy. */
  url(database: string): string;
  /** SIGKILL to the postmaster and all of its processes at once. */
  kill(): Promise<void>;
  /** Starts it again; it recovers. Does nothing where it runs. */
  start(): Promise<void>;
  /** Starts it anew with a clock that is wrong by so many minutes. Needs libfaketime. */
  setClock(minutes: number): Promise<void>;
  close(): Promise<void>;
}

const run = promisify(execFile);

/**
 * Starts it, from the directory over its `bin` or, where undefined, from what npm brings. It does not
 * wait for the disk, since a process that is killed loses nothing that it has handed to the system;
 * but what was committed with `synchronous_commit` off it hands over so late that each kill loses it,
 * as a loss of power would.
 */
export async function startServer(installation: string | undefined): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'migrate-chaos-'));
  await chmod(dataDir, 0o755);
  const settings = {
    fsync: 'off',
    full_page_writes: 'off',
    wal_writer_delay: '10s',
    max_connections: '200',
  };
  const from = installation === undefined ? {} : { installation };
  let postgres = await startEmbeddedPostgres({ dataDir, settings, ...from });
  const { port } = postgres;
  const superuser = new URL(postgres.urls.superuser);
  const binary = await readlink(`/proc/${postgres.pid}/exe`);
  const clusterDir = await readlink(`/proc/${postgres.pid}/cwd`);
  const { stdout: version } = await run(binary, ['--version']);
  const { uid, gid } = await stat(clusterDir);
  let running = true;
  let launched: { readonly installation?: string } = from;
  const start = async () => {
    if (running) return;
    postgres = await startEmbeddedPostgres({ dataDir, port, settings, ...launched });
    running = true;
  };
  const stop = async () => {
    if (running) await postgres.stop();
    running = false;
  };
  return {
    port,
    version: /\d+[.\d]*/.exec(version)?.[0] ?? version.trim(),
    owner: { uid, gid },
    url(database) {
      const { username, password } = superuser;
      return `postgres://${username}:${password}@127.0.0.1:${port}/${database}`;
    },
    async kill() {
      if (!running) return;
      running = false;
      const pids = [postgres.pid, ...(await childrenOf(postgres.pid))];
      for (const pid of pids) send(pid);
      await postgres.ended;
      await rm(join(clusterDir, 'postmaster.pid'), { force: true });
      await untilGone(clusterDir);
    },
    start,
    async setClock(minutes) {
      launched =
        minutes === 0 ? from : { installation: await wrongClock(dataDir, binary, minutes) };
      await stop();
      await start();
    },
    async close() {
      await stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** What gives a process a system clock that is off by so many minutes; monotonic time stays true. */
export function clockOff(minutes: number): Readonly<Record<string, string>> {
  return {
    LD_PRELOAD: faketimePath(),
    FAKETIME: `${minutes < 0 ? '-' : '+'}${Math.abs(minutes)}m`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}

/** An installation whose `postgres` is the real one with another clock. */
async function wrongClock(dataDir: string, binary: string, minutes: number): Promise<string> {
  const directory = join(dataDir, 'wrong-clock');
  await mkdir(join(directory, 'bin'), { recursive: true });
  const variables = Object.entries(clockOff(minutes)).map(([name, value]) => `${name}='${value}'`);
  const path = join(directory, 'bin', 'postgres');
  await writeFile(path, `#!/bin/sh\n${variables.join(' ')} exec '${binary}' "$@"\n`);
  await chmod(path, 0o755);
  return directory;
}

async function childrenOf(parent: number): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    // The name in parentheses may hold blanks; the parent is the second field after it.
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) {
      found.push(Number(name));
    }
  }
  return found;
}

function send(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended before.
  }
}

/** Waits until no process has the cluster's directory as its own. */
async function untilGone(clusterDir: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 20) {
    const { stdout } = await run('sh', ['-c', 'readlink /proc/[0-9]*/cwd || true']);
    if (!stdout.split('\n').includes(clusterDir)) return;
    await sleep(20);
  }
  throw new Error('processes of a killed PostgreSQL do not end');
}
