import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { readdir, readFile, readlink, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { EmbeddedPostgresError } from './embedded-error.ts';
import type { Layout } from './layout.ts';

/** How PostgreSQL ended: because it was asked to, or by itself. */
export interface PostgresEnd {
  readonly expected: boolean;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running PostgreSQL, a child process of ours. */
export interface Postmaster {
  readonly pid: number;
  readonly ended: Promise<PostgresEnd>;
  /** The process has ended. */
  hasEnded(): boolean;
  /** Lets the event loop end although PostgreSQL runs. */
  unref(): void;
  /** Fast shutdown: sessions are ended, everything is written; resolves when it is gone. */
  stop(): Promise<void>;
}

const fastShutdownMsMax = 30_000;

/**
 * Starts `postgres` in a session of its own, so that neither Ctrl-C nor a signal to our process
 * group reaches it while we still drain. A watchdog (a shell that reads a pipe only we hold) shuts
 * it down if we die without a word.
 */
export function startPostmaster(
  binary: string,
  args: readonly string[],
  layout: Layout,
  logFd: number,
): Postmaster {
  const { account, clusterDir } = layout;
  const identity = account ? { uid: account.uid, gid: account.gid } : {};
  const child = spawn(binary, args, {
    ...identity,
    cwd: clusterDir,
    detached: true,
    // Nothing of our environment: it may hold secrets, and PG* variables would change settings.
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    stdio: ['ignore', logFd, logFd],
  });
  const { pid } = child;
  if (pid === undefined) {
    child.once('error', () => {});
    throw new EmbeddedPostgresError(`${binary} could not be started.`);
  }
  const dismissWatchdog = startWatchdog(pid, identity);
  // Tells the next start who this PostgreSQL belongs to, hence whether it was left behind.
  const ownerFile = ownerFileOf(layout, pid);
  writeFileSync(ownerFile, `${process.pid}\n`);
  let asked = false;
  const ended = waitForExit(child).then(({ code, signal }) => {
    dismissWatchdog();
    rmSync(ownerFile, { force: true });
    return { expected: asked, code, signal };
  });
  return {
    pid,
    ended,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    unref: () => child.unref(),
    async stop() {
      child.ref();
      asked = true;
      child.kill('SIGINT');
      const deadline = new AbortController();
      const late = sleep(fastShutdownMsMax, 'late' as const, { signal: deadline.signal });
      late.catch(() => {});
      // Immediate shutdown loses nothing either: the next start replays the log.
      if ((await Promise.race([ended, late])) === 'late') child.kill('SIGQUIT');
      await ended;
      deadline.abort();
    },
  };
}

function startWatchdog(pid: number, identity: { uid?: number; gid?: number }): () => void {
  const script = 'read -r line || kill -INT "$1"';
  const watchdog = spawn('/bin/sh', ['-c', script, 'gatehouse-watchdog', String(pid)], {
    ...identity,
    cwd: '/',
    detached: true,
    env: {},
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.unref();
  watchdog.on('error', () => {});
  watchdog.stdin.on('error', () => {});
  if ('unref' in watchdog.stdin && typeof watchdog.stdin.unref === 'function') {
    watchdog.stdin.unref();
  }
  return () => watchdog.stdin.end('done\n');
}

async function waitForExit(child: ChildProcess) {
  await once(child, 'exit');
  return { code: child.exitCode, signal: child.signalCode };
}

/**
 * Makes way for a start: waits for a PostgreSQL that is shutting down, shuts down one whose
 * Gatehouse has died, refuses while another Gatehouse uses it.
 */
export async function clearFormerPostmaster(
  layout: Layout,
  log: (sentence: string) => void,
): Promise<void> {
  const { clusterDir } = layout;
  const pollMs = 50;
  const graceMs = 1_500;
  let asked = false;
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    const former = await readPostmaster(clusterDir);
    if (former === undefined || !isAlive(former.pid)) return;
    if (!(await isPostmasterOf(former.pid, clusterDir))) return disown(clusterDir, former.pid);
    const ownerFile = ownerFileOf(layout, former.pid);
    const ownerPid = Number(await readFile(ownerFile, 'utf8').catch(() => '0'));
    if (former.status !== 'stopping' && waitedMs >= graceMs && !asked) {
      if (ownerPid > 0 && isAlive(ownerPid)) throw inUse(clusterDir, former.pid, ownerPid);
      log(`shutting down the PostgreSQL (process ${former.pid}) that an earlier start left behind`);
      process.kill(former.pid, 'SIGINT');
      asked = true;
      await rm(ownerFile, { force: true });
    }
    if (waitedMs >= fastShutdownMsMax) throw inUse(clusterDir, former.pid, ownerPid);
    await sleep(pollMs);
  }
}

/** Removes the notes of starts that died, once `postmasterPid` holds the cluster. */
export async function forgetFormerOwners(layout: Layout, postmasterPid: number): Promise<void> {
  for (const name of await readdir(layout.dataDir)) {
    const path = join(layout.dataDir, name);
    if (/^postgres-\d+\.owner$/.test(name) && path !== ownerFileOf(layout, postmasterPid)) {
      await rm(path, { force: true });
    }
  }
}

function ownerFileOf(layout: Layout, postmasterPid: number): string {
  return join(layout.dataDir, `postgres-${postmasterPid}.owner`);
}

function inUse(clusterDir: string, pid: number, ownerPid: number) {
  const by = ownerPid === 0 ? '' : `, started by process ${ownerPid}`;
  return new EmbeddedPostgresError(
    `PostgreSQL already runs on ${clusterDir} (process ${pid}${by}). ` +
      'Stop that Gatehouse first, or give this one a GATEHOUSE_DATA_DIR of its own.',
  );
}

/** The first line of postmaster.pid is the process, the eighth its state. */
async function readPostmaster(clusterDir: string) {
  const text = await readFile(join(clusterDir, 'postmaster.pid'), 'utf8').catch(() => undefined);
  const lines = text?.split('\n') ?? [];
  const pid = Math.abs(Number(lines[0]));
  if (!Number.isSafeInteger(pid) || pid === 0) return undefined;
  return { pid, status: (lines[7] ?? '').trim() };
}

/** PostgreSQL's working directory is its data directory; any other process got a used-up pid. */
async function isPostmasterOf(pid: number, clusterDir: string): Promise<boolean> {
  if (process.platform === 'linux') {
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
    return cwd !== undefined && cwd === (await realpath(clusterDir));
  }
  const listed = await promisify(execFile)('ps', ['-o', 'comm=', '-p', String(pid)]).catch(
    () => undefined,
  );
  return listed?.stdout.trim().endsWith('postgres') ?? false;
}

/**
 * The pid in postmaster.pid belongs to a stranger now, which PostgreSQL cannot tell from one of
 * its own. The file stays, naming a process that cannot be: so PostgreSQL still looks whether the
 * shared memory named there is in use, which is what keeps two servers off one directory.
 */
async function disown(clusterDir: string, pid: number): Promise<void> {
  const path = join(clusterDir, 'postmaster.pid');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // It was no stranger but one of ours that was just ending, and took its file along.
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text !== undefined) await writeFile(path, text.replace(String(pid), '99999999'));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
