import type { Deployment } from '../deployments/deployment.ts';
import { createLatencies } from '../driver/latencies.ts';
import { closedLoop, type Load, openLoop } from '../driver/load.ts';
import type { Mode } from '../modes.ts';
import { cpuSecondsOf, processesOf, programOf, residentBytes } from './processes.ts';

/** Requests in flight per process. */
export const lanesPerProcess = 32;

/** One stretch of one mode at one deployment. CPU is of the server's and PostgreSQL's processes. */
export interface Slice {
  readonly operations: number;
  readonly errors: number;
  readonly unavailable: number;
  readonly firstError: string | undefined;
  readonly seconds: number;
  readonly serverMicroseconds: number;
  readonly postgresMicroseconds: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Of all server processes together. */
  readonly serverBytes: number;
  readonly heapBytes: number;
  /** On the monotonic clock, microseconds: what a profile's samples are compared with. */
  readonly beganAt: number;
  readonly endedAt: number;
}

export interface SliceOptions {
  readonly deployment: Deployment;
  readonly mode: Mode;
  readonly seconds: number;
  /** Absent: as fast as the server answers. */
  readonly ratePerSecond?: number;
  /** Absent: no end but the time. */
  readonly operationsMax?: number;
}

/** Prepares, measures and checks; throws where a check does not hold. */
export async function measureSlice(options: SliceOptions): Promise<Slice> {
  const { deployment, mode, seconds, ratePerSecond } = options;
  const { serverPid, postgresPid } = deployment;
  const lanes = lanesPerProcess * deployment.processes;
  const visitors = Array.from({ length: lanes }, () => deployment.visitor());
  try {
    const { operationsMax } = options;
    const prepared = await mode.prepare(deployment, visitors, { seconds, operationsMax });
    const latencies = createLatencies();
    const beganAt = monotonicMicroseconds();
    const server = cpuSecondsOf(serverPid);
    const postgres = cpuSecondsOf(postgresPid);
    const load = { lanes, seconds, latencies, operation: prepared.operation };
    const done: Load =
      ratePerSecond === undefined
        ? await closedLoop(operationsMax === undefined ? load : { ...load, operationsMax })
        : await openLoop({ ...load, ratePerSecond });
    const endedAt = monotonicMicroseconds();
    const perOperation = (cpuSeconds: number) => (cpuSeconds / done.operations) * 1e6;
    const slice: Slice = {
      operations: done.operations,
      errors: done.errors,
      unavailable: done.unavailable,
      firstError: done.firstError,
      seconds: done.seconds,
      serverMicroseconds: perOperation(cpuSecondsOf(serverPid) - server),
      postgresMicroseconds: perOperation(cpuSecondsOf(postgresPid) - postgres),
      p50: latencies.percentile(0.5),
      p95: latencies.percentile(0.95),
      p99: latencies.percentile(0.99),
      serverBytes: nodeBytes(serverPid),
      heapBytes: await deployment.heapBytes(),
      beganAt,
      endedAt,
    };
    await prepared.check?.();
    return slice;
  } finally {
    for (const visitor of visitors) visitor.close();
    deployment.ensureAlive();
  }
}

function nodeBytes(serverPid: number): number {
  return processesOf(serverPid)
    .filter((pid) => programOf(pid) === 'node')
    .reduce((sum, pid) => sum + residentBytes(pid), 0);
}

/** The clock of V8's profiles. */
function monotonicMicroseconds(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
