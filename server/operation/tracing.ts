import type { Config } from '#server/config/config.ts';
import type { Database } from '#server/store/database.ts';
import type { Feed } from '#server/store/feed.ts';
import type { Writes } from '#server/writes.ts';
import type { Log } from './log.ts';

/** One request on its way in. */
export interface TracedRequest {
  readonly requestId: string;
  /** The route's pattern, never a path. */
  readonly route: string;
  readonly method: string;
  readonly listener: 'public' | 'admin';
  /** The W3C header of whoever calls, if there is one. */
  readonly traceparent: string | undefined;
}

/**
 * Traces of one process. Each function wraps a part of the node so that its work gives spans;
 * nothing of it is loaded, and nothing is wrapped, where GATEHOUSE_OTLP_ENDPOINT is not set.
 */
export interface Tracing {
  /**
   * Runs a request within a span; `statusOf` is asked when it has been answered. Gives the id of the
   * trace, if this one is recorded.
   */
  request(
    request: TracedRequest,
    work: () => Promise<void>,
    statusOf: () => number,
  ): Promise<string | undefined>;
  /** A span for each statement: its name and rows, never a value. */
  database<Queries extends Pick<Database, 'query'>>(database: Queries): Queries;
  /** A span for each wait until what is known is fresh, or until a revocation holds everywhere. */
  feed(feed: Feed): Feed;
  /** A span for each batched write: how long its caller waited. */
  writes(writes: Writes): Writes;
  /** Adds `traceId` to the lines of a request. */
  log(log: Log): Log;
  /** Sends what has gathered; gives up after a while. */
  close(): Promise<void>;
}

/** Opens the traces, if the settings ask for them. */
export async function openTracing(config: Config, log: Log): Promise<Tracing | undefined> {
  const { otlpEndpoint } = config;
  if (otlpEndpoint === undefined) return undefined;
  const { startSpans } = await import('./spans.ts');
  return startSpans({ ...config, otlpEndpoint }, log);
}
