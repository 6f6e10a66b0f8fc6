import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Places } from '#migrate/blue-green/run.ts';
import type { Summary } from '#migrate/example/load.ts';
import type { Testimony } from './witness.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A process of the example. */
export interface Started {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<number | null>;
}

/** The bank, taking requests at `url`. */
export interface App extends Started {
  readonly url: string;
}

function start(script: string, args: readonly string[]): { child: ChildProcess } & Started {
  const child = spawn(process.execPath, [`migrate/${script}`, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: '/usr/bin:/bin' },
  });
  const ended = once(child, 'exit').then(() => child.exitCode);
  return { child, pid: child.pid ?? 0, kill: (signal) => child.kill(signal), ended };
}

async function* linesOf(child: ChildProcess) {
  if (child.stdout !== null) yield* createInterface({ input: child.stdout });
}

/** Starts the bank on a free port. */
export async function startApp(pair: Places, ...args: readonly string[]): Promise<App> {
  const places = (['blue', 'green'] as const).flatMap((side) =>
    pair[side] === undefined ? [] : [`--${side}`, pair[side]],
  );
  const { child, ...started } = start('example/main.ts', [...places, ...args]);
  for await (const line of linesOf(child)) {
    child.stdout?.resume();
    return { ...started, url: JSON.parse(line).listening };
  }
  throw new Error(`the bank ended with ${await started.ended}`);
}

/** A process that says what it saw when it is told to stop. */
export interface Observer<Seen> extends Started {
  stop(): Promise<Seen>;
}

/** A driver of the bank. */
export const startDriver = (app: string, ...args: readonly string[]): Observer<Summary> =>
  startObserver('example/driver.ts', ['--app', app, ...args]);

/** What looks at both databases past the bank. */
export const startWitness = (
  pair: { readonly blue: string; readonly green: string },
  ledger: string,
): Observer<Testimony> =>
  startObserver('testing/witness.ts', [
    '--blue',
    pair.blue,
    '--green',
    pair.green,
    '--ledger',
    ledger,
  ]);

function startObserver<Seen>(script: string, args: readonly string[]): Observer<Seen> {
  const { child, ...started } = start(script, args);
  const seen = (async () => {
    for await (const line of linesOf(child)) {
      const said: Seen = JSON.parse(line);
      return said;
    }
    throw new Error(`${script} ended with ${await started.ended}`);
  })();
  seen.catch(() => {});
  return {
    ...started,
    async stop() {
      child.kill('SIGTERM');
      return seen;
    },
  };
}
