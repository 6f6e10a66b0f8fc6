import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Window } from '#migrate/example/load.ts';
import { fillBank, type Pair, query, startTool } from './databases.ts';
import { judge, type Moment, missingOn, type Step, type Verdict } from './judge.ts';
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
  const { say, settleSeconds } = options;
  const directory = await mkdtemp(join(tmpdir(), 'migrate-whole-'));
  const files = {
    ledger: join(directory, 'ledger'),
    stragglers: join(directory, 'stragglers'),
    windows: join(directory, 'windows'),
  };
  const filled = await timed(() => fill(servers, options));
  say(`fill: ${filled.seconds} s`);
  const app = await startApp(servers, '--wait-ms', String(options.waitMs));
  const witness = startWitness(servers, files.stragglers);
  const load = ['--rate', String(options.rate), '--ledger', files.ledger];
  const driver = startDriver(app.url, ...load, '--windows', files.windows);
  try {
    const before = await balancesOf(app.url);
    await sleep(settleSeconds * 1000);
    const done = await moveToAndFro(servers, files.ledger, options);
    await sleep(settleSeconds * 1000);
    const after = await balancesOf(app.url);
    const testimony = await witness.stop();
    const summary = await driver.stop();
    return await judge(servers, {
      ...done,
      summary,
      testimony,
      windows: (await linesOf(files.windows)).map((line): Window => JSON.parse(line)),
      acknowledged: await linesOf(files.ledger),
      stragglers: await linesOf(files.stragglers),
      money: { before, after },
      settleSeconds,
    });
  } finally {
    for (const one of [driver, witness, app]) one.kill('SIGTERM');
    await Promise.all([driver.ended, witness.ended, app.ended]);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Lines that are whole: whoever writes the file may be at it. */
async function linesOf(file: string): Promise<readonly string[]> {
  return (await readFile(file, 'utf8')).split('\n').slice(0, -1);
}

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

/** Everything that the tool does, from plan to finish. */
async function moveToAndFro(pair: Pair, ledger: string, options: WholeOptions) {
  const { say, workers } = options;
  const steps: Step[] = [];
  const migrate = async (...args: readonly string[]) => {
    const beganMs = Date.now();
    const said = await tool(pair, options, args);
    const [name = ''] = args;
    // Those two only look at what another does.
    if (!['status', 'stop'].includes(name)) steps.push({ name, beganMs, endedMs: Date.now() });
    return said;
  };
  await fillGreen(migrate, pair, options);
  // So that what is measured before the first switch is not the comparison.
  await sleep(options.settleSeconds * 1000);
  const moments = await switchToAndFro(migrate, pair, ledger, options);
  await migrate('watch', '--once');
  say(lastLine(await migrate('verify', '--workers', String(workers))));
  await migrate('finish', '--keep-guard');
  say('finish: every trace is gone; the guard stays on blue');
  return { moments, steps };
}

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

/** Rows per second of a copy, for each tenth of its rows; begun when the first range was done. */
async function ratesOfCopy(pair: Pair): Promise<readonly number[]> {
  const rows = await query(
    pair.green,
    `with done as (
       select r.copied_at, r.copied_rows, ceil(10 * sum(r.copied_rows) over (order by r.copied_at, r.id)
         / sum(r.copied_rows) over ()) as tenth from migrate.range r where r.copied_rows > 0
     ), tenths as (
       select d.tenth, sum(d.copied_rows) as rows, max(d.copied_at) as ended from done d group by d.tenth
     )
     select (t.rows / greatest(0.001, extract(epoch from t.ended - coalesce(
         lag(t.ended) over (order by t.tenth), (select min(d.copied_at) from done d)))))::int as rate
     from tenths t order by t.tenth`,
  );
  return rows.map(({ rate }) => Number(rate));
}

async function fillGreen(migrate: Migrate, pair: Pair, options: WholeOptions) {
  const { say, workers, settleSeconds } = options;
  const many = ['--workers', String(workers)];
  say(`plan: ${lastLine(await migrate('plan'))}`);
  await migrate('prepare');
  say(lastLine(await migrate('copy', ...many)));
  say(`  rows/s by tenths of the rows: ${(await ratesOfCopy(pair)).join(', ')}`);
  const once = await timed(() => migrate('follow', '--once'));
  say(`follow --once: ${once.seconds} s, with the indexes; ${lastLine(once.result)}`);
  const follow = migrate('follow');
  follow.catch(() => {});
  const lag = await sampleLag(migrate, Math.max(1, Math.min(5, settleSeconds / 2)));
  await migrate('stop');
  await follow;
  say(`follow: ${lag}`);
  say(lastLine(await migrate('verify', ...many)));
}

/** How long a tool takes to catch up, and what `migrate status` says of the lag after that. */
async function sampleLag(migrate: Migrate, count: number): Promise<string> {
  const lag = async () => {
    const status: { lagMs: number } = JSON.parse(await migrate('status', '--json'));
    return status.lagMs;
  };
  const caughtUp = await timed(async () => {
    // What was written while no tool ran has waited as long.
    for (let tries = 0; tries < 60; tries += 1) if ((await lag()) < 1_000) return;
  });
  const lags: number[] = [];
  while (lags.length < count) lags.push(await lag());
  return `caught up within ${caughtUp.seconds} s, then a lag of ${lags.join(', ')} ms`;
}

/** What `migrate switch --json` answers, as far as it is looked at here. */
interface Switched {
  readonly heldMs: number;
  readonly attempts: number;
  /** Milliseconds from the begin of the hold. */
  readonly steps: readonly { readonly step: string; readonly ms: number }[];
}

const stepsOf = ({ steps }: Switched) =>
  steps
    .map(({ step, ms }, at) => `${step} ${(ms - (steps[at - 1]?.ms ?? 0)).toFixed(1)}`)
    .join(', ');

async function switchToAndFro(
  migrate: Migrate,
  pair: Pair,
  ledger: string,
  options: WholeOptions,
): Promise<readonly Moment[]> {
  const { say, settleSeconds, newWritesSeconds } = options;
  const moments: Moment[] = [];
  const count = options.switches + (options.switches % 2 === 0 ? 1 : 0);
  for (let at = 0; at < count; at += 1) {
    const command = at % 2 === 0 ? 'switch' : 'rollback';
    const to = at % 2 === 0 ? 'green' : 'blue';
    const beganMs = Date.now();
    const said: Switched = JSON.parse(
      await migrate(command, '--no-verify', '--attempts', '30', '--json'),
    );
    const endedMs = Date.now();
    say(
      `${command}: ${to} is live; writes were held for ${said.heldMs} ms (attempt ` +
        `${said.attempts}; ${stepsOf(said)})`,
    );
    // The bank is measured after a switch and before the next one: not while a table is searched.
    await sleep(settleSeconds * 1000);
    const acknowledged = await linesOf(ledger);
    const { missing } = await missingOn(pair, to, acknowledged);
    moments.push({ command, beganMs, endedMs, heldMs: said.heldMs, missing: missing.length });
    say(`  acknowledged so far ${acknowledged.length}, lost ${missing.length}`);
    if (at === 0 && newWritesSeconds > 0) await watchFor(migrate, newWritesSeconds, say);
    await sleep(settleSeconds * 1000);
  }
  return moments;
}

/** New writes on green, brought to blue, before the way back. */
async function watchFor(migrate: Migrate, seconds: number, say: WholeOptions['say']) {
  const watching = migrate('watch');
  watching.catch(() => {});
  await sleep(seconds * 1000);
  const lag = await sampleLag(migrate, 2);
  await migrate('stop');
  await watching;
  say(`watch: ${Math.round(seconds)} s of new writes; ${lag}`);
}
