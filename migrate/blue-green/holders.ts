import type pg from 'pg';
import { quotedTable, type TableName } from './names.ts';

/** What a table is to be locked for, with the locks of others that do not stand in the way of it. */
const harmless = {
  fence: ['AccessShareLock'],
  'make trigger': ['AccessShareLock', 'RowShareLock'],
  'drop trigger': [],
} as const;
export type Purpose = keyof typeof harmless;

/** Who keeps such a lock from being had on these tables now, the oldest first, as a sentence. */
export async function holdersOf(
  client: pg.Client,
  tables: readonly TableName[],
  purpose: Purpose,
): Promise<string> {
  return sentenceOf(
    client,
    `l.mode <> all($2::text[]) and exists (select from unnest($1::text[]) t(name)
       where l.relation = to_regclass(t.name)
         or l.relation in (select p.relid from pg_partition_tree(to_regclass(t.name)) p))`,
    [tables.map(quotedTable), harmless[purpose]],
  );
}

/** Who keeps locks of any kind on what migrate made, the oldest first, as a sentence. */
export async function readersOf(client: pg.Client): Promise<string> {
  return sentenceOf(
    client,
    `l.relation in (select c.oid from pg_class c
       where c.relnamespace = to_regnamespace('migrate'))`,
    [],
  );
}

async function sentenceOf(
  client: pg.Client,
  which: string,
  values: readonly unknown[],
): Promise<string> {
  // A prepared transaction has no process any more, and keeps its locks all the same. One of them is
  // on its own id, and all have the virtual id of the session that prepared it.
  // When the transaction of another role began is not for every role to know.
  const { rows } = await client.query<{ who: string; seconds: number | null }>(
    `select case when x.gid is null
         then format('process %s (%s, %s)', a.pid, a.usename, a.application_name)
         else format('prepared transaction %L (%s; "commit prepared" or "rollback prepared" ends it)',
           x.gid, x.owner) end as who,
       extract(epoch from clock_timestamp() - min(coalesce(x.prepared, a.xact_start)))::float8
         as seconds
     from pg_locks l left join pg_stat_activity a using (pid)
     left join pg_locks t on l.pid is null and t.pid is null and t.locktype = 'transactionid'
       and t.virtualtransaction = l.virtualtransaction
     left join pg_prepared_xacts x on x.transaction = t.transactionid
     where l.granted and (${which})
       and l.database = (select d.oid from pg_database d where d.datname = current_database())
       and (a.pid is not null or x.gid is not null)
       and coalesce(a.application_name, '') not like 'migrate-tool/%'
     group by a.pid, a.usename, a.application_name, x.gid, x.owner order by 2 desc nulls last limit 3`,
    [...values],
  );
  const holders = rows.map(({ who, seconds }) =>
    seconds === null ? who : `${who} for ${seconds.toFixed(1)} s`,
  );
  return `Who holds them now: ${holders.join('; ') || 'nobody any more'}.`;
}
