import { performance } from 'node:perf_hooks';
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  Registry,
} from 'prom-client';

/** Things worth an alert or a graph: each is a value of the label `event`. */
export const metricEvents = {
  refresh_reuse: 'A spent refresh token came back after its grace window; its family was revoked.',
  generation_ahead: 'A refresh token is ahead of its row: the database lost writes. Alert on it.',
  code_replay: 'A code was redeemed twice; what it issued was revoked.',
  feed_stale: 'A request waited for the revocation feed in vain and was answered 503.',
  feed_overflow: 'There are more facts than the memory limit; checks go to PostgreSQL.',
  feed_recovered: 'The facts fit into memory again and were read anew.',
  database_restored: 'The database has lost facts that were seen: it was restored. Alert on it.',
  key_rotated: 'A new key took its place.',
  clock_skew: 'The clock of this machine and that of the database differ.',
  client_cache_miss: 'A client was read from PostgreSQL.',
  admin_denied: 'An admin door was refused: no credential, a wrong one, or the wrong role.',
  rate_limited: 'A request was answered 429.',
  request_failed: 'A request was answered 500: a bug. Alert on it.',
  audit_lost: 'An entry of the audit log could not be written. Alert on it.',
} as const;
export type MetricEvent = keyof typeof metricEvents;

/** Numbers that are read when somebody asks for the metrics. */
export const gauges = {
  database_connections: 'Open connections to PostgreSQL.',
  database_connections_idle: 'Open connections to PostgreSQL that nobody uses now.',
  database_waiting: 'Callers that wait for a connection.',
  feed_lag_seconds: 'Seconds since the last successful poll of the revocation feed began.',
  facts_in_memory: 'Revocation facts held in memory: all, or none while they are over the limit.',
  facts_over_limit: '1 while there are more facts than the limit, and PostgreSQL is asked; else 0.',
  clients_in_memory: 'Clients held in memory.',
  requests_in_flight: 'Requests that are being answered now.',
  event_loop_utilization: 'Share of the time since the last reading that the event loop was busy.',
} as const;
export type GaugeName = keyof typeof gauges;

/** The metrics of one process. Every call on the hot path costs well under a microsecond. */
export interface Metrics {
  /** One answered request; `route` is the pattern, never a path. */
  requestEnded(route: string, method: string, status: number, seconds: number): void;
  /** One statement of a batch: what it writes, how many rows it carried, how long it took. */
  batchSent(kind: string, rows: number, seconds: number): void;
  /** One successful poll of the feed, and how many facts it brought. */
  feedPolled(seconds: number, facts: number): void;
  /** An expected refusal: the endpoint's name and the reason in the refusal table. */
  refused(endpoint: string, reason: string): void;
  event(name: MetricEvent): void;
  /** Rows that the sweeper removed from a table. */
  swept(table: string, rows: number): void;
  /** Registers where a gauge is read from; with several readers of one name it is their sum. */
  gauge(name: GaugeName, read: () => number): void;
  /** The Prometheus text format. */
  exposition(): Promise<string>;
  /** What was counted so far, for {@link summed}. */
  snapshot(): Promise<object[]>;
  readonly contentType: string;
}

/** The text format of several processes together, each by its {@link Metrics.snapshot}. */
export async function summed(snapshots: readonly object[][]): Promise<string> {
  return AggregatorRegistry.aggregate([...snapshots]).metrics();
}

/** How the processes of one machine make one number; the others add up. */
const together: Readonly<Partial<Record<GaugeName, 'max' | 'average'>>> = {
  feed_lag_seconds: 'max',
  facts_in_memory: 'max',
  facts_over_limit: 'max',
  clients_in_memory: 'max',
  event_loop_utilization: 'average',
};

const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const rowsBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/** Label values are words of ours, yet a bug must not grow memory: above this they are `other`. */
const labelValuesMax = 500;

/** Makes the metrics of this process, on a registry of their own. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const made = definitions(registry);
  const sources = new Map<GaugeName, (() => number)[]>();
  for (const [name, help] of entries(gauges)) addGauge(registry, sources, name, help);
  sources.set('event_loop_utilization', [utilizationReader()]);
  for (const event of keys(metricEvents)) made.events.inc({ event }, 0);
  const known = new Set<string>();
  const bounded = (value: string) => {
    if (known.has(value)) return value;
    if (known.size >= labelValuesMax) return 'other';
    known.add(value);
    return value;
  };
  // Measured on one core, Node 24: requestEnded 0.5 us, batchSent 0.6 us, feedPolled 0.3 us,
  // refused 0.3 us, event 0.2 us. prom-client hashes the labels on each call; children of a metric
  // do so too, so keeping them would gain nothing.
  return {
    requestEnded(route, method, status, seconds) {
      made.requests.observe({ route: bounded(route), method, status }, seconds);
    },
    batchSent(kind, rows, seconds) {
      const batch = bounded(kind);
      made.batchSeconds.observe({ kind: batch }, seconds);
      made.batchRows.observe({ kind: batch }, rows);
    },
    feedPolled(seconds, facts) {
      made.feedSeconds.observe(seconds);
      if (facts > 0) made.feedFacts.inc(facts);
    },
    refused: (endpoint, reason) =>
      made.refusals.inc({ endpoint: bounded(endpoint), reason: bounded(reason) }),
    event: (event) => made.events.inc({ event }),
    swept: (table, rows) => made.swept.inc({ table: bounded(table) }, rows),
    gauge: (name, read) => {
      sources.set(name, [...(sources.get(name) ?? []), read]);
    },
    exposition: () => registry.metrics(),
    snapshot: () => registry.getMetricsAsJSON(),
    contentType: registry.contentType,
  };
}

function definitions(registry: Registry) {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 20 });
  const registers = [registry];
  return {
    requests: new Histogram({
      name: 'gatehouse_request_seconds',
      help: 'Time to answer, by route pattern, method and status.',
      labelNames: ['route', 'method', 'status'],
      buckets: secondsBuckets,
      registers,
    }),
    batchSeconds: new Histogram({
      name: 'gatehouse_batch_seconds',
      help: 'Time of one batched statement, by what it writes.',
      labelNames: ['kind'],
      buckets: secondsBuckets,
      registers,
    }),
    batchRows: new Histogram({
      name: 'gatehouse_batch_rows',
      help: 'Rows in one batched statement.',
      labelNames: ['kind'],
      buckets: rowsBuckets,
      registers,
    }),
    feedSeconds: new Histogram({
      name: 'gatehouse_feed_poll_seconds',
      help: 'Time of one successful poll of the revocation feed.',
      buckets: secondsBuckets,
      registers,
    }),
    feedFacts: new Counter({
      name: 'gatehouse_feed_facts_total',
      help: 'Facts that polls have brought.',
      registers,
    }),
    refusals: new Counter({
      name: 'gatehouse_refusals_total',
      help: 'Expected refusals, by endpoint and reason (docs/refusals.md).',
      labelNames: ['endpoint', 'reason'],
      registers,
    }),
    events: new Counter({
      name: 'gatehouse_events_total',
      help: 'Events of the protocol and its machinery (docs/metrics.md).',
      labelNames: ['event'],
      registers,
    }),
    swept: new Counter({
      name: 'gatehouse_swept_rows_total',
      help: 'Rows that the sweeper removed, by table.',
      labelNames: ['table'],
      registers,
    }),
  };
}

function addGauge(
  registry: Registry,
  sources: ReadonlyMap<GaugeName, readonly (() => number)[]>,
  name: GaugeName,
  help: string,
): void {
  const gauge = new Gauge({
    name: `gatehouse_${name}`,
    help,
    aggregator: together[name] ?? 'sum',
    registers: [registry],
    collect: () => {
      const readers = sources.get(name) ?? [];
      gauge.set(readers.reduce((sum, read) => sum + read(), 0));
    },
  });
}

function utilizationReader(): () => number {
  let before = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  };
}

function keys<T extends Record<string, unknown>>(table: T): (keyof T & string)[] {
  return Object.keys(table);
}

function entries<T extends Record<string, string>>(table: T): [keyof T & string, string][] {
  return Object.entries(table);
}
