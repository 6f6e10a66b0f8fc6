import type { Gatehouse } from '../deployments/gatehouse.ts';
import { createLatencies, type Latencies } from '../driver/latencies.ts';
import {
  handlesOf,
  machineLoad,
  processesOf,
  programOf,
  residentBytes,
} from '../measure/processes.ts';
import { mean, slopeOf } from '../statistics.ts';

/** One look at a server under load. */
export interface Sample {
  /** Since the load began. */
  readonly minutes: number;
  /** Of all server processes together. */
  readonly rssMb: number;
  /** Mean of the processes. */
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

/** The numbers that must not grow, and by how much of their mean they may over the judged time. */
export const judged = {
  rssMb: { name: 'RSS', unit: 'MB', shareMax: 0.05 },
  heapMb: { name: 'heap in use', unit: 'MB', shareMax: 0.1 },
  handles: { name: 'handles', unit: '', shareMax: 0.02 },
  connections: { name: 'connections to PostgreSQL', unit: '', shareMax: 0.02 },
  p99: { name: 'p99', unit: 'ms', shareMax: 0.2 },
} as const;
export type Judged = keyof typeof judged;

/** How one number developed after the warm-up. */
export interface Trend {
  readonly key: Judged;
  readonly mean: number;
  /** Over the judged time, by the straight line through it; and how far off that may be (95 %). */
  readonly growth: number;
  readonly uncertainty: number;
  /** `unclear`: it did not grow for sure, but the samples are too noisy to exclude it. */
  readonly verdict: 'flat' | 'grows' | 'unclear';
}

/** Takes samples; latencies are counted from one sample to the next. */
export interface Sampler {
  readonly latencies: Pick<Latencies, 'record'>;
  sample(): Promise<Sample>;
}

/** Begins to count. */
export function createSampler(deployment: Gatehouse): Sampler {
  const begunAt = performance.now();
  let current = createLatencies();
  let sampledAt = begunAt;
  return {
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
      const heaps: number[] = [];
      // Each scrape is a connection of its own, and reaches the processes in turn.
      for (let i = 0; i < deployment.processes; i++) heaps.push(await deployment.heapBytes());
      return {
        minutes: (now - begunAt) / 60_000,
        rssMb: sum(residentBytes) / 1e6,
        heapMb: mean(heaps) / 1e6,
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

/** The first part of the time, in which memory fills and code is compiled. */
export const warmShare = 1 / 3;

/** Judges what came after the warm-up. */
export function trendsOf(samples: readonly Sample[]): readonly Trend[] {
  const end = samples.at(-1)?.minutes ?? 0;
  const late = samples.filter(({ minutes }) => minutes >= end * warmShare);
  const span = end - (late[0]?.minutes ?? 0);
  return keys().map((key) => {
    const points = late
      .filter((sample) => Number.isFinite(sample[key]))
      .map((sample) => [sample.minutes, sample[key]] as const);
    const average = mean(points.map(([, y]) => y));
    const slope = slopeOf(points);
    const growth = slope.perUnit * span;
    const uncertainty = slope.uncertainty * span;
    const limit = judged[key].shareMax * average;
    const verdict =
      growth - uncertainty > limit ? 'grows' : growth + uncertainty <= limit ? 'flat' : 'unclear';
    return { key, mean: average, growth, uncertainty, verdict };
  });
}

function keys(): readonly Judged[] {
  return ['rssMb', 'heapMb', 'handles', 'connections', 'p99'];
}
