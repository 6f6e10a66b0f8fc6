import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { type LockMode, pgLocksConflictingWith } from './lock.ts';

/** A lock that a statement will ask for. */
export interface Wanted {
  readonly relation: string;
  readonly mode: LockMode;
  /** Its partitions and children are locked as well, one after the other. */
  readonly isWhole: boolean;
}

/** A session that has what we want, or a prepared transaction, which has no process. */
export interface Blocker {
  /** Which transaction it is. */
  readonly key: string;
  readonly pid: number | undefined;
  readonly relation: string;
  readonly mode: string;
  readonly applicationName: string;
  /** How old its transaction is; undefined where our role may not see that. */
  readonly seconds: number | undefined;
  /** Background workers have no user; autovacuum gives way by itself. */
  readonly isAutovacuum: boolean;
}

/** Between two looks: who is there both times has more than a short transaction. */
const lookMs = 100;

/**
 * Who holds a lock in our way and keeps it. Asking for the lock while they do would make everybody
 * who comes later wait behind us. Two looks, since pg_locks is open to every role and ages are not.
 */
export async function lastingBlockers(
  client: pg.Client,
  wanted: readonly Wanted[],
): Promise<readonly Blocker[]> {
  const first = await blockers(client, wanted);
  if (first.length === 0) return [];
  await sleep(lookMs);
  const known = new Set(first.map(({ key }) => key));
  return (await blockers(client, wanted)).filter(({ key }) => known.has(key));
}

async function blockers(client: pg.Client, wanted: readonly Wanted[]): Promise<readonly Blocker[]> {
  const found: Blocker[] = [];
  for (const { relation, mode, isWhole } of wanted) {
    const { rows } = await client.query<{
      relation: string;
      pid: number | null;
      virtualtransaction: string;
      mode: string;
      application_name: string | null;
      seconds: number | null;
      background: boolean;
    }>(
      `with recursive locked (oid) as (
         select to_regclass($1)::oid
         union select i.inhrelid from pg_inherits i join locked on i.inhparent = locked.oid where $3)
       select coalesce(nullif(l.relation, to_regclass($1)::oid)::regclass::text, $4) as relation,
         l.pid, l.virtualtransaction, l.mode, a.application_name,
         l.pid is not null and a.usesysid is null as background,
         extract(epoch from clock_timestamp() - a.xact_start)::float as seconds
       from pg_locks l left join pg_stat_activity a on a.pid = l.pid
       where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
         and l.database = (select oid from pg_database where datname = current_database())
         and l.relation in (select oid from locked) and l.mode = any($2)
       limit 50`,
      [quoted(relation), pgLocksConflictingWith(mode), isWhole, relation],
    );
    for (const row of rows) {
      found.push({
        pid: row.pid ?? undefined,
        relation: row.relation,
        mode: row.mode,
        applicationName: row.application_name ?? '',
        seconds: row.seconds ?? undefined,
        isAutovacuum: row.background,
        key: `${row.pid} ${row.virtualtransaction}`,
      });
    }
  }
  return found;
}

/** `pid 4711 (reports, a transaction of 312 s) holds busy` */
export function blockerWords(blocking: readonly Blocker[]): string {
  if (blocking.length === 0) return 'who was in the way has gone';
  const named = blocking.slice(0, 3).map((one) => {
    const { pid, applicationName, seconds, relation, isAutovacuum } = one;
    if (pid === undefined)
      return `a prepared transaction (see pg_prepared_xacts) holds ${relation}`;
    const age = seconds === undefined ? '' : `, a transaction of ${Math.round(seconds)} s`;
    const name = applicationName || (isAutovacuum ? 'autovacuum' : 'no name');
    return `pid ${pid} (${name}${age}) holds ${relation}`;
  });
  const more = blocking.length > 3 ? `, and ${blocking.length - 3} more` : '';
  return `${named.join(', ')}${more}`;
}

/** A name as the linter writes it, for `to_regclass`, which reads it as SQL does. */
export function quoted(name: string): string {
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');
}
