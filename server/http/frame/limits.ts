import { refuse } from '#core/refusal.ts';
import { auditActions } from '#server/audit/actions.ts';
import { anonymous } from '#server/audit/entry.ts';
import type { Engine } from '#server/engine.ts';
import type { Limited, LimitedEndpoint } from '#server/operation/rate-limits.ts';
import { type Ctx, refusalAnswer } from './answer.ts';
import { trailOf } from './trail.ts';

/**
 * The answer 429 where the caller's address or the client it names asks too often, else undefined.
 * Judged before anything costly; limits are switched off as a whole by GATEHOUSE_RATE_LIMITS.
 */
export function limited(
  engine: Engine,
  c: Ctx,
  endpoint: LimitedEndpoint,
  clientId: string | undefined,
): Response | undefined {
  const verdict = engine.rateLimits?.take(endpoint, c.get('address'), clientId);
  return verdict === undefined ? undefined : slowedAnswer(engine, c, endpoint, verdict);
}

/** The same as {@link limitedAnswer}, with an entry of the audit log. */
export function slowedAnswer(
  engine: Engine,
  c: Ctx,
  endpoint: LimitedEndpoint,
  verdict: Limited,
): Response {
  tellSlowed(engine, c, endpoint);
  return limitedAnswer(engine, endpoint, verdict);
}

function tellSlowed(engine: Engine, c: Ctx, endpoint: string): void {
  const target = { kind: auditActions['request.slowed'].target, id: endpoint };
  engine.audit.count({ ...trailOf(c, 'request.slowed', anonymous), target });
}

/** 429 with the headers that say when to come again. */
export function limitedAnswer(
  engine: Engine,
  endpoint: LimitedEndpoint,
  verdict: Limited,
): Response {
  engine.metrics.event('rate_limited');
  engine.metrics.refused(endpoint, 'rate_limited');
  return refusalAnswer(refuse('rate_limited'), { headers: verdict.headers });
}

/** The same for a person: a page, with the headers that say when to come again. */
export async function limitedPage(
  engine: Engine,
  c: Ctx,
  endpoint: LimitedEndpoint,
  verdict: Limited,
): Promise<Response> {
  engine.metrics.event('rate_limited');
  tellSlowed(engine, c, endpoint);
  const page = await engine.errorPage(c, refuse('rate_limited'));
  for (const [name, value] of Object.entries(verdict.headers)) page.headers.set(name, value);
  return page;
}
