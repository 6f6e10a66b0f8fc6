import type { Gatehouse } from '../deployments/gatehouse.ts';
import { createLatencies, type Latencies } from '../driver/latencies.ts';
import {
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
    // Both are whole numbers, which come and go with the keep-alive connections and with the pool.
    sampled('handles', {
      name: 'handles',
      unit: '',
      stretch: 'least',
      allowed: { perMinute: 0.5 },
    }),
    sampled('connections', {
      name: 'connections to PostgreSQL',
      unit: '',
      stretch: 'least',
      allowed: { perMinute: 0.1 },
    }),
    sampled('p99', { name: 'p99', unit: 'ms', stretch: 'middle', allowed: { share: 0.2 } }),
  ];

  function sampled(key: 'handles' | 'connections' | 'p99', how: Omit<Series, 'points'>): Series {
    return { ...how, points: samples.map((sample) => [sample.minutes, sample[key]]) };
  }
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
