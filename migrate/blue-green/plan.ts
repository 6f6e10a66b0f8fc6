import type pg from 'pg';
import { blindSpots, notTakenBack } from './blind-spots.ts';
import { foreignKeys, tableShape, toolRights } from './catalog.ts';
import { readControl } from './control.ts';
import type { Database } from './database.ts';
import type { Run } from './migration.ts';
import { quotedTable, type TableName, textOf } from './names.ts';
import { replicationProblems, replicaWarnings } from './replication.ts';
import { mappedTables, type Route, sourcesOf } from './resolve.ts';
import { type SequenceMove, sequenceMoves, unknownEnds } from './sequence.ts';
import { stragglerLines } from './stragglers.ts';

/** What a plan says; a migration may begin only where `refusals` is empty. */
export interface Plan {
  readonly lines: readonly string[];
  /** What cannot be done, each with what to do about it. */
  readonly refusals: readonly string[];
  /** What can be done, and should be known. */
  readonly warnings: readonly string[];
}

/** Rows a second that a copy reaches on an ordinary machine; only for the estimate. */
const rowsPerSecondExpected = 50_000;

/** Looks at both databases and changes nothing. */
export async function plan(run: Run): Promise<Plan> {
  const lines: string[] = [];
  const refusals: string[] = [];
  const warnings: string[] = [];
  lines.push(`blue ${run.blue.place}, green ${run.green.place}, mapping ${run.mapping.name}`);
  for (const database of [run.blue, run.green]) {
    refusals.push(...(await rightsProblems(database)));
    warnings.push(...(await durabilityWarnings(database)));
    warnings.push(...(await sightWarnings(database)));
    const tables = mappedTables(run.routes, database.side);
    refusals.push(...(await ownerProblems(database, tables)));
    refusals.push(...(await familyProblems(database, tables)));
    refusals.push(...(await replicationProblems(database, tables)));
    warnings.push(...(await replicaWarnings(database)));
  }
  refusals.push(...(await indexProblems(run)));
  refusals.push(...(await encodingProblems(run)));
  refusals.push(...(await blindSpots(run)));
  warnings.push(...notTakenBack(run));
  for (const source of sourcesOf(run.routes.forward)) {
    await describeSource(run.blue.main, source.table, lines, refusals, warnings);
  }
  for (const { target } of run.routes.forward.tables) {
    await describeTarget(run.green.main, target, warnings);
  }
  for (const route of [run.routes.forward, run.routes.reverse]) {
    for (const { target } of route?.tables ?? []) {
      refusals.push(...(await uselessKeys(route?.destination ?? run.green, target)));
    }
  }
  const fresh = (await readControl(run.green.main)) === undefined;
  for (const route of [run.routes.forward, run.routes.reverse]) {
    if (route === undefined) continue;
    refusals.push(...(await foreignProblems(route)));
    const moves = await sequenceMoves(route);
    // Later on the indexes of green may be set aside; the switch looks again.
    if (fresh) refusals.push(...unknownEnds(route, moves));
    warnings.push(...sequenceWarnings(route, moves));
  }
  if (run.routes.reverse === undefined) {
    warnings.push('The mapping has no "reverse": after a switch there is no way back.');
  }
  const rows = await estimate(run);
  lines.push(
    `About ${rows} rows to copy: ${Math.ceil(rows / rowsPerSecondExpected)} s at ` +
      `${rowsPerSecondExpected} rows/s.`,
  );
  lines.push(
    ...(await stragglerLines(
      run.blue.main,
      sourcesOf(run.routes.forward).map(({ table }) => table),
    )),
  );
  return { lines, refusals, warnings };
}

async function rightsProblems(database: Database): Promise<readonly string[]> {
  const { role, maySkipTriggers, version } = await toolRights(database.main);
  const problems: string[] = [];
  if (version < 150_000) {
    problems.push(
      `${database.side} is PostgreSQL ${Math.floor(version / 10_000)}; 15 is the oldest.`,
    );
  }
  if (!maySkipTriggers) {
    problems.push(
      `${database.side}: role ${role} may not switch triggers off for itself: as a superuser, ` +
        `grant set on parameter session_replication_role to ${role}.`,
    );
  }
  return problems;
}

/** Only an owner makes triggers; whoever prepared one side half would have to take it back. */
async function ownerProblems(
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

/** Statement triggers fire for the table that a statement names, so rows may come past them. */
async function familyProblems(
  { main, side }: Database,
  tables: readonly TableName[],
): Promise<readonly string[]> {
  const { rows } = await main.query<{ name: string; parent: string | null; place: string | null }>(
    `with mapped as (select c.oid, c.relkind from unnest($1::text[]) t(name)
       join pg_class c on c.oid = to_regclass(t.name))
     select m.oid::regclass::text as name, p.oid::regclass::text as parent, null as place
     from mapped m join pg_inherits i on i.inhrelid = m.oid
     join pg_class p on p.oid = i.inhparent and p.relkind = 'p'
     union all
     select distinct m.oid::regclass::text, null, null
     from mapped m join pg_inherits i on m.oid in (i.inhrelid, i.inhparent)
     join pg_class p on p.oid = i.inhparent and p.relkind <> 'p'
     union all
     select m.oid::regclass::text, null, f.oid::regclass::text
     from mapped m cross join lateral pg_partition_tree(m.oid) l
     join pg_class f on f.oid = l.relid and f.relkind = 'f'
     order by 1, 3`,
    [tables.map(quotedTable)],
  );
  return rows.map(({ name, parent, place }) => {
    if (place !== null) {
      return (
        `${side}: partition ${place} of ${name} is a foreign table: what is written there can neither be ` +
        'captured nor refused. Detach it before.'
      );
    }
    if (parent === null) {
      return `${side}: ${name} inherits or is inherited from: map tables that stand alone.`;
    }
    return (
      `${side}: ${name} is a partition of ${parent}: what is written by way of ${parent} would be neither ` +
      `captured nor refused. Map ${parent}.`
    );
  });
}

/** Whoever makes an index needs a right in its schema, which who drops it does not. */
async function indexProblems({ green, routes }: Run): Promise<readonly string[]> {
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

/** Rows are compared by hashes of what each server stores. */
async function encodingProblems(run: Run): Promise<readonly string[]> {
  const [blue, green] = await Promise.all(
    [run.blue, run.green].map(async ({ main }) => {
      const sql = "select current_setting('server_encoding') as encoding";
      return (await main.query<{ encoding: string }>(sql)).rows[0]?.encoding;
    }),
  );
  if (blue === green) return [];
  return [
    `blue is encoded in ${blue}, green in ${green}: equal texts would be other bytes, and every ` +
      `comparison would differ. Create the database of green anew with encoding '${blue}'.`,
  ];
}

async function durabilityWarnings(database: Database): Promise<readonly string[]> {
  const { rows } = await database.main.query<{ name: string }>(
    `select s.name from pg_settings s
     where s.name in ('fsync', 'full_page_writes') and s.setting = 'off' order by s.name`,
  );
  return rows.map(
    ({ name }) =>
      `${database.side}: ${name} is off. A crash of the machine may take back what was committed, ` +
      'and with it the promise that two databases are never live.',
  );
}

async function sightWarnings(database: Database): Promise<readonly string[]> {
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

async function describeSource(
  client: pg.Client,
  table: TableName,
  lines: string[],
  refusals: string[],
  warnings: string[],
): Promise<void> {
  const shape = await tableShape(client, table);
  if (shape === undefined) return;
  const name = textOf(table);
  const megabytes = Math.ceil(shape.bytes / 1_048_576);
  lines.push(`${name}: about ${shape.rows} rows, ${megabytes} MiB with indexes`);
  if (await isUncounted(client, table)) {
    warnings.push(
      `${name} was never analyzed, so its rows are not counted above: "analyze ${name}", then ` +
        'plan again.',
    );
  }
  if (shape.columns.some(({ type }) => type === 'oid' || type === 'lo')) {
    refusals.push(
      `${name} has a column of type oid: large objects are not copied. Move them first.`,
    );
  }
  if (shape.places.length > 1) {
    warnings.push(
      `${name} has ${shape.places.length - 1} partitions: to drop, detach or attach one has to wait ` +
        'until "migrate finish", because no trigger sees it. A switch refuses a partition that is not ' +
        'captured, and verify finds the rows of one that is gone.',
    );
  }
  const { rows } = await client.query<{ secured: boolean }>(
    'select c.relrowsecurity as secured from pg_class c where c.oid = $1',
    [shape.oid],
  );
  if (rows[0]?.secured) {
    warnings.push(`${name} has row security: migrate must run as its owner or with BYPASSRLS.`);
  }
}

/** PostgreSQL has not looked yet how many rows there are, in the table or some partition of it. */
async function isUncounted(client: pg.Client, table: TableName): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from pg_class c where c.reltuples < 0 and c.relkind = 'r' and pg_relation_size(c.oid) > 0
       and (c.oid = to_regclass($1) or c.oid in (
         select t.relid from pg_partition_tree(to_regclass($1)) t))
     limit 1`,
    [quotedTable(table)],
  );
  return rowCount !== 0;
}

async function describeTarget(
  client: pg.Client,
  table: TableName,
  warnings: string[],
): Promise<void> {
  const { rows } = await client.query<{ name: string; always: boolean }>(
    `select t.tgname as name, t.tgenabled in ('A', 'R') as always from pg_trigger t
     where t.tgrelid = to_regclass($1) and not t.tgisinternal and t.tgname not like 'migrate\\_%'`,
    [quotedTable(table)],
  );
  for (const { name, always } of rows) {
    warnings.push(
      always
        ? `${textOf(table)}: trigger ${name} acts on what migrate writes too; verify may differ.`
        : `${textOf(table)}: trigger ${name} does not act on what migrate writes, only after the switch.`,
    );
  }
}

/** Rows are inserted or updated by their primary key, which PostgreSQL does not do by each. */
async function uselessKeys(database: Database, table: TableName): Promise<readonly string[]> {
  const { rows } = await database.main.query<{ name: string; word: string }>(
    `select k.conname as name,
       case when k.condeferrable then 'deferrable' else 'without overlaps' end as word
     from pg_constraint k
     -- Keys of periods come with PostgreSQL 18, so the column is asked by its name.
     where k.conrelid = to_regclass($1) and k.contype = 'p'
       and (k.condeferrable or (to_jsonb(k)->>'conperiod')::boolean)`,
    [quotedTable(table)],
  );
  return rows.map(
    ({ name, word }) =>
      `${database.side}: the primary key ${name} of ${textOf(table)} is ${word}, so no row can be ` +
      `brought over by it: make it anew without "${word}".`,
  );
}

/** A foreign key out of what is mapped: its other end would stay behind. */
async function foreignProblems(route: Route): Promise<readonly string[]> {
  const targets = route.tables.map(({ target }) => target);
  const names = new Set(targets.map(textOf));
  const problems: string[] = [];
  for (const key of await foreignKeys(route.destination.main, targets)) {
    const inside = names.has(textOf(key.table)) && names.has(textOf(key.refers));
    if (inside) continue;
    const outer = names.has(textOf(key.table)) ? key.refers : key.table;
    problems.push(
      `${route.destination.side}: foreign key ${key.name} ties ${textOf(key.table)} to ` +
        `${textOf(key.refers)}, but ${textOf(outer)} is not mapped. Map it, or drop the key.`,
    );
  }
  return problems;
}

function sequenceWarnings(route: Route, moves: readonly SequenceMove[]): readonly string[] {
  return moves.flatMap(({ to, from, columns }) => {
    if (from !== undefined) return [];
    const past = columns.map(({ table, name }) => `${textOf(table)}.${name}`).join(', ');
    return [
      `${route.destination.side}: sequence ${textOf(to)} will be set past the greatest ${past}; ` +
        'numbers issued and never stored may come again.',
    ];
  });
}

async function estimate(run: Run): Promise<number> {
  let rows = 0;
  for (const { sources } of run.routes.forward.tables) {
    const [first] = sources;
    if (first === undefined) continue;
    rows += (await tableShape(run.blue.main, first.table))?.rows ?? 0;
  }
  return rows;
}
