import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a finished program has left. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs, `cli/main.ts` with these arguments and only this environment. */
export interface Program {
  readonly pid: number;
  /** Everything it has written so far. */
  output(): string;
  /** Resolves when it has written `text`; throws where it ends before or takes too long. */
  wrote(text: string): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves when it has ended; killed after `msMax`. */
  ended(msMax?: number): Promise<Finished>;
  /** The processes that it has started, and they. */
  descendants(): readonly number[];
}

const writtenMsMax = 40_000;
const endedMsMax = 30_000;

/** Starts `cli/main.ts`, as an operator does. */
export function runProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin = '',
): Program {
  const child = spawn(process.execPath, ['cli/main.ts', ...args], {
    cwd: root,
    env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {});
  child.stdin.end(stdin);
  const closed = once(child, 'close');
  let isClosed = false;
  child.once('close', () => {
    isClosed = true;
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const output = () => stdout + stderr;
  return {
    pid: child.pid ?? 0,
    output,
    async wrote(text) {
      for (let waitedMs = 0; !output().includes(text); waitedMs += 20) {
        // Not by its exit: what it wrote last may still be in the pipe.
        if (isClosed) throw new Error(`it ended before "${text}":\n${output()}`);
        if (waitedMs > writtenMsMax) throw new Error(`it never wrote "${text}":\n${output()}`);
        await sleep(20);
      }
    },
    signal: (signal) => child.kill(signal),
    async ended(msMax = endedMsMax) {
      const late = setTimeout(() => child.kill('SIGKILL'), msMax);
      await closed;
      clearTimeout(late);
      return { code: child.exitCode, stdout, stderr };
    },
    descendants: () => descendantsOf(child.pid ?? 0),
  };
}

/** Runs it to its end. */
export function finishProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin = '',
): Promise<Finished> {
  return runProgram(args, env, stdin).ended();
}

/** Which of these processes still run after at most `msMax`. */
export async function stillRunning(
  pids: readonly number[],
  msMax: number,
): Promise<readonly number[]> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const left = pids.filter(isAlive);
    if (left.length === 0 || waitedMs >= msMax) return left;
    await sleep(50);
  }
}

function descendantsOf(pid: number): readonly number[] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const pairs = stdout.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  const found = [pid];
  for (const parent of found) {
    for (const [child, of] of pairs) if (of === parent && child) found.push(child);
  }
  return found.slice(1);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
