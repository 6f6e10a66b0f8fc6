import { AsyncLocalStorage } from 'node:async_hooks';
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { getCACertificates } from 'node:tls';
import {
  type Attributes,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { parseTraceParent } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Config } from '#server/config/config.ts';
import type { Statement } from '#server/store/database.ts';
import { version } from '#server/version.ts';
import type { Log, LogFields } from './log.ts';
import type { TracedRequest, Tracing } from './tracing.ts';

/** Spans that wait to be sent; above it they are dropped, and requests are not. */
const queueMax = 4096;
const sendMsMax = 5000;
const everyMs = 1000;

export type SpanSettings = Pick<Config, 'otlpServiceName' | 'otlpSampleRatio' | 'extraCa'> & {
  readonly otlpEndpoint: string;
};

/** The traces of a process that sends them, by OTLP over HTTP with protobuf. */
export function startSpans(settings: SpanSettings, log: Log): Tracing {
  warnBy(log);
  const exporter = new OTLPTraceExporter({
    url: tracesUrl(settings.otlpEndpoint),
    timeoutMillis: sendMsMax,
    ...(settings.extraCa === undefined ? {} : { httpAgentOptions: trusting(settings.extraCa) }),
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': settings.otlpServiceName,
      'service.version': version,
      'process.pid': process.pid,
    }),
    sampler: sharedSampler(settings.otlpSampleRatio),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: queueMax,
        scheduledDelayMillis: everyMs,
        exportTimeoutMillis: sendMsMax,
      }),
    ],
    spanLimits: { attributeValueLengthLimit: 200, attributeCountLimit: 16 },
  });
  const tracer = provider.getTracer('gatehouse', version);
  const current = new AsyncLocalStorage<Span>();
  const within = spanner(tracer, current);
  const traceId = () => {
    const span = current.getStore();
    return span?.isRecording() ? span.spanContext().traceId : undefined;
  };
  return {
    request: (request, work, statusOf) => traceRequest(tracer, current, request, work, statusOf),
    database: (database) => ({
      ...database,
      query: (statement: Statement, values: readonly unknown[]) =>
        within(`sql ${statement.name}`, sqlAttributes(statement, values), () =>
          database.query(statement, values),
        ),
    }),
    feed: (feed) => ({
      ...feed,
      fresh() {
        const wait = feed.fresh();
        return wait && within('feed fresh', {}, () => wait);
      },
      born: () => within('feed born', {}, () => feed.born()),
      acknowledged: () => within('feed acknowledged', {}, () => feed.acknowledged()),
    }),
    writes: (writes) => ({
      redeem: (chain) => within('write redeem', {}, () => writes.redeem(chain)),
      refresh: (attempt) => within('write refresh', {}, () => writes.refresh(attempt)),
      beginSession: (one) => within('write session', {}, () => writes.beginSession(one)),
      giveGrant: (grant) => within('write grant', {}, () => writes.giveGrant(grant)),
      revoke: (one) => within('write revoke', {}, () => writes.revoke(one)),
    }),
    log: (plain) => tracedLog(plain, traceId),
    async close() {
      await Promise.race([
        provider.shutdown().catch(() => {}),
        new Promise((resolve) => setTimeout(resolve, sendMsMax).unref()),
      ]);
      diag.disable();
    },
  };
}

/**
 * A share of the traces, by the trace's id, so that services in front with the same share agree; not
 * by the caller's flag, with which a stranger could have everything recorded. Strangers choose the
 * id as well, so on the public listener it counts only under a key that this process alone knows.
 */
function sharedSampler(ratio: number): Sampler {
  const byId = new TraceIdRatioBasedSampler(ratio);
  const key = randomBytes(32);
  return {
    shouldSample(context, traceId, _name, _kind, attributes) {
      const parent = trace.getSpanContext(context);
      if (parent === undefined) return byId.shouldSample(context, traceId);
      if (parent.isRemote !== true) {
        const recorded = (parent.traceFlags & TraceFlags.SAMPLED) !== 0;
        return { decision: recorded ? recordAndSample : notRecord };
      }
      if (attributes['gatehouse.listener'] !== 'public') return byId.shouldSample(context, traceId);
      const own = createHmac('sha256', key).update(traceId).digest('hex').slice(0, 32);
      return byId.shouldSample(context, own);
    },
    toString: () => `SharedSampler{${ratio}}`,
  };
}

const { RECORD_AND_SAMPLED: recordAndSample, NOT_RECORD: notRecord } = SamplingDecision;

type Within = <Result>(
  name: string,
  attributes: Attributes,
  work: () => Promise<Result>,
) => Promise<Result>;

/** Runs work in a span below the one that is going on. */
function spanner(tracer: Tracer, current: AsyncLocalStorage<Span>): Within {
  return async (name, attributes, work) => {
    const parent = current.getStore();
    // What nobody asked for (sweeps, polls) gives no traces of its own.
    if (parent === undefined || !parent.isRecording()) return work();
    const context = trace.setSpan(ROOT_CONTEXT, parent);
    const kind = name.startsWith('sql ') ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const span = tracer.startSpan(name, { kind, attributes }, context);
    try {
      return await current.run(span, work);
    } catch (error) {
      fail(span, error);
      throw error;
    } finally {
      span.end();
    }
  };
}

async function traceRequest(
  tracer: Tracer,
  current: AsyncLocalStorage<Span>,
  request: TracedRequest,
  work: () => Promise<void>,
  statusOf: () => number,
): Promise<string | undefined> {
  const { route, method, requestId, listener } = request;
  const remote = request.traceparent === undefined ? null : parseTraceParent(request.traceparent);
  // The built-in pages call the admin doors from within a request.
  const inside = current.getStore();
  const context =
    inside === undefined
      ? remote === null
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, { ...remote, isRemote: true })
      : trace.setSpan(ROOT_CONTEXT, inside);
  const attributes: Attributes = {
    'http.request.method': method,
    'http.route': route,
    'gatehouse.request_id': requestId,
    'gatehouse.listener': listener,
  };
  const span = tracer.startSpan(
    `${method} ${route}`,
    { kind: SpanKind.SERVER, attributes },
    context,
  );
  try {
    await current.run(span, work);
    return span.isRecording() ? span.spanContext().traceId : undefined;
  } catch (error) {
    fail(span, error);
    throw error;
  } finally {
    const status = statusOf();
    span.setAttribute('http.response.status_code', status);
    // Semantic conventions for HTTP servers: a 4xx is the caller's error, not ours.
    if (status >= 500) {
      span.setStatus({ code: SpanStatusCode.ERROR });
      span.setAttribute('error.type', String(status));
    }
    span.end();
  }
}

/** The kind of an error; its message may quote what was sent. */
function fail(span: Span, error: unknown): void {
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.setAttribute('error.type', error instanceof Error ? error.name : 'unknown');
}

function sqlAttributes(statement: Statement, values: readonly unknown[]): Attributes {
  const [first] = values;
  return {
    'db.system.name': 'postgresql',
    'db.operation.name': statement.name,
    ...(Array.isArray(first) ? { 'db.operation.batch.size': first.length } : {}),
  };
}

/** For a collector whose certificate is not of a public authority. */
function trusting(extraCa: string) {
  return { keepAlive: true, ca: [...getCACertificates('default'), readFileSync(extraCa, 'utf8')] };
}

/** A URL with a path of its own is taken as it is; else the path that OTLP gives traces. */
function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return url.href;
}

/** A collector that is away is worth a line a minute, not one for each batch. */
function warnBy(log: Log): void {
  let warnedMs = Number.NEGATIVE_INFINITY;
  const warn = () => {
    if (performance.now() - warnedMs < 60_000) return;
    warnedMs = performance.now();
    log.warn('traces_not_sent');
  };
  const silent = () => {};
  diag.setLogger(
    { error: warn, warn, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

function tracedLog(log: Log, traceId: () => string | undefined): Log {
  const withTrace = (fields: LogFields | undefined): LogFields | undefined => {
    const id = traceId();
    return id === undefined ? fields : { ...fields, traceId: id };
  };
  return {
    ...log,
    debug: (event, fields) => log.debug(event, withTrace(fields)),
    info: (event, fields) => log.info(event, withTrace(fields)),
    warn: (event, fields, cause) => log.warn(event, withTrace(fields), cause),
    error: (event, fields, cause) => log.error(event, withTrace(fields), cause),
    child: (fields) => tracedLog(log.child(fields), traceId),
  };
}
