import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Places } from '#migrate/blue-green/run.ts';
import type { Ended } from '#migrate/testing/databases.ts';
import { type Point, pointParameter, stopMark } from './point.ts';

/** A tool as an operator starts it, which may stop itself at a point. */
export interface Tool {
  readonly pid: number;
  hasEnded(): boolean;
  output(): string;
  kill(signal: NodeJS.Signals): void;
  /** Resolves when it has stopped at its point, has ended, or `msMax` are over. */
  untilStopped(msMax: number): Promise<'stopped' | 'ended' | 'neither'>;
  /** Resolves when it has ended; undefined: it runs still. */
  untilEnded(msMax: number): Promise<Ended | undefined>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Starts it; `point` undefined: it does not stop. */
export function startTool(
  places: Places,
  args: readonly string[],
  point: Point | undefined,
  env: Readonly<Record<string, string>> = {},
): Tool {
  const preload = new URL('stop-at-point.ts', import.meta.url);
  if (point !== undefined) preload.searchParams.set(pointParameter, JSON.stringify(point));
  const child = spawn(process.execPath, ['--import', preload.href, 'migrate/main.ts', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: '/usr/bin:/bin',
      MIGRATE_BLUE_URL: places.blue,
      MIGRATE_GREEN_URL: places.green,
      ...env,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-outputMax);
    });
  }
  const pid = child.pid ?? 0;
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  const closed = once(child, 'close');
  return {
    pid,
    hasEnded,
    output: () => output,
    kill: (signal) => child.kill(signal),
    async untilStopped(msMax) {
      const untilMs = performance.now() + msMax;
      while (performance.now() < untilMs) {
        if (hasEnded()) return 'ended';
        if (output.includes(stopMark) && (await isStopped(pid))) return 'stopped';
        await sleep(5);
      }
      return 'neither';
    },
    async untilEnded(msMax) {
      const late = new AbortController();
      await Promise.race([
        closed,
        sleep(msMax, undefined, { signal: late.signal }).catch(() => {}),
      ]);
      late.abort();
      if (!hasEnded()) return undefined;
      return { code: child.exitCode, signal: child.signalCode, output };
    },
  };
}

const outputMax = 100_000;

async function isStopped(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
}
