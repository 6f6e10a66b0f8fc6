import type { Engine } from '#server/engine.ts';
import type { Readiness } from '#server/http/health.ts';

/** Ready: the feed is fresh, which also says that PostgreSQL answers and is the live one. */
export function readinessOf(engine: Engine): Readiness {
  return async () => {
    try {
      await engine.feed.fresh();
      return {};
    } catch {
      const slow = 'The revocation feed is not fresh: PostgreSQL does not answer in time.';
      return { database: engine.feed.refusal() ?? slow };
    }
  };
}
