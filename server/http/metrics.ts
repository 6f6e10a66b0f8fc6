import { Hono } from 'hono';
import type { Metrics } from '#server/operation/metrics.ts';
import { type Env, noStore } from './frame/answer.ts';

/** Prometheus metrics, at our door and at Hydra's. */
export function metricsRoutes(metrics: Metrics): Hono<Env> {
  const answer = async () =>
    new Response(await metrics.exposition(), {
      headers: { 'content-type': metrics.contentType, ...noStore },
    });
  return new Hono<Env>().get('/metrics', answer).get('/admin/metrics/prometheus', answer);
}
