import type pg from 'pg';
import { sqlStateOf } from './failure.ts';
import type { Run } from './migration.ts';
import { quotedTable, type TableName, textOf } from './names.ts';
import { sourcesOf } from './resolve.ts';

/** Somebody who uses a database, or may. */
export interface User {
  readonly role: string;
  readonly application: string;
  readonly sentence: string;
}

/**
 * Everybody who is connected to a database now, but the tool and PostgreSQL's own processes. What kind
 * of process another role has is not for every role to know: such a one counts.
 */
export async function usersOf(client: pg.Client): Promise<readonly User[]> {
  const { rows } = await client.query<{
    role: string;
    application: string;
    sessions: number;
    places: string;
  }>(
    `select a.usename as role, coalesce(nullif(a.application_name, ''), '(no name)') as application,
       count(*)::int as sessions,
       string_agg(distinct case when a.backend_type is null then 'a place that only pg_monitor sees'
         else coalesce(host(a.client_addr), 'a local socket') end, ', ') as places
     from pg_stat_activity a
     where a.datname = current_database() and a.usesysid is not null
       and coalesce(a.backend_type, 'client backend') = 'client backend'
       and a.pid <> pg_backend_pid() and a.application_name not like 'migrate-tool/%'
     group by 1, 2 order by 1, 2`,
  );
  return rows.map(({ role, application, sessions, places }) => ({
    role,
    application,
    sentence: `${role} as "${application}", ${sessions} session${sessions === 1 ? '' : 's'} from ${places}`,
  }));
}

/** Who may touch a table, from its grants and its owner; superusers always may. */
async function grantsOn(client: pg.Client, table: TableName): Promise<readonly string[]> {
  const { rows } = await client.query<{ sentence: string }>(
    `select format('%s: %s', case when a.grantee = 0 then 'everybody'
         else pg_get_userbyid(a.grantee)::text end,
       string_agg(lower(a.privilege_type), ', ' order by a.privilege_type)) as sentence
     from pg_class c
     cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
     where c.oid = to_regclass($1)
       and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
     group by a.grantee order by 1`,
    [quotedTable(table)],
  );
  return rows.map(({ sentence }) => sentence);
}

/** Roles that may write mapped tables of blue and would be refused by green after a switch. */
export async function strandedWarnings({ blue, green, routes }: Run): Promise<readonly string[]> {
  const { rows: writers } = await blue.main.query<{ role: string }>(
    `select distinct pg_get_userbyid(a.grantee)::text as role
     from unnest($1::text[]) t(name) join pg_class c on c.oid = to_regclass(t.name)
     cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
     where a.grantee <> 0 and a.privilege_type in ('INSERT', 'UPDATE', 'DELETE') order by 1`,
    [sourcesOf(routes.forward).map(({ table }) => quotedTable(table))],
  );
  const targets = routes.forward.tables.map(({ target }) => target);
  const { rows } = await green.main.query<{ role: string; known: boolean; tables: string[] }>(
    `select w.role, r.oid is not null as known,
       array(select t.said from unnest($2::text[], $3::text[], $4::text[]) t(name, schema, said)
         where r.oid is not null and not (
         has_table_privilege(r.oid, t.name, 'insert, update, delete')
         and has_schema_privilege(r.oid, t.schema, 'usage')) order by 1) as tables
     from unnest($1::text[]) w(role) left join pg_roles r on r.rolname = w.role order by 1`,
    [
      writers.map(({ role }) => role),
      targets.map(quotedTable),
      targets.map(({ schema }) => schema),
      targets.map(textOf),
    ],
  );
  return rows.flatMap(({ role, known, tables }) => {
    if (!known) return [`green: role ${role} may write tables of blue, and is not there.`];
    if (tables.length === 0) return [];
    return [
      `green: role ${role} may write tables of blue, and none of ${tables.join(', ')}: grant it, if it is ` +
        'to go on there after the switch.',
    ];
  });
}

/** How much a table was read and written since its statistics began. */
async function usageOf(client: pg.Client, table: TableName): Promise<string> {
  const { rows } = await client.query<{ sentence: string }>(
    `select format('%s scans, %s index scans, %s inserted, %s updated, %s deleted',
       coalesce(sum(s.seq_scan), 0), coalesce(sum(s.idx_scan), 0), coalesce(sum(s.n_tup_ins), 0),
       coalesce(sum(s.n_tup_upd), 0), coalesce(sum(s.n_tup_del), 0)) as sentence
     from pg_stat_user_tables s
     where s.relid = to_regclass($1)
       or s.relid in (select t.relid from pg_partition_tree(to_regclass($1)) t)`,
    [quotedTable(table)],
  );
  return rows[0]?.sentence ?? 'no statistics';
}

/** Views, functions and rules that read a table: what uses it from inside the database. */
async function dependentsOf(client: pg.Client, table: TableName): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select distinct format('view %I.%I', n.nspname, v.relname) as name
     from pg_depend d join pg_rewrite r on r.oid = d.objid join pg_class v on v.oid = r.ev_class
     join pg_namespace n on n.oid = v.relnamespace
     where d.classid = 'pg_rewrite'::regclass and d.refobjid = to_regclass($1)
       and v.oid <> to_regclass($1) order by 1`,
    [quotedTable(table)],
  );
  return rows.map(({ name }) => name);
}

/**
 * Roles whose statements named a table, where pg_stat_statements counts them, and roles whose
 * statements may not be read; undefined: it is not there.
 */
async function statementsOn(
  client: pg.Client,
  tables: readonly TableName[],
): Promise<readonly string[] | undefined> {
  const { rows: places } = await client.query<TableName>(
    `select n.nspname as schema, e.extname as name
     from pg_extension e join pg_namespace n on n.oid = e.extnamespace
     where e.extname = 'pg_stat_statements'`,
  );
  const [place] = places;
  if (place === undefined) return undefined;
  const view = quotedTable(place);
  try {
    const { rows } = await client.query<{ sentence: string }>(
      `select format('%s: %s calls of %s statements that name %s', u.role, sum(u.calls), count(*),
         u.name) as sentence
       from (select pg_get_userbyid(s.userid)::text as role, s.calls, t.name
             from ${view} s join unnest($1::text[]) t(name)
               on s.query ~* ('\\m' || t.name || '\\M')
             where s.dbid = (select d.oid from pg_database d where d.datname = current_database())
               and s.query !~* 'migrate\\.') u
       group by u.role, u.name order by u.role, u.name`,
      [tables.map(({ name }) => name.replace(/[^\w]/g, '.'))],
    );
    const hidden = await client.query<{ sentence: string }>(
      `select format('%s: %s statements that %s may not read: grant pg_monitor to %s, or ask %s',
         pg_get_userbyid(s.userid), count(*), current_user, current_user,
         pg_get_userbyid(s.userid)) as sentence
       from ${view} s
       where s.query = '<insufficient privilege>'
         and s.dbid = (select d.oid from pg_database d where d.datname = current_database())
       group by s.userid order by 1`,
    );
    return [...rows, ...hidden.rows].map(({ sentence }) => sentence);
  } catch (error) {
    // undefined_table, not loaded, no right to it
    if (['42P01', '55000', '42501'].includes(sqlStateOf(error))) return undefined;
    throw error;
  }
}

/** All of it as lines, for `plan`. */
export async function stragglerLines(
  client: pg.Client,
  tables: readonly TableName[],
): Promise<readonly string[]> {
  const lines: string[] = ['Who is connected now:'];
  for (const { sentence } of await usersOf(client)) lines.push(`  ${sentence}`);
  const statements = await statementsOn(client, tables);
  lines.push('Who has used these tables (pg_stat_statements):');
  if (statements === undefined) lines.push('  not known: pg_stat_statements is not there');
  for (const sentence of statements ?? []) lines.push(`  ${sentence}`);
  for (const table of tables) {
    lines.push(`${textOf(table)}: ${await usageOf(client, table)}`);
    for (const sentence of await grantsOn(client, table)) lines.push(`  may ${sentence}`);
    for (const name of await dependentsOf(client, table)) lines.push(`  read by ${name}`);
  }
  return lines;
}
