import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/** A time in which this machine was too busy for anybody's time limits, as wall clock. */
export interface Stall {
  readonly fromMs: number;
  readonly toMs: number;
}

const everyMs = 500;
/** A connection takes some milliseconds; the application gives up on one after 2,000. */
const lateMsMin = 400;
/** Whoever waited meanwhile needs so long to catch up. */
const recoveryMs = 4_000;

/**
 * Connects to both servers again and again, past every proxy and to a database that nobody uses: where
 * that takes long the processor is not to be had, and a time limit that others keep says nothing of
 * them. A server that is down refuses at once.
 */
export function watchStalls(urls: readonly string[]) {
  const stalls: Stall[] = [];
  let stopped = false;
  const watch = async (url: string) => {
    while (!stopped) {
      const fromMs = Date.now();
      const client = new pg.Client({
        connectionString: url,
        application_name: 'canary',
        connectionTimeoutMillis: 5_000,
      });
      client.on('error', () => {});
      await client.connect().catch(() => {});
      await client.end().catch(() => {});
      const toMs = Date.now();
      if (toMs - fromMs > lateMsMin) stalls.push({ fromMs, toMs: toMs + recoveryMs });
      await sleep(everyMs);
    }
  };
  const watching = Promise.all(urls.map(watch));
  return {
    async stop(): Promise<readonly Stall[]> {
      stopped = true;
      await watching;
      return stalls;
    },
  };
}
