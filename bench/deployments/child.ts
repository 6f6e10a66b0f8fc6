import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A Node process of ours with nothing of our environment. */
export interface Child {
  readonly process: ChildProcess;
  readonly pid: number;
  /** The end of what it has written. */
  tail(): string;
  hasEnded(): boolean;
  /** SIGTERM, and SIGKILL where that does not help. */
  stop(): Promise<void>;
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Where its output goes; absent: nowhere. */
  readonly logFile?: string;
  /** Arguments of Node itself. */
  readonly nodeArgs?: readonly string[];
}

export const root = fileURLToPath(new URL('../..', import.meta.url));
const stopMsMax = 40_000;
const tailLength = 4_000;

/** Starts a program of the repository; `args` begin with its path. */
export function startChild(args: readonly string[], options: ChildOptions = {}): Child {
  const log = options.logFile === undefined ? undefined : openSync(options.logFile, 'a');
  const output = log ?? 'ignore';
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), ...args], {
    cwd: root,
    env: { PATH: '/usr/bin:/bin', ...options.env },
    stdio: ['ignore', output, output, 'ipc'],
  });
  if (log !== undefined) closeSync(log);
  const exited = once(child, 'exit');
  exited.catch(() => {});
  // Also one that was still starting when a signal came.
  const follow = () => child.kill('SIGTERM');
  process.once('exit', follow);
  child.once('exit', () => process.off('exit', follow));
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  return {
    process: child,
    pid: child.pid ?? 0,
    tail: () =>
      options.logFile === undefined ? '' : readFileSync(options.logFile, 'utf8').slice(-tailLength),
    hasEnded,
    async stop() {
      if (hasEnded()) return;
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
      await exited;
      clearTimeout(late);
    },
  };
}
