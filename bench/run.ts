import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Deployment, nameOf } from './deployments/deployment.ts';
import { countsBetween, type DatabaseCounts, settleMs } from './measure/database.ts';
import type { Echo } from './measure/echo.ts';
import { machineLoad } from './measure/processes.ts';
import { lanesPerProcess, measureSlice, type Slice } from './measure/slice.ts';
import { type Mode, type ModeName, modeOf, patiently } from './modes.ts';
import { machineOf, type Result, type Run, type Spread, versionOf } from './results.ts';
import { mean, median } from './statistics.ts';

/** What to measure, and how long. */
export interface Plan {
  readonly modes: readonly ModeName[];
  /** Length of a slice. */
  readonly seconds: number;
  /** Slices of each mode at each deployment. */
  readonly rounds: number;
  /** Times the warm-up that each mode asks for. */
  readonly warm: number;
  /** Whether latencies at half of capacity and the database's counts are taken too. */
  readonly thorough: boolean;
}

/** What is measured, and who is told how it goes. */
export interface Bench {
  readonly deployments: readonly Deployment[];
  readonly echo: Echo;
  readonly say: (line: string) => void;
}

/** A slice with what an echo cost right before and after it. */
interface Measured extends Slice {
  readonly echoMicroseconds: number;
  /** The same of as many bare servers as the deployment has processes. */
  readonly crowdMicroseconds: number;
}

const warmSecondsMax = 240;
/** More 503 than this, and what was measured is not the operation any more. */
const unavailableShareMax = 0.02;
const echoSecondsMax = 1;

/**
 * Measures every mode at every deployment, `rounds` times in turn: ours, the peer, ours with more
 * processes, so that a machine that gets slower does so for all. Throws on a wrong answer.
 */
export async function measure(plan: Plan, bench: Bench): Promise<Run> {
  const { deployments, say } = bench;
  const before = machineLoad();
  const loadBefore = loadavg()[0] ?? 0;
  for (const name of plan.modes) {
    for (const deployment of deployments) await warmUp(plan, deployment, modeOf(name), say);
  }
  const { slices, echoes } = await measureRounds(plan, bench);
  const counts = plan.thorough ? await countAll(plan, bench) : new Map<string, PerOperation>();
  const results: Result[] = [];
  for (const name of plan.modes) {
    for (const deployment of deployments) {
      const key = keyOf(name, deployment);
      const measured = slices.get(key) ?? [];
      const open = plan.thorough && deployment.processes === 1;
      results.push({
        ...resultOf(name, deployment, measured, counts.get(key)),
        ...(open ? { open: await openResult(plan, bench, deployment, measured, name) } : {}),
      });
    }
  }
  const after = machineLoad();
  return {
    date: new Date().toISOString(),
    gatehouse: versionOf('.'),
    peer: `oidc-provider ${versionOf('node_modules/oidc-provider')}`,
    machine: machineOf(await postgresVersion(deployments)),
    seconds: plan.seconds,
    rounds: plan.rounds,
    warm: plan.warm,
    echo: spreadOf(echoes),
    load: {
      before: loadBefore,
      after: after.load,
      stolen: after.stolenSeconds - before.stolenSeconds,
    },
    results,
  };
}

async function warmUp(
  plan: Plan,
  deployment: Deployment,
  mode: Mode,
  say: Bench['say'],
): Promise<void> {
  const operationsMax = Math.ceil(mode.warmOperations * deployment.processes * plan.warm);
  const slice = await measureSlice({ deployment, mode, seconds: warmSecondsMax, operationsMax });
  if (slice.errors > 0) ensureRight(slice, mode.name, deployment);
  say(`warmed up ${mode.name} at ${nameOf(deployment)}: ${slice.operations} operations`);
}

async function measureRounds(plan: Plan, bench: Bench) {
  const { deployments, echo, say } = bench;
  const slices = new Map<string, Measured[]>();
  const total = plan.rounds * plan.modes.length * deployments.length;
  const echoSeconds = Math.min(echoSecondsMax, plan.seconds);
  const echoes = [await echo.measure(echoSeconds)];
  let done = 0;
  for (let round = 1; round <= plan.rounds; round++) {
    for (const name of plan.modes) {
      for (const deployment of deployments) {
        const mode = modeOf(name);
        const slice = await measureSlice({ deployment, mode, seconds: plan.seconds });
        ensureRight(slice, name, deployment);
        const { processes } = deployment;
        const crowd = processes > 1 ? await echo.measure(echoSeconds, processes) : undefined;
        echoes.push(await echo.measure(echoSeconds));
        const echoMicroseconds = mean(echoes.slice(-2));
        const measured = {
          ...slice,
          echoMicroseconds,
          crowdMicroseconds: crowd ?? echoMicroseconds,
        };
        const key = keyOf(name, deployment);
        slices.set(key, [...(slices.get(key) ?? []), measured]);
        done += 1;
        say(`${done}/${total} round ${round} ${lineOf(name, deployment, measured)}`);
      }
    }
  }
  return { slices, echoes };
}

function lineOf(name: ModeName, deployment: Deployment, slice: Measured): string {
  const microseconds = slice.serverMicroseconds + slice.postgresMicroseconds;
  return (
    `${name} at ${nameOf(deployment)}: ${microseconds.toFixed(0)} us ` +
    `(server ${slice.serverMicroseconds.toFixed(0)}, ` +
    `PostgreSQL ${slice.postgresMicroseconds.toFixed(0)}) = ` +
    `${(microseconds / slice.echoMicroseconds).toFixed(1)} echoes; ` +
    `${(slice.operations / slice.seconds).toFixed(0)}/s, p99 ${slice.p99.toFixed(1)} ms`
  );
}

/** What the database did for one operation. */
type PerOperation = Readonly<Record<keyof DatabaseCounts, number>>;

/**
 * What each mode makes the database do. PostgreSQL's processes report with a delay, so this has
 * its own slices with a pause before and after; nobody's CPU is measured meanwhile, so all
 * deployments go at once.
 */
async function countAll(plan: Plan, bench: Bench): Promise<Map<string, PerOperation>> {
  const found = new Map<string, PerOperation>();
  for (const name of plan.modes) {
    const mode = modeOf(name);
    bench.say(`counting what PostgreSQL does for ${name}`);
    await Promise.all(
      bench.deployments.map(async (deployment) => {
        const counted = await countOne(plan, deployment, mode);
        found.set(keyOf(name, deployment), counted);
      }),
    );
  }
  return found;
}

async function countOne(plan: Plan, deployment: Deployment, mode: Mode): Promise<PerOperation> {
  const lanes = lanesPerProcess * deployment.processes;
  const visitors = Array.from({ length: lanes }, () => deployment.visitor());
  const extent = { seconds: plan.seconds, operationsMax: undefined };
  const { operation } = await mode.prepare(deployment, visitors, extent);
  await sleep(settleMs);
  const before = await deployment.gauge.counts();
  const end = performance.now() + plan.seconds * 1000;
  let operations = 0;
  await Promise.all(
    visitors.map(async (_, lane) => {
      while (performance.now() < end && (await patiently(() => operation(lane)))) operations += 1;
    }),
  );
  await sleep(settleMs);
  const did = countsBetween(before, await deployment.gauge.counts());
  for (const visitor of visitors) visitor.close();
  return {
    commits: did.commits / operations,
    rowsWritten: did.rowsWritten / operations,
    temporaryBytes: did.temporaryBytes / operations,
    statements: did.statements / operations,
    walBytes: did.walBytes / operations,
  };
}

async function openResult(
  plan: Plan,
  bench: Bench,
  deployment: Deployment,
  measured: readonly Measured[],
  name: ModeName,
) {
  const capacity = median(measured.map(({ operations, seconds }) => operations / seconds));
  const ratePerSecond = Math.max(1, Math.round(capacity / 2));
  const mode = modeOf(name);
  const slice = await measureSlice({ deployment, mode, seconds: plan.seconds, ratePerSecond });
  ensureRight(slice, name, deployment);
  const { p50, p95, p99 } = slice;
  bench.say(`${name} at ${nameOf(deployment)}, ${ratePerSecond}/s: p99 ${p99.toFixed(1)} ms`);
  return { ratePerSecond, p50, p95, p99 };
}

function resultOf(
  mode: ModeName,
  { product, processes }: Deployment,
  slices: readonly Measured[],
  counts: PerOperation | undefined,
): Result {
  const all = (read: (slice: Measured) => number) => slices.map(read);
  const together = (slice: Measured) => slice.serverMicroseconds + slice.postgresMicroseconds;
  const microseconds = spreadOf(all(together));
  return {
    mode,
    product,
    processes,
    slices: slices.length,
    operations: all((slice) => slice.operations).reduce((sum, count) => sum + count, 0),
    unavailable: all((slice) => slice.unavailable).reduce((sum, count) => sum + count, 0),
    perSecond: median(all((slice) => slice.operations / slice.seconds)),
    microseconds,
    serverMicroseconds: median(all((slice) => slice.serverMicroseconds)),
    postgresMicroseconds: median(all((slice) => slice.postgresMicroseconds)),
    echoes: spreadOf(all((slice) => together(slice) / slice.echoMicroseconds)),
    crowd: median(all((slice) => slice.crowdMicroseconds / slice.echoMicroseconds)),
    perCoreSecond: 1e6 / microseconds.median,
    p50: median(all((slice) => slice.p50)),
    p95: median(all((slice) => slice.p95)),
    p99: median(all((slice) => slice.p99)),
    serverBytes: median(all((slice) => slice.serverBytes)),
    heapBytes: median(all((slice) => slice.heapBytes)),
    commits: counts?.commits ?? null,
    rowsWritten: counts?.rowsWritten ?? null,
    temporaryBytes: counts?.temporaryBytes ?? null,
    statements: counts?.statements ?? null,
    walBytes: counts?.walBytes ?? null,
  };
}

/** Thrown where a server answered wrongly: no number of such a run means anything. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer';
}

function ensureRight(slice: Slice, mode: ModeName, deployment: Deployment): void {
  if (slice.errors > 0) {
    throw new WrongAnswer(
      `${slice.errors} errors in ${mode} at ${nameOf(deployment)}; the first: ${slice.firstError}`,
    );
  }
  if (slice.unavailable > slice.operations * unavailableShareMax) {
    throw new WrongAnswer(
      `${nameOf(deployment)} answered 503 to ${slice.unavailable} of ` +
        `${slice.operations + slice.unavailable} ${mode}: it was overloaded`,
    );
  }
  if (slice.operations === 0) {
    throw new WrongAnswer(`${nameOf(deployment)} did no ${mode} in ${slice.seconds} s`);
  }
}

function keyOf(mode: ModeName, deployment: Deployment): string {
  return `${mode} ${nameOf(deployment)}`;
}

function spreadOf(numbers: readonly number[]): Spread {
  return { median: median(numbers), min: Math.min(...numbers), max: Math.max(...numbers) };
}

async function postgresVersion(deployments: readonly Deployment[]): Promise<string> {
  return (await deployments[0]?.gauge.version()) ?? 'unknown';
}
