import type pg from 'pg';
import { MigrationRefused } from './refused.ts';

// Which releases run is told by locks: a node holds a shared advisory lock, numbered as the newest
// migration that it knows, for as long as its connection lives. There is no table of nodes, no
// heartbeat and no clock, and nothing is left behind by a node that was killed.

/** A running node, as its lock shows it. */
export interface RunningRelease {
  /** The newest migration that it knows. */
  readonly number: number;
  readonly pid: number;
  readonly applicationName: string;
}

/**
 * Says on this connection, for as long as it lives, that a release runs which knows migrations up
 * to `newest`. Refuses where the database was contracted beyond it, or is being, and where a
 * migration that it knows was taken back in part. Part of connecting:
 * the connection must be the node's own, not one of a pooler in transaction mode.
 */
export async function joinRelease(
  client: pg.Client,
  lockKey: number,
  newest: number,
): Promise<void> {
  const { rows } = await client.query<{ joined: boolean }>(
    'select pg_try_advisory_lock_shared($1::integer, $2::integer) as joined',
    [lockKey, newest],
  );
  const contracted = await client.query<{ name: string }>(
    `select name from (
       select number, name,
         coalesce((to_jsonb(m) ->> 'oldest_release')::integer, number) as oldest
       from schema_migration m where phase = 'contract'
       union all
       select number, number || ', which was begun,', (to_jsonb(s) ->> 'oldest_release')::integer
       from schema_step s
       where not exists (select from schema_migration d where d.number = s.number)
     ) removing
     where number > $1 and oldest > $1 order by number, name limit 1`,
    [newest],
  );
  const halfDown = await client.query<{ number: number }>(
    `select number from schema_step where direction = 'down' and number <= $1
     order by number limit 1`,
    [newest],
  );
  const [over] = contracted.rows;
  const [half] = halfDown.rows;
  if (rows[0]?.joined === true && over === undefined && half === undefined) return;
  if (rows[0]?.joined === true) {
    await client.query('select pg_advisory_unlock_shared($1::integer, $2::integer)', [
      lockKey,
      newest,
    ]);
  }
  throw unfit(over?.name, half?.number);
}

function unfit(over: string | undefined, half: number | undefined): MigrationRefused {
  if (over !== undefined) {
    return new MigrationRefused(
      `This release is too old for the database: migration ${over} removes what it uses. ` +
        'Start the release that brought that migration, or a later one.',
    );
  }
  if (half !== undefined) {
    return new MigrationRefused(
      `Migration ${half}, which this release needs, is being taken back, or was in part. Take it back ` +
        `to the end (down to ${half - 1}), then apply it again or start the release before.`,
    );
  }
  return new MigrationRefused(
    'A contract or a down is under way that takes away what this release uses. Start it when that has ended.',
  );
}

/** The nodes that run on this database now. */
export async function runningReleases(
  client: pg.Client,
  lockKey: number,
): Promise<readonly RunningRelease[]> {
  const { rows } = await client.query<{ number: string; pid: number; name: string | null }>(
    `select l.objid::bigint as number, l.pid, a.application_name as name
     from pg_locks l left join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.mode = 'ShareLock'
       and l.classid::bigint = $1
       and l.database = (select oid from pg_database where datname = current_database())
     order by l.objid, l.pid limit 1000`,
    [lockKey],
  );
  return rows.map(({ number, pid, name }) => ({
    number: Number(number),
    pid,
    applicationName: name ?? '',
  }));
}

/**
 * Keeps every release out that knows none of the migrations from `oldest` on, until this connection
 * ends; refuses while one of them runs.
 */
export async function keepOut(
  client: pg.Client,
  lockKey: number,
  numbers: readonly number[],
  why: string,
): Promise<void> {
  for (const number of numbers) {
    const { rows } = await client.query<{ taken: boolean }>(
      'select pg_try_advisory_lock($1::integer, $2::integer) as taken',
      [lockKey, number],
    );
    if (rows[0]?.taken === true) continue;
    const running = await runningReleases(client, lockKey);
    const named = running
      .filter((one) => numbers.includes(one.number))
      .slice(0, 5)
      .map(
        (one) => `pid ${one.pid} (${one.applicationName || 'no name'}, knows up to ${one.number})`,
      );
    throw new MigrationRefused(`${why} Running: ${named.join(', ') || 'one that has just ended'}.`);
  }
}
