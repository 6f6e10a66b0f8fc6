import type pg from 'pg';
import { quotedTable, type TableName } from './names.ts';

/** Who keeps writers' locks on these tables now, the oldest first, as a sentence. */
export async function holdersOf(client: pg.Client, tables: readonly TableName[]): Promise<string> {
  const { rows } = await client.query<{ pid: number; who: string; seconds: number }>(
    `select a.pid, format('%s, %s', a.usename, a.application_name) as who,
       extract(epoch from clock_timestamp() - min(a.xact_start))::float8 as seconds
     from pg_locks l join pg_stat_activity a using (pid)
     where l.granted and l.mode not in ('AccessShareLock', 'RowShareLock')
       and l.relation in (select to_regclass(t.name)::oid from unnest($1::text[]) t(name))
       and a.application_name not like 'migrate-tool/%'
     group by a.pid, a.usename, a.application_name order by 3 desc limit 3`,
    [tables.map(quotedTable)],
  );
  const holders = rows.map(
    ({ pid, who, seconds }) => `process ${pid} (${who}) for ${seconds.toFixed(1)} s`,
  );
  return `Who holds them now: ${holders.join('; ') || 'nobody any more'}.`;
}
