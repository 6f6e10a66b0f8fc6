import { type Database, otherSide } from './database.ts';
import { quotedTable, type TableName } from './names.ts';

/** What replicates into or out of the mapped tables and would not survive a migration, or it them. */
export async function replicationProblems(
  database: Database,
  tables: readonly TableName[],
): Promise<readonly string[]> {
  return [...(await publishedWhole(database)), ...(await subscribedPlaces(database, tables))];
}

async function publishedWhole({ main, side }: Database): Promise<readonly string[]> {
  const { rows } = await main.query<{ name: string }>(
    'select p.pubname as name from pg_publication p where p.puballtables order by p.pubname',
  );
  return rows.map(
    ({ name }) =>
      `${side}: publication ${name} is for all tables, so it would publish those of migrate, and its ` +
      'subscribers, which have none, would stop. Make it anew with a list of tables.',
  );
}

/** Rows may be written to the table itself, or to any of its partitions. */
async function subscribedPlaces(
  { main, side }: Database,
  tables: readonly TableName[],
): Promise<readonly string[]> {
  const { rows } = await main.query<{ place: string }>(
    `select distinct r.srrelid::regclass::text as place
     from unnest($1::text[]) t(name) join pg_subscription_rel r
       on r.srrelid = to_regclass(t.name)
         or r.srrelid in (select p.relid from pg_partition_tree(to_regclass(t.name)) p)
     order by 1`,
    [tables.map(quotedTable)],
  );
  return rows.map(
    ({ place }) =>
      `${side}: ${place} is filled by a subscription. Logical replication fires no statement triggers: ` +
      `neither guard nor capture see what it writes. Migrate its publisher, or take ${place} out of ` +
      `the subscription${side === 'green' ? `; ${otherSide(side)} fills it` : ''}.`,
  );
}

/** A replica that takes over may lack what was committed last. */
export async function replicaWarnings({ main, side }: Database): Promise<readonly string[]> {
  const { rows } = await main.query<{ name: string }>(
    `select distinct r.application_name as name from pg_stat_replication r
     left join pg_replication_slots s on s.active_pid = r.pid
     where r.sync_state = 'async' and s.slot_type is distinct from 'logical' order by 1`,
  );
  return rows.map(
    ({ name }) =>
      `${side}: replica ${name} is asynchronous. If it takes over after a switch, it may not know that ` +
      'this side retired, and be live beside the other. Before you promote it, see that it has ' +
      'the retirement, or make it synchronous for the time of the switch.',
  );
}
