import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Window } from '#migrate/example/load.ts';
import { fillBank, type Pair, query, startTool } from './databases.ts';
import { judge, type Moment, type Step, type Verdict } from './judge.ts';
import { startApp, startDriver, startWitness } from './processes.ts';
import type { Servers } from './servers.ts';

export interface WholeOptions {
  /** Rows of green at the end; blue has two thirds of that. */
  readonly rows: number;
  /** Operations per second. */
  readonly rate: number;
  readonly switches: number;
  /** New writes after the first switch, before the rollback that is to lose none. */
  readonly newWritesSeconds: number;
  /** Between two switches, and how long a p99 is measured before and after each. */
  readonly settleSeconds: number;
  readonly workers: number;
  /** How long the bank lets a write wait for a switch. */
  readonly waitMs: number;
  readonly mapping: string;
  readonly say: (line: string) => void;
}

/** A customer makes 1 customer, half a profile, 4 accounts and 2 transfers: 11 rows of green. */
const rowsPerCustomer = 11;

/** The mapping with ranges of the ordinary size. */
export const largeMapping = fileURLToPath(
  new URL('../example/bank-large.mapping.ts', import.meta.url),
);
export const smallMapping = fileURLToPath(new URL('../example/bank.mapping.ts', import.meta.url));

/**
 * A migration from plan to finish, each step a process as an operator starts it, while the bank is
 * in use by the driver and the witness looks on. Ends with green live, by one switch more where
 * `switches` is even.
 */
export async function runWhole(servers: Servers, options: WholeOptions): Promise<Verdict> {
  const { say } = options;
  const pair: Pair = servers;
  const directory = await mkdtemp(join(tmpdir(), 'migrate-whole-'));
  const [ledger, stragglers, windows] = ['ledger', 'stragglers', 'windows'].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  const filled = await timed(() => fill(pair, options));
  say(`fill: ${filled.seconds} s`);
  const app = await startApp(pair, '--wait-ms', String(options.waitMs));
  const witness = startWitness(pair, stragglers);
  const rate = ['--rate', String(options.rate)];
  const driver = startDriver(app.url, ...rate, '--ledger', ledger, '--windows', windows);
  try {
    const before = await balancesOf(app.url);
    await sleep(options.settleSeconds * 1000);
    const steps: Step[] = [];
    const migrate = async (...args: readonly string[]) => {
      const beganMs = Date.now();
      const said = await tool(pair, options, args);
      // Those two only look at what another does.
      const name = args.slice(0, 1).filter((command) => !['status', 'stop'].includes(command))[0];
      if (name !== undefined) steps.push({ name, beganMs, endedMs: Date.now() });
      return said;
    };
    await fillGreen(migrate, options);
    const moments = await switchToAndFro(migrate, pair, options);
    await migrate('finish', '--keep-guard');
    say('finish: every trace is gone; the guard stays on blue');
    await sleep(options.settleSeconds * 1000);
    const after = await balancesOf(app.url);
    const testimony = await witness.stop();
    const summary = await driver.stop();
    return await judge(pair, {
      summary,
      testimony,
      moments,
      steps,
      windows: linesOf(await readFile(windows, 'utf8')).map((line): Window => JSON.parse(line)),
      acknowledged: linesOf(await readFile(ledger, 'utf8')),
      stragglers: linesOf(await readFile(stragglers, 'utf8')),
      money: { before, after },
      settleSeconds: options.settleSeconds,
    });
  } finally {
    for (const one of [driver, witness, app]) one.kill('SIGTERM');
    await Promise.all([driver.ended, witness.ended, app.ended]);
    await rm(directory, { recursive: true, force: true });
  }
}

const linesOf = (text: string) => text.split('\n').filter((line) => line !== '');

async function fill(pair: Pair, { rows, say }: WholeOptions): Promise<void> {
  const startedMs = performance.now();
  await fillBank(pair, Math.ceil(rows / rowsPerCustomer), (customers) => {
    const perSecond = (customers * 5.5 * 1000) / (performance.now() - startedMs);
    if (customers % 500_000 === 0) {
      say(`fill: ${customers} customers, ${Math.round(perSecond)} rows/s of blue`);
    }
  });
}

/** All the cents there are, as the bank says. */
async function balancesOf(app: string): Promise<number> {
  const answer = await fetch(`${app}/balances`);
  const body: { cents: number } = JSON.parse(await answer.text());
  return body.cents;
}

type Migrate = (...args: readonly string[]) => Promise<string>;

async function tool(pair: Pair, options: WholeOptions, args: readonly string[]): Promise<string> {
  const ended = await startTool(pair, [...args, '--mapping', options.mapping]).ended;
  if (ended.code === 0) return ended.output.trim();
  throw new Error(`migrate ${args.join(' ')} ended with ${ended.code}: ${ended.output.trim()}`);
}

async function timed<T>(work: () => Promise<T>) {
  const startedMs = performance.now();
  const result = await work();
  return { result, seconds: Math.round((performance.now() - startedMs) / 100) / 10 };
}

const lastLine = (text: string) => text.split('\n').at(-1) ?? '';

async function fillGreen(migrate: Migrate, { say, workers, settleSeconds }: WholeOptions) {
  const many = ['--workers', String(workers)];
  say(`plan: ${lastLine(await migrate('plan'))}`);
  await migrate('prepare');
  say(lastLine(await migrate('copy', ...many)));
  const once = await timed(() => migrate('follow', '--once'));
  say(`follow --once: ${once.seconds} s, with the indexes; ${lastLine(once.result)}`);
  const follow = migrate('follow');
  const lags = await sampleLag(migrate, Math.min(10, settleSeconds));
  await migrate('stop');
  await follow;
  say(`follow: lag ${lags.join(', ')} ms`);
  say(lastLine(await migrate('verify', ...many)));
}

/** What `migrate status` says of the lag, some times while a tool follows. */
async function sampleLag(migrate: Migrate, seconds: number): Promise<readonly number[]> {
  const lags: number[] = [];
  await sleep(1_500);
  for (let at = 0; at < Math.max(1, seconds / 2); at += 1) {
    const status: { lagMs: number } = JSON.parse(await migrate('status', '--json'));
    lags.push(status.lagMs);
  }
  return lags;
}

async function switchToAndFro(
  migrate: Migrate,
  pair: Pair,
  options: WholeOptions,
): Promise<readonly Moment[]> {
  const { say, settleSeconds, newWritesSeconds } = options;
  const moments: Moment[] = [];
  const count = options.switches + (options.switches % 2 === 0 ? 1 : 0);
  for (let at = 0; at < count; at += 1) {
    const command = at % 2 === 0 ? 'switch' : 'rollback';
    const beganMs = Date.now();
    const said: { heldMs: number; to: string; attempts: number } = JSON.parse(
      await migrate(command, '--no-verify', '--json'),
    );
    const moment = { command, beganMs, endedMs: Date.now(), heldMs: said.heldMs };
    moments.push(moment);
    const tries = said.attempts > 1 ? `, ${said.attempts} attempts` : '';
    say(`${command}: ${said.to} is live; writes were held for ${said.heldMs} ms${tries}`);
    if (at === 0 && newWritesSeconds > 0) {
      const watching = migrate('watch');
      await sleep(newWritesSeconds * 1000);
      const lags = await sampleLag(migrate, 2);
      await migrate('stop');
      await watching;
      const [row] = await query(
        pair.green,
        `select count(*)::int as n from movement m where m.note = 'asked'
           and m.at > to_timestamp($1 / 1000.0)`,
        [moment.endedMs],
      );
      say(
        `watch: ${row?.n} new transfers in ${Math.round(newWritesSeconds)} s, lag ${lags.join(', ')} ms`,
      );
    } else {
      await sleep(settleSeconds * 1000);
    }
  }
  return moments;
}
