import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startLoad } from '#migrate/example/load.ts';
import { type Stall, watchStalls } from './stall.ts';

/** What the driver of the application was told. */
export interface Ledger {
  readonly acknowledged: readonly string[];
  /** What failed although nothing was broken, and what was broken in another way than is allowed. */
  readonly violations: readonly string[];
  /** 503 with Retry-After within an outage. */
  readonly turnedAway: number;
  /** The same while this machine stood still: it is not judged. */
  readonly notJudged: number;
}

/** The example application as a process, and its driver. */
export interface Application {
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Resolves when it answers. */
  start(): Promise<void>;
  /** Starts it anew with green alone, as the runbook has it before `finish`. */
  forgetBlue(): Promise<void>;
  /** 503 is allowed from here on. */
  beginOutage(): { endIn(ms: number): void };
  /** Ends both. */
  stop(): Promise<Ledger>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const operationsPerSecond = 20;
/** With a second between them: longer than any outage. */
const attemptsMax = 60;

/** Starts both on a pair of databases; `quiet` are two that nobody uses on the same servers. */
export async function startApplication(
  urls: { readonly blue: string; readonly green: string },
  quiet: readonly string[],
): Promise<Application> {
  const startedMs = Date.now();
  const stalling = watchStalls(quiet);
  const port = await freePort();
  const acknowledged: string[] = [];
  const turnedAway: { readonly atMs: number; readonly said: string }[] = [];
  const outages: { readonly fromMs: number; toMs: number }[] = [];
  let interrupted = false;
  let hung = 0;
  let sides: readonly ('blue' | 'green')[] = ['blue', 'green'];
  let log = '';
  let child: ChildProcess | undefined;
  const start = async () => {
    const places = sides.flatMap((side) => [`--${side}`, urls[side]]);
    const options = ['--primary', sides[0] ?? 'blue', '--port', String(port), '--pool', '6'];
    const started = spawn(process.execPath, ['migrate/example/main.ts', ...places, ...options], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/bin:/bin' },
    });
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-4_000);
    });
    started.stdout.resume();
    child = started;
    for (let waitedMs = 0; waitedMs < answersMsMax; waitedMs += 100) {
      const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
      await answer?.arrayBuffer();
      if (answer?.status === 200) return;
      await sleep(100);
    }
    throw new Error(`the application does not answer: ${log}`);
  };
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    const last = child;
    const late = setTimeout(() => {
      if (signal === 'SIGTERM') hung += 1;
      last.kill('SIGKILL');
    }, endMsMax);
    await ended;
    clearTimeout(late);
  };
  await start();
  const load = await startLoad({
    app: `http://127.0.0.1:${port}`,
    rate: operationsPerSecond,
    reads: 0.5,
    attemptsMax,
    acknowledged: (id) => acknowledged.push(id),
    window: () => {},
    turnedAway: (said) => turnedAway.push({ atMs: Date.now(), said }),
  });
  let stopped: Promise<Ledger> | undefined;
  const stop = async (): Promise<Ledger> => {
    const summary = await load.stop();
    await end('SIGTERM');
    const violations = Object.entries(summary.failures).map(
      ([what, times]) => `${times} operations failed: ${what}`,
    );
    const find = (count: number, what: string) => {
      if (count > 0) violations.push(`${count} ${what}`);
    };
    find(summary.missing, 'acknowledged transfers were not found by a read right after');
    find(summary.unavailableBare, 'answers 503 without Retry-After');
    find(hung, `times the application did not end within ${endMsMax / 1000} s of SIGTERM`);
    const stalls = await stalling.stop();
    if (!interrupted && stalls.length === 0) {
      find(summary.broken, 'requests were not answered, although the application lived');
    }
    const within = (times: readonly Stall[], atMs: number) =>
      times.some(({ fromMs, toMs }) => atMs >= fromMs && atMs <= toMs);
    const outside = turnedAway.filter(({ atMs }) => !within(outages, atMs));
    const judged = outside.filter(({ atMs }) => !within(stalls, atMs));
    const [first] = judged;
    if (first !== undefined) {
      const second = ((first.atMs - startedMs) / 1000).toFixed(1);
      find(judged.length, `times 503 from second ${second} on, nothing broken: ${first.said}`);
    }
    if (/mistake|Error/.test(log)) violations.push(`the application logged: ${log.slice(-500)}`);
    return {
      acknowledged,
      violations,
      turnedAway: turnedAway.length - outside.length,
      notJudged: outside.length - judged.length,
    };
  };
  return {
    start,
    async kill() {
      interrupted = true;
      await end('SIGKILL');
    },
    async forgetBlue() {
      interrupted = true;
      await end('SIGTERM');
      sides = ['green'];
      await start();
    },
    beginOutage() {
      const outage = { fromMs: Date.now(), toMs: Number.POSITIVE_INFINITY };
      outages.push(outage);
      return {
        endIn(ms) {
          outage.toMs = Date.now() + ms;
        },
      };
    },
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** Far more than it takes on a machine that is busy; one that hangs never ends. */
const endMsMax = 15_000;
const answersMsMax = 60_000;

/** The same for every start, so that the driver finds it again. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  server.close();
  await once(server, 'close');
  return port;
}
