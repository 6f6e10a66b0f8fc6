import { setTimeout as sleep } from 'node:timers/promises';
import { MigrationRefused } from './refused.ts';
import type { Session } from './session.ts';

const pollMs = 250;
/** Who waits longer is told for whom. */
const quietMs = 1_000;

/**
 * Takes the lock of which a database has one, and which goes with the connection. It asks again and
 * again instead of waiting in PostgreSQL: a statement that waits has a snapshot, and whoever builds
 * an index concurrently waits for every snapshot.
 */
export async function takeTurn({ client, limits, tell }: Session, lockKey: number): Promise<void> {
  const begun = performance.now();
  let told = false;
  for (;;) {
    const { rows } = await client.query<{ taken: boolean }>(
      'select pg_try_advisory_lock($1::bigint) as taken',
      [lockKey],
    );
    if (rows[0]?.taken === true) return;
    const waitedMs = performance.now() - begun;
    if (waitedMs > limits.turnMsMax) {
      throw new MigrationRefused(
        `Another process has been migrating this database for more than ` +
          `${Math.round(limits.turnMsMax / 1000)} s: ${await holder(client, lockKey)}.`,
      );
    }
    if (waitedMs > quietMs && !told) {
      told = true;
      const held = await holder(client, lockKey);
      tell({ kind: 'turn', sentence: `waiting for another migration: ${held}`, data: { held } });
    }
    await sleep(pollMs);
  }
}

/** Who has the turn, as far as our role may see. */
async function holder(client: Session['client'], lockKey: number): Promise<string> {
  const { rows } = await client.query<{
    pid: number;
    application_name: string;
    address: string | null;
    seconds: number | null;
  }>(
    `select l.pid, coalesce(a.application_name, '') as application_name,
       host(a.client_addr) as address,
       extract(epoch from clock_timestamp() - a.backend_start)::float as seconds
     from pg_locks l left join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.objsubid = 1
       and ((l.classid::bigint << 32) | l.objid::bigint) = $1::bigint
       and l.database = (select oid from pg_database where datname = current_database())`,
    [lockKey],
  );
  const [one] = rows;
  if (one === undefined) return 'it has just ended';
  const { pid, application_name, address, seconds } = one;
  const since = seconds === null ? '' : `, connected for ${Math.round(seconds)} s`;
  return `pid ${pid} (${application_name || 'no name'}, ${address ?? 'local'}${since})`;
}
