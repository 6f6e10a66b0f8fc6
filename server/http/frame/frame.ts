import { randomUUID } from 'node:crypto';
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Hono } from 'hono';
import { routePath } from 'hono/route';
import { refuse } from '#core/refusal.ts';
import type { Config } from '#server/config/config.ts';
import type { Log } from '#server/operation/log.ts';
import type { Metrics } from '#server/operation/metrics.ts';
import type { Tracing } from '#server/operation/tracing.ts';
import { DatabaseUnavailable } from '#server/store/database.ts';
import {
  type Ctx,
  type Env,
  refusalAnswer,
  requestHeader,
  requestQuery,
  type Socketed,
} from './answer.ts';
import { ClientGone, goneAnswer, parametersFault } from './body.ts';
import { addressReader } from './client-address.ts';

export interface FrameOptions {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** undefined: traces are off. */
  readonly tracing?: Tracing | undefined;
  /** True: refusals carry Hydra's `status_code`. */
  readonly admin: boolean;
  /** The path to route by; absent: the URL's. */
  readonly getPath?: (request: Request) => string;
}

/** The route of requests that no route is declared for (R21). */
const unmatched = 'unmatched';
/** Asked for every few seconds by machines: counted, not logged. */
const quietRoutes = new Set(['/health/alive', '/health/ready', '/metrics']);
const hstsSeconds = 2 * 365 * 86_400;

/**
 * The app that both listeners start from: request id, caller's address, security headers, metrics
 * and access log by route pattern, 404 for undeclared routes and (as in Hydra) for wrong methods,
 * 503 while the database is away, 499 where the client went away within its body, 500 with the
 * request id for anything unexpected.
 *
 * One middleware does all of it, and touches no headers of a Response, which would take it off the
 * adapter's fast path. Measured: 4 us of CPU per request in a loop of its own; 11 to 16 us seen
 * from a second process with 16 connections (Hono alone 28, with the frame 39 to 44; a shared
 * machine), of which the log line is 4 and the metrics 3.
 */
export function createFrame(options: FrameOptions): Hono<Env> {
  const { config, log, metrics, tracing, admin } = options;
  const addressOf = addressReader(config.trustedProxies);
  const fixed = securityHeaders(config);
  const app = new Hono<Env>(options.getPath === undefined ? {} : { getPath: options.getPath });
  let inFlight = 0;
  metrics.gauge('requests_in_flight', () => inFlight);

  app.use('*', async (c, next) => {
    const startedMs = performance.now();
    const requestId = randomUUID();
    const { incoming, outgoing }: Socketed = c.env ?? {};
    const address = incoming === undefined ? '127.0.0.1' : addressOf(incoming);
    const last = routePath(c, -1);
    const route = last === '/*' ? unmatched : last;
    c.set('requestId', requestId);
    c.set('address', address);
    c.set('route', route);
    const headers = { ...fixed, 'x-request-id': requestId };
    if (outgoing === undefined) addHeaders(c, headers);
    else stamp(outgoing, headers);
    inFlight += 1;
    const method = knownMethod(c.req.method);
    let traceId: string | undefined;
    try {
      const crowd = parametersFault(requestQuery(c));
      if (crowd !== undefined) c.res = refusalAnswer(crowd, { admin });
      else if (tracing === undefined || quietRoutes.has(route)) await next();
      else {
        const listener = admin ? 'admin' : 'public';
        const traceparent = requestHeader(c, 'traceparent');
        const request = { requestId, route, method, listener, traceparent } as const;
        traceId = await tracing.request(request, next, () => c.res.status);
      }
    } finally {
      inFlight -= 1;
      const { status } = c.res;
      if (status === 500) metrics.event('request_failed');
      const seconds = (performance.now() - startedMs) / 1000;
      metrics.requestEnded(route, method, status, seconds);
      if (!quietRoutes.has(route)) {
        log.request({ requestId, route, method, status, seconds, address, traceId });
      }
    }
  });
  app.notFound(() => refusalAnswer(refuse('not_found'), { admin }));
  app.onError((error, c) => {
    const fields = { requestId: c.get('requestId'), route: c.get('route') };
    if (error instanceof DatabaseUnavailable) {
      log.warn('request_unavailable', fields, error);
      return refusalAnswer(refuse('unavailable'), { admin });
    }
    if (error instanceof ClientGone) {
      log.debug('request_aborted', fields);
      return goneAnswer();
    }
    log.error('request_failed', fields, error);
    const hint = `Something went wrong on our side; the request id is ${fields.requestId}.`;
    return refusalAnswer(refuse('server_error', hint), { admin });
  });
  return app;
}

/** Adds a header to the answer of this request, before or after the handler has made it. */
export function addHeader(c: Ctx, name: string, value: string): void {
  const { outgoing }: Socketed = c.env ?? {};
  if (outgoing === undefined) c.header(name, value);
  else outgoing.setHeader(name, value);
}

/** Without a socket, in tests: a first response whose headers Hono merges into the answer. */
function addHeaders(c: Ctx, headers: Readonly<Record<string, string>>): void {
  void c.res;
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
}

/**
 * Lets the adapter's one call of writeHead carry these headers too; the handler's own win. Calls of
 * setHeader beforehand would cost 4 us more, since writeHead then merges header by header.
 */
function stamp(outgoing: ServerResponse, headers: Readonly<Record<string, string>>): void {
  const { writeHead } = outgoing;
  const stamped = (status: number, own?: OutgoingHttpHeaders) =>
    Reflect.apply(writeHead, outgoing, [status, { ...headers, ...own }]);
  Object.assign(outgoing, { writeHead: stamped });
}

function securityHeaders(config: Config): Readonly<Record<string, string>> {
  return {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    ...(config.issuer.startsWith('https:')
      ? { 'strict-transport-security': `max-age=${hstsSeconds}` }
      : {}),
  };
}

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The caller chooses the method, so an unknown one becomes a fixed word before it is a label. */
function knownMethod(method: string): string {
  return methods.has(method) ? method : 'OTHER';
}
