import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { understand } from '#migrate/blue-green/arguments.ts';
import { commands } from '#migrate/blue-green/commands.ts';
import { type Places, runCommand } from '#migrate/blue-green/run.ts';
import { openReport } from '#migrate/blue-green/screen.ts';
import { makeData } from '#migrate/example/data.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const example = new URL('../example/', import.meta.url);

/** Two empty databases, with the tables of the bank. */
export interface Pair extends Places {
  readonly blue: string;
  readonly green: string;
  close(): Promise<void>;
}

/** The tables on both sides, and rows in blue: 7.5 a customer, which become 11 of green. */
export async function fillBank(
  urls: { readonly blue: string; readonly green: string },
  customers: number,
  progress: (done: number) => void = () => {},
): Promise<void> {
  for (const side of ['blue', 'green'] as const) {
    await query(urls[side], await readFile(new URL(`bank-${side}.sql`, example), 'utf8'));
  }
  const client = new pg.Client({ connectionString: urls.blue });
  await client.connect();
  try {
    await makeData(client, customers, progress);
  } finally {
    await client.end();
  }
}

/** The rows of one query, on a connection of its own. */
export async function query(
  url: string,
  sql: string,
  values: readonly unknown[] = [],
): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    const result = await client.query(sql, values.length > 0 ? [...values] : undefined);
    return result.rows ?? [];
  } finally {
    await client.end();
  }
}

/** What is read, once it has been the same for a second. */
export async function atRest<T>(read: () => Promise<T>): Promise<T> {
  for (let before = await read(); ; ) {
    await sleep(1_000);
    const now = await read();
    if (isDeepStrictEqual(before, now)) return now;
    before = now;
  }
}

/** How a run of the tool ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** A run of `migrate/main.ts`, as an operator starts it. */
export interface Tool {
  readonly pid: number;
  output(): string;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

/** Starts the tool on a pair, with the mapping of the bank unless the arguments name another. */
export function startTool(pair: Places, args: readonly string[]): Tool {
  const child = spawn(process.execPath, ['migrate/main.ts', ...args, ...mappingOf(args)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/bin:/bin', MIGRATE_BLUE_URL: pair.blue, MIGRATE_GREEN_URL: pair.green },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ended = once(child, 'close').then(() => ({
    code: child.exitCode,
    signal: child.signalCode,
    output,
  }));
  return { pid: child.pid ?? 0, output: () => output, kill: (s) => child.kill(s), ended };
}

/** One command in this process, which saves the start of another; throws what it refuses. Gives its lines. */
export async function migrate(pair: Places, ...args: readonly string[]): Promise<string> {
  const asked = understand([...args, ...mappingOf(args)], commands);
  if (asked.asks !== 'run') throw new Error(`no command: ${args.join(' ')}`);
  let output = '';
  const write = (text: string) => {
    output += text;
  };
  const report = openReport({ write, isTerminal: false, columns: () => 80, nowMs: () => 0 }, false);
  const stop = new AbortController();
  await runCommand(asked.command, asked.input, pair, report, stop.signal);
  return output;
}

function mappingOf(args: readonly string[]): readonly string[] {
  if (args.includes('--mapping')) return [];
  return ['--mapping', fileURLToPath(new URL('bank.mapping.ts', example))];
}
