import { refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import type { LimitedEndpoint } from '#server/operation/rate-limits.ts';
import { type Ctx, refusalAnswer } from './answer.ts';

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
  if (engine.rateLimits === undefined) return undefined;
  const verdict = engine.rateLimits.take(endpoint, c.get('address'), clientId);
  if (verdict === undefined) return undefined;
  engine.metrics.refused(endpoint, 'rate_limited');
  return refusalAnswer(refuse('rate_limited'), { headers: verdict.headers });
}
