import { setTimeout as sleep } from 'node:timers/promises';
import { type Gatehouse, startGatehouse } from '../deployments/gatehouse.ts';
import { createLatencies } from '../driver/latencies.ts';
import { closedLoop, type Load, openLoop } from '../driver/load.ts';
import { patiently } from '../modes.ts';
import { type Machine, machineOf, versionOf } from '../results.ts';
import { WrongAnswer } from '../run.ts';
import { withStopped } from '../session.ts';
import { watchMemory } from './memory.ts';
import { connectedAtStart, createMix, operate } from './mix.ts';
import { createSampler, type Sample, type Sampler, seriesOf } from './samples.ts';
import { type Series, type Trend, trendOf } from './trend.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly processes: number;
  /** Share of the measured capacity that is asked for. */
  readonly share: number;
  readonly say: (line: string) => void;
}

/** A whole soak, as it is stored. */
export interface Soak {
  readonly date: string;
  readonly gatehouse: string;
  readonly machine: Machine;
  readonly minutes: number;
  readonly processes: number;
  readonly capacityPerSecond: number;
  readonly ratePerSecond: number;
  readonly operations: number;
  /** Answered with 503. */
  readonly unavailable: number;
  readonly samples: readonly Sample[];
  /** What is judged, and how. */
  readonly judged: readonly Judged[];
}

/** A number with its judgement. */
export interface Judged extends Series {
  readonly trend: Trend;
}

/** At a part of its capacity a server has no reason for more. */
const unavailableShareMax = 0.001;

/** False: the load that was asked for was answered with 503 instead, so what is flat says nothing. */
export function isServed({ operations, unavailable }: Pick<Soak, 'operations' | 'unavailable'>) {
  return unavailable <= operations * unavailableShareMax;
}

const lanesPerProcess = 128;
const samplesMax = 180;
const sampleSecondsMin = 0.5;
/** Warm-up and measurement of the capacity, at most and as a share of the soak. */
const capacitySecondsMax = 30;
const capacityShare = 0.1;
/** Operators are busy so often; every so many times they make a signing key. */
const operateSecondsMax = 10;
const operationsPerKey = 30;
/** Garbage is collected so often; in a short soak more often, but not all the time. */
const collectSecondsMax = 30;
const collectSecondsMin = 5;
const collectionsMin = 24;

/** Drives a server at part of its capacity, with everything that happens in production. */
export function runSoak(options: SoakOptions): Promise<Soak> {
  return withStopped(async (started) => {
    const { minutes, processes } = options;
    const seconds = minutes * 60;
    const often = Math.max(collectSecondsMin, seconds / collectionsMin);
    const collectSeconds = Math.min(collectSecondsMax, often);
    const memory = started(await watchMemory(collectSeconds * 1000));
    const { nodeArgs } = memory;
    const deployment = started(await startGatehouse({ processes, nodeArgs }));
    const lanes = lanesPerProcess * processes;
    const visitors = Array.from({ length: lanes }, () => deployment.visitor());
    const mix = createMix(deployment, visitors);
    await mix.fill(connectedAtStart);
    const capacitySeconds = Math.min(capacitySecondsMax, seconds * capacityShare);
    const full = () =>
      closedLoop({
        lanes: 32 * processes,
        seconds: capacitySeconds,
        latencies: createLatencies(),
        operation: mix.operation,
      });
    ensureRight(await full());
    const reached = ensureRight(await full());
    const capacityPerSecond = reached.operations / reached.seconds;
    const ratePerSecond = Math.max(1, Math.round(capacityPerSecond * options.share));
    options.say(
      `capacity ${capacityPerSecond.toFixed(0)} operations a second; ` +
        `${ratePerSecond} a second for ${minutes} minutes`,
    );
    const sampler = createSampler(deployment);
    const end = new AbortController();
    const sampling = sampleUntil(end.signal, sampler, seconds, options.say);
    const operating = operateUntil(end.signal, deployment, seconds);
    // Whatever goes wrong beside the load ends the load.
    const stopped = () => end.signal.aborted;
    for (const beside of [sampling, operating]) beside.catch(() => end.abort());
    const { latencies } = sampler;
    const { operation } = mix;
    const load = await openLoop({ lanes, seconds, latencies, operation, ratePerSecond, stopped });
    end.abort();
    const samples = await sampling;
    await operating;
    const memories = await memory.read(deployment.serverPid, processes > 1 ? processes : 0);
    for (const visitor of visitors) visitor.close();
    ensureRight(load);
    return {
      date: new Date().toISOString(),
      gatehouse: versionOf('.'),
      machine: machineOf(await deployment.gauge.version()),
      minutes,
      processes,
      capacityPerSecond,
      ratePerSecond,
      operations: load.operations,
      unavailable: load.unavailable,
      samples,
      judged: seriesOf(samples, memories, sampler.begunAtMs).map((series) => ({
        ...series,
        trend: trendOf(series, minutes),
      })),
    };
  });
}

async function sampleUntil(
  signal: AbortSignal,
  sampler: Sampler,
  seconds: number,
  say: (line: string) => void,
): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const everyMs = Math.max(sampleSecondsMin, seconds / samplesMax) * 1000;
  while (await pause(everyMs, signal)) {
    const sample = await sampler.sample();
    samples.push(sample);
    say(
      `${sample.minutes.toFixed(1)} min: ${sample.perSecond.toFixed(0)}/s, ` +
        `p50 ${sample.p50.toFixed(1)} p99 ${sample.p99.toFixed(1)} ms, ` +
        `RSS ${sample.rssMb.toFixed(0)} MB, heap ${sample.heapMb.toFixed(0)} MB, ` +
        `${sample.handles} handles (${sample.clients} of clients), ` +
        `${sample.connections} connections, load ${sample.load}`,
    );
  }
  return samples;
}

async function operateUntil(
  signal: AbortSignal,
  deployment: Gatehouse,
  seconds: number,
): Promise<void> {
  const everyMs = Math.min(operateSecondsMax, seconds / 10) * 1000;
  for (let times = 1; await pause(everyMs, signal); times++) {
    const isKeyDue = times % operationsPerKey === 1;
    const alg = times % (2 * operationsPerKey) === 1 ? 'RS256' : 'ES256';
    await patiently(() => operate(deployment, isKeyDue ? alg : undefined));
  }
}

/** False where the signal came first. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return sleep(ms, true, { signal }).catch(() => false);
}

function ensureRight(load: Load): Load {
  if (load.errors > 0) {
    throw new WrongAnswer(`${load.errors} wrong answers; the first: ${load.firstError}`);
  }
  return load;
}
