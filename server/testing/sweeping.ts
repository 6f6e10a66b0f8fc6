import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { startSweeper } from '#server/operation/sweeper.ts';
import type { TestDatabase } from './harness.ts';

/** Sweeps as nodes do, but every second, until it is stopped; that says how many tables it walked. */
export function sweepOften({ urls }: TestDatabase): { stop(): Promise<number> } {
  const state = { tables: 0 };
  const metrics = {
    ...createMetrics(),
    swept() {
      state.tables += 1;
    },
  };
  const log = createLog({ level: 'silent', write: () => {} });
  const sweeper = startSweeper({ url: urls.server, log, metrics, intervalSeconds: 1 });
  return {
    async stop() {
      await sweeper.stop();
      return state.tables;
    },
  };
}
