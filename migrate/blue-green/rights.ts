import type { Database } from './database.ts';
import type { Run } from './migration.ts';
import { quotedTable, type TableName } from './names.ts';

/** Triggers of the application must not act again on what the tool writes. */
export async function triggerProblems({ main, side }: Database): Promise<readonly string[]> {
  const { rows } = await main.query<{ role: string; may: boolean }>(
    `select current_user as role,
       has_parameter_privilege('session_replication_role', 'set') as may`,
  );
  const [row] = rows;
  if (row === undefined || row.may) return [];
  return [
    `${side}: role ${row.role} may not switch triggers off for itself: as a superuser, ` +
      `grant set on parameter session_replication_role to ${row.role}.`,
  ];
}

/** Only an owner makes triggers; whoever prepared one side half would have to take it back. */
export async function ownerProblems(
  database: Database,
  tables: readonly TableName[],
): Promise<readonly string[]> {
  const { rows } = await database.main.query<{
    role: string;
    taken: boolean;
    creates: boolean;
    places: string[];
  }>(
    `select current_user as role,
       to_regnamespace('migrate') is not null and to_regclass('migrate.control') is null as taken,
       to_regnamespace('migrate') is not null
         or has_database_privilege(current_database(), 'create') as creates,
       array(select distinct c.oid::regclass::text
         from unnest($1::text[]) t(name) join pg_class c on c.oid = to_regclass(t.name)
           or c.oid in (select p.relid from pg_partition_tree(to_regclass(t.name)) p)
         where not pg_has_role(current_user, c.relowner, 'usage') order by 1) as places`,
    [tables.map(quotedTable)],
  );
  const [row] = rows;
  if (row === undefined) return [];
  const { role, creates, places } = row;
  const problems = places.map(
    (place) =>
      `${database.side}: role ${role} does not own ${place}: run migrate as its owner, or grant that ` +
      `role to ${role}.`,
  );
  if (row.taken) {
    problems.push(
      `${database.side}: there is a schema "migrate" already, which is not ours: rename it for the time ` +
        'of the migration.',
    );
  }
  if (creates) return problems;
  return [
    ...problems,
    `${database.side}: role ${role} may not create a schema: grant create on the database to ${role}.`,
  ];
}

/** Whoever makes an index needs a right in its schema, which who drops it does not. */
export async function indexProblems({ green, routes }: Run): Promise<readonly string[]> {
  const { rows } = await green.main.query<{ role: string; schema: string }>(
    `select distinct current_user as role, n.nspname as schema
     from unnest($1::text[]) t(name) join pg_class c on c.oid = to_regclass(t.name)
     join pg_namespace n on n.oid = c.relnamespace
     join pg_index x on x.indrelid = c.oid and not x.indisprimary
     where not has_schema_privilege(n.oid, 'create') order by 2`,
    [routes.forward.tables.map(({ target }) => quotedTable(target))],
  );
  return rows.map(
    ({ role, schema }) =>
      `green: role ${role} may not create in schema ${schema}, so indexes that are set aside for the copy ` +
      `could not come back: grant create on schema ${schema} to ${role}.`,
  );
}

/** Whose sessions the tool does not see: they do not slow it down, nor is said what they hold up. */
export async function sightWarnings(database: Database): Promise<readonly string[]> {
  const { rows } = await database.main.query<{ role: string; hidden: number }>(
    `select current_user as role, count(a.pid)::int as hidden
     from pg_stat_activity a
     where not pg_has_role(current_user, 'pg_read_all_stats', 'usage')
       and a.datname = current_database() and not pg_has_role(current_user, a.usesysid, 'usage')`,
  );
  const [row] = rows;
  if (row === undefined || row.hidden === 0) return [];
  return [
    `${database.side}: role ${row.role} does not see what ${row.hidden} sessions of other roles do, so ` +
      'they do not slow the copy down, and it is not said since when they hold up a switch: ' +
      `as a superuser, grant pg_monitor to ${row.role}.`,
  ];
}
