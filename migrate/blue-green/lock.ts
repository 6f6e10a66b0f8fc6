import type pg from 'pg';
import { type Database, openSession, sessionName } from './database.ts';
import { Failure } from './failure.ts';

/** "migr", "ate!": the advisory lock that one tool holds in each of the two databases. */
const lockKeys = [0x6d696772, 0x61746521] as const;

/**
 * Takes the lock in one database, for as long as the session lives, and ends the sessions that a
 * tool which lost the lock has left behind: none of its transactions can commit from here on.
 * Refuses with {@link Failure} where another tool holds it, and says who.
 */
export async function takeLock(
  url: string,
  run: string,
  command: string,
  database: Database,
  onLost: (error: Error) => void,
): Promise<pg.Client> {
  const client = await openSession(url, sessionName(run, 'lock'), 'plain');
  const { rows } = await client.query<{ taken: boolean }>(
    'select pg_try_advisory_lock($1, $2) as taken',
    [...lockKeys],
  );
  if (rows[0]?.taken !== true) {
    const holder = await holderOf(client);
    await client.end();
    throw new Failure(
      `Another migrate works on the ${database.side} database (${database.place}): ${holder}. ` +
        'Wait for it, ask it to end by "migrate stop", or end its session there by ' +
        'pg_terminate_backend.',
    );
  }
  await endFormerSessions(client, run);
  // Whoever asks who holds the lock reads this as the last statement of the session.
  await client.query(`select 1 /* migrate ${command.replace(/[^a-z -]/g, '')} */`);
  client.on('error', onLost);
  return client;
}

/** Whether a tool works on the database of this session. */
export async function isLocked(client: pg.Client): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from pg_locks l where l.locktype = 'advisory' and l.classid = $1 and l.objid = $2
       and l.granted and l.database = (
         select d.oid from pg_database d where d.datname = current_database())`,
    [...lockKeys],
  );
  return rowCount !== 0;
}

async function holderOf(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{
    pid: number;
    usename: string;
    client: string;
    query: string;
    since: string;
  }>(
    `select a.pid, a.usename, coalesce(host(a.client_addr), 'a local socket') as client, a.query,
       to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') as since
     from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.classid = $1 and l.objid = $2 and l.granted
       and l.database = (select d.oid from pg_database d where d.datname = current_database())`,
    [...lockKeys],
  );
  const [row] = rows;
  if (row === undefined) return 'it ended just now';
  const command = /\/\* (migrate [a-z -]+) \*\//.exec(row.query)?.[1] ?? 'migrate';
  return `"${command}" from ${row.client}, user ${row.usename}, process ${row.pid}, since ${row.since}`;
}

const endedMsMax = 10_000;

async function endFormerSessions(client: pg.Client, run: string): Promise<void> {
  const { rows } = await client.query<{ pid: number; ended: boolean }>(
    `select a.pid, pg_terminate_backend(a.pid, $2) as ended from pg_stat_activity a
     where a.datname = current_database() and a.application_name like 'migrate-tool/%/work'
       and a.application_name not like $1`,
    [`migrate-tool/${run}/%`, endedMsMax],
  );
  const left = rows.filter(({ ended }) => !ended).map(({ pid }) => pid);
  if (left.length > 0) {
    throw new Failure(
      `Sessions of an earlier migrate do not end (process ${left.join(', ')}). ` +
        'End them in that database, then start again.',
    );
  }
}
