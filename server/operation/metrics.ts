/** Things worth an alert or a graph, each a counter. */
export type MetricEvent =
  | 'refresh_reuse'
  | 'refresh_retry'
  | 'generation_ahead'
  | 'code_replay'
  | 'feed_stale'
  | 'feed_overflow'
  | 'key_rotated'
  | 'clock_skew'
  | 'client_cache_miss'
  | 'admin_denied'
  | 'rate_limited'
  | 'batch_retried_singly';

/** Numbers that are read when somebody asks for the metrics. */
export type GaugeName =
  | 'database_connections'
  | 'database_connections_idle'
  | 'database_waiting'
  | 'feed_lag_seconds'
  | 'facts_in_memory'
  | 'clients_in_memory'
  | 'requests_in_flight';

/** The metrics of one process. Calls on the hot path cost well under a microsecond. */
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
  /** Registers where a gauge is read from; a second call for the same name takes its place. */
  gauge(name: GaugeName, read: () => number): void;
  /** The Prometheus text format. */
  exposition(): Promise<string>;
  readonly contentType: string;
}
