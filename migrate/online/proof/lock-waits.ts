import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/**
 * Watches how long sessions wait for those of `applicationName` in this database, as PostgreSQL
 * counts it, also where they only stand behind one in a queue. A machine that is busy makes
 * everything slow; this is only what locks do.
 */
export async function watchWaits(url: string, applicationName: string) {
  const client = new pg.Client({ connectionString: url, application_name: 'watch' });
  client.on('error', () => {});
  await client.connect();
  const seen = { over: false, longestMs: 0 };
  const watching = (async () => {
    while (!seen.over) {
      const { rows } = await client.query<{ ms: number | null }>(
        `select max(extract(epoch from clock_timestamp() - l.waitstart) * 1000)::float as ms
         from pg_locks l
         where not l.granted and exists (
           select from pg_stat_activity a
           where a.application_name = $1 and a.datname = current_database()
             and a.pid <> l.pid and a.pid = any(pg_blocking_pids(l.pid)))`,
        [applicationName],
      );
      seen.longestMs = Math.max(seen.longestMs, rows[0]?.ms ?? 0);
      await sleep(5);
    }
  })();
  return {
    longestMs: () => seen.longestMs,
    async stop(): Promise<number> {
      seen.over = true;
      await watching;
      await client.end();
      return seen.longestMs;
    },
  };
}
