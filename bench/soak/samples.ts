import type { Gatehouse } from '../deployments/gatehouse.ts';
import { createLatencies, type Latencies } from '../driver/latencies.ts';
import {
  connectionsTo,
  handlesOf,
  machineLoad,
  processesOf,
  programOf,
  residentBytes,
} from '../measure/processes.ts';
import type { ProcessMemory } from './memory.ts';
import type { Series } from './trend.ts';

/** One look at a server under load. */
export interface Sample {
  /** Since the load began. */
  readonly minutes: number;
  /** Of all server processes together, whatever they could give back included. */
  readonly rssMb: number;
  readonly heapMb: number;
  /** Open files and sockets of all server processes. */
  readonly handles: number;
  /** Of these, connections that clients keep open. */
  readonly clients: number;
  /** Connections to PostgreSQL. */
  readonly connections: number;
  /** Milliseconds from when an operation was due, since the last sample. */
  readonly p50: number;
  readonly p99: number;
  readonly perSecond: number;
  /** Load average of the machine. */
  readonly load: number;
}

/** Takes samples; latencies are counted from one sample to the next. */
export interface Sampler {
  /** On the machine's monotonic clock. */
  readonly begunAtMs: number;
  readonly latencies: Pick<Latencies, 'record'>;
  sample(): Promise<Sample>;
}

/** Begins to count. */
export function createSampler(deployment: Gatehouse): Sampler {
  const begunAtMs = Number(process.hrtime.bigint() / 1_000_000n);
  const begunAt = performance.now();
  let current = createLatencies();
  let sampledAt = begunAt;
  return {
    begunAtMs,
    latencies: { record: (ms) => current.record(ms) },
    async sample() {
      const now = performance.now();
      const latencies = current;
      current = createLatencies();
      const seconds = (now - sampledAt) / 1000;
      sampledAt = now;
      const nodes = processesOf(deployment.serverPid).filter((pid) => programOf(pid) === 'node');
      const sum = (read: (pid: number) => number) =>
        nodes.reduce((total, pid) => total + read(pid), 0);
      return {
        minutes: (now - begunAt) / 60_000,
        rssMb: sum(residentBytes) / 1e6,
        heapMb: (await deployment.heapBytes()) / 1e6,
        handles: sum(handlesOf),
        clients: connectionsTo([deployment.endpoints.publicPort, deployment.adminPort]),
        connections: await deployment.gauge.connections(),
        p50: latencies.percentile(0.5),
        p99: latencies.percentile(0.99),
        perSecond: latencies.count / seconds,
        load: machineLoad().load,
      };
    },
  };
}

/** What a process may gain: 1 MB a minute is to be found, and facts come at 0.1 MB a minute. */
const mbPerMinuteMax = 0.5;

/** The numbers that must not grow. `begunAtMs`: when the load began, on the monotonic clock. */
export function seriesOf(
  samples: readonly Sample[],
  memories: readonly ProcessMemory[],
  begunAtMs: number,
): readonly Series[] {
  return [
    ...memories.flatMap((memory) => memorySeries(memory, begunAtMs)),
    {
      // How many connections clients keep is theirs to say; one that we forget to end is none of them.
      name: 'handles but those of clients',
      unit: '',
      stretch: 'least',
      allowed: { perMinute: 0.5 },
      points: samples.map(({ minutes, handles, clients }) => [minutes, handles - clients]),
    },
    {
      name: 'connections to PostgreSQL',
      unit: '',
      stretch: 'least',
      allowed: { perMinute: 0.1 },
      points: samples.map(({ minutes, connections }) => [minutes, connections]),
    },
    {
      name: 'p99',
      unit: 'ms',
      stretch: 'middle',
      allowed: { share: 0.2 },
      points: undisturbed(samples, memories, begunAtMs).map(({ minutes, p99 }) => [minutes, p99]),
    },
  ];
}

/** A process that collects stands still for 0.1 s, and what was due meanwhile ends a moment later. */
const standstillMinutes = 1 / 60;

/** Samples in whose time no process was made to collect: else p99 is that of the instrument. */
function undisturbed(
  samples: readonly Sample[],
  memories: readonly ProcessMemory[],
  begunAtMs: number,
): readonly Sample[] {
  const collections = memories.flatMap(({ readings }) =>
    readings.map(({ atMs }) => (atMs - begunAtMs) / 60_000),
  );
  return samples.filter(({ minutes }, at) => {
    const since = (samples[at - 1]?.minutes ?? 0) - standstillMinutes;
    return !collections.some((collected) => collected > since && collected <= minutes);
  });
}

function memorySeries({ name, readings }: ProcessMemory, begunAtMs: number): readonly Series[] {
  const how = { unit: 'MB', stretch: 'least', allowed: { perMinute: mbPerMinuteMax } } as const;
  const minutesOf = (atMs: number) => (atMs - begunAtMs) / 60_000;
  return [
    {
      ...how,
      name: `RSS, ${name}`,
      points: readings.map(({ atMs, rss }) => [minutesOf(atMs), rss / 1e6]),
    },
    {
      ...how,
      name: `heap, ${name}`,
      points: readings.map(({ atMs, heapUsed }) => [minutesOf(atMs), heapUsed / 1e6]),
    },
  ];
}
