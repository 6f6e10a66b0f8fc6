import type pg from 'pg';
import { sqlStateOf } from './failure.ts';
import { quotedTable, type TableName } from './names.ts';

/** A column as the catalog describes it. */
export interface Column {
  readonly name: string;
  /** Without its modifier: a cast to it neither cuts nor rounds, where one to `varchar(3)` would. */
  readonly type: string;
  /** The n of `character(n)`; null for every other type. */
  readonly padded: number | null;
  /** `numeric` without precision and scale: each value keeps its own. */
  readonly unscaled: boolean;
  /** One of PostgreSQL's own types, so that it exists on the other server too. */
  readonly builtin: boolean;
  readonly required: boolean;
  readonly generated: boolean;
  /** Generated when it is read, so no trigger sees it. */
  readonly virtual: boolean;
  /** Generated always as identity. */
  readonly fixed: boolean;
}

/** Types whose bare name in a cast means "one character" or "one bit", also as what an array holds. */
const plain = (type: string) =>
  type.replace(/^character(?=$|\[)/, 'bpchar').replace(/^bit(?=$|\[)/, 'bit varying');

/** A table as the catalog describes it. */
export interface TableShape {
  readonly oid: number;
  /** r: ordinary, p: partitioned, v, m, f: neither can be mapped. */
  readonly kind: string;
  readonly rows: number;
  readonly bytes: number;
  readonly columns: readonly Column[];
  readonly primaryKey: readonly string[];
  /** Where rows lie: the table itself, or every partition with the parents. */
  readonly places: readonly TableName[];
}

/** Undefined: there is no such table. */
export async function tableShape(
  client: pg.Client,
  table: TableName,
): Promise<TableShape | undefined> {
  const { rows } = await client.query<{
    oid: number;
    kind: string;
    rows: number;
    bytes: number;
  }>(
    `select c.oid, c.relkind as kind,
       (select coalesce(sum(greatest(l.reltuples, 0)), 0)::float8 from pg_class l
        where l.oid = c.oid and c.relkind <> 'p'
          or l.oid in (select t.relid from pg_partition_tree(c.oid) t where t.isleaf)) as rows,
       (select coalesce(sum(pg_total_relation_size(l.oid)), 0)::float8 from pg_class l
        where l.oid = c.oid and c.relkind <> 'p'
          or l.oid in (select t.relid from pg_partition_tree(c.oid) t where t.isleaf)) as bytes
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = $2`,
    [table.schema, table.name],
  );
  const [found] = rows;
  if (found === undefined) return undefined;
  const columns = await columnsOf(client, found.oid);
  const key = await client.query<{ name: string }>(
    `select a.attname as name from pg_index i
     cross join lateral unnest(i.indkey::int2[]) with ordinality k(attnum, at)
     join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
     where i.indrelid = $1 and i.indisprimary and k.at <= i.indnkeyatts order by k.at`,
    [found.oid],
  );
  const places = await client.query<{ schema: string; name: string }>(
    `select n.nspname as schema, c.relname as name from pg_class c
     join pg_namespace n on n.oid = c.relnamespace
     where c.oid = $1 or c.oid in (select t.relid from pg_partition_tree($1::oid) t)
     order by c.oid`,
    [found.oid],
  );
  return {
    ...found,
    columns,
    primaryKey: key.rows.map(({ name }) => name),
    places: places.rows,
  };
}

async function columnsOf(client: pg.Client, oid: number): Promise<readonly Column[]> {
  const { rows } = await client.query<Column>(
    // A domain is what it is made of: that is what a projection gives, and its checks hold all the same.
    `with recursive made_of as (
       select a.attnum, a.atttypid as type, a.atttypmod as modifier from pg_attribute a
       where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
       union all
       select m.attnum, d.typbasetype, d.typtypmod
       from made_of m join pg_type d on d.oid = m.type and d.typtype = 'd')
     select a.attname as name, format_type(t.oid, null) as type,
       case when t.typname = 'bpchar' and m.modifier > 4 then m.modifier - 4 end as padded,
       (t.typname = 'numeric' and m.modifier = -1) as unscaled,
       (t.typnamespace = 'pg_catalog'::regnamespace) as builtin,
       (a.attnotnull and not a.atthasdef and a.attidentity = '') as required,
       (a.attgenerated <> '') as generated, (a.attgenerated = 'v') as virtual, (a.attidentity = 'a') as fixed
     from made_of m join pg_type t on t.oid = m.type and t.typtype <> 'd'
     join pg_attribute a on a.attrelid = $1 and a.attnum = m.attnum order by a.attnum`,
    [oid],
  );
  return rows.map((row) => ({ ...row, type: plain(row.type) }));
}

/** Whether a table holds any row. */
export async function hasRows(client: pg.Client, table: TableName): Promise<boolean> {
  const { rowCount } = await client.query(`select 1 from ${quotedTable(table)} limit 1`);
  return rowCount !== 0;
}

/** A column that a query gives. */
interface QueryColumn {
  readonly name: string;
  readonly type: string;
  /** A column of a table as it is, and `numeric` without precision and scale there. */
  readonly unscaled: boolean;
}

/** The columns that a query gives, with the names of their types; throws what PostgreSQL refuses. */
export async function queryColumns(
  client: pg.Client,
  sql: string,
): Promise<readonly QueryColumn[]> {
  const { fields } = await client.query(`with q as (${sql}\n) table q limit 0`);
  const { rows } = await client.query<{ type: string }>(
    `select format_type(f.oid, null) as type
     from unnest($1::oid[]) with ordinality f(oid, at) order by f.at`,
    [fields.map(({ dataTypeID }) => dataTypeID)],
  );
  return fields.map(({ name, tableID, dataTypeModifier }, at) => {
    const type = plain(rows[at]?.type ?? 'text');
    const unscaled = type === 'numeric' && tableID !== 0 && dataTypeModifier === -1;
    return { name, type, unscaled };
  });
}

/** Whether PostgreSQL can make the one type of the other, be it by what is written. */
export async function isCastable(client: pg.Client, from: string, to: string): Promise<boolean> {
  if (from === to) return true;
  try {
    await client.query(`select null::${from}::${to}`);
    return true;
  } catch (error) {
    // cannot_coerce
    if (sqlStateOf(error) === '42846') return false;
    throw error;
  }
}

/** A foreign key between tables. */
export interface ForeignKey {
  readonly name: string;
  readonly table: TableName;
  readonly columns: readonly string[];
  readonly refers: TableName;
  readonly referred: readonly string[];
  /**
   * PostgreSQL vouches for every row, by equal values: neither `not valid`, nor `not enforced`, nor
   * by `period`.
   */
  readonly holds: boolean;
}

/** Foreign keys from or to one of these tables. */
export async function foreignKeys(
  client: pg.Client,
  tables: readonly TableName[],
): Promise<readonly ForeignKey[]> {
  const { rows } = await client.query<{
    name: string;
    schema: string;
    table: string;
    columns: string[];
    refers_schema: string;
    refers: string;
    referred: string[];
    holds: boolean;
  }>(
    `with mapped as (select to_regclass(t.name)::oid as oid from unnest($1::text[]) t(name))
     select k.conname as name, n.nspname as schema, c.relname as "table",
       (select array_agg(a.attname::text order by u.at)
        from unnest(k.conkey) with ordinality u(attnum, at)
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum) as columns,
       m.nspname as refers_schema, r.relname as refers,
       -- A column of PostgreSQL 18, so asked by its name.
       k.convalidated and not coalesce((to_jsonb(k)->>'conperiod')::boolean, false) as holds,
       (select array_agg(a.attname::text order by u.at)
        from unnest(k.confkey) with ordinality u(attnum, at)
        join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.attnum) as referred
     from pg_constraint k
     join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
     join pg_class r on r.oid = k.confrelid join pg_namespace m on m.oid = r.relnamespace
     where k.contype = 'f' and k.conparentid = 0
       and (k.conrelid in (select oid from mapped) or k.confrelid in (select oid from mapped))
     order by k.conname`,
    [tables.map(quotedTable)],
  );
  return rows.map((row) => ({
    name: row.name,
    table: { schema: row.schema, name: row.table },
    columns: row.columns,
    refers: { schema: row.refers_schema, name: row.refers },
    referred: row.referred,
    holds: row.holds,
  }));
}

/** A sequence that numbers a column. */
export interface NumberingSequence {
  readonly sequence: TableName;
  readonly table: TableName;
  readonly column: string;
  /** The column holds numbers: its greatest value says how far the sequence went. */
  readonly numeric: boolean;
  /** An index begins with the column, so that its greatest value is found at once. */
  readonly indexed: boolean;
}

/**
 * Sequences that number a column of one of these tables: the column owns them, or its default asks
 * them. One sequence may number several columns.
 */
export async function numberingSequences(
  client: pg.Client,
  tables: readonly TableName[],
): Promise<readonly NumberingSequence[]> {
  const { rows } = await client.query<{
    schema: string;
    name: string;
    table_schema: string;
    table_name: string;
    column: string;
    numeric: boolean;
    indexed: boolean;
  }>(
    `with mapped as (select to_regclass(m.name)::oid as oid from unnest($1::text[]) m(name)),
     numbered as (
       select d.objid as sequence, d.refobjid as "table", d.refobjsubid as "column"
       from pg_depend d
       where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
         and d.deptype in ('a', 'i') and d.refobjid in (select m.oid from mapped m)
       union
       select d.refobjid, f.adrelid, f.adnum
       from pg_attrdef f join pg_depend d on d.objid = f.oid
       where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass
         and f.adrelid in (select m.oid from mapped m))
     select n.nspname as schema, s.relname as name, tn.nspname as table_schema,
       t.relname as table_name, a.attname as "column", ty.typcategory = 'N' as numeric,
       exists (select 1 from pg_index i join pg_class x on x.oid = i.indexrelid
         join pg_am m on m.oid = x.relam and m.amname = 'btree'
         where i.indrelid = t.oid and i.indisvalid and i.indkey[0] = a.attnum
           and i.indpred is null) as indexed
     from numbered d join pg_class s on s.oid = d.sequence and s.relkind = 'S'
     join pg_namespace n on n.oid = s.relnamespace
     join pg_class t on t.oid = d."table" join pg_namespace tn on tn.oid = t.relnamespace
     join pg_attribute a on a.attrelid = d."table" and a.attnum = d."column"
     join pg_type ty on ty.oid = a.atttypid
     order by 1, 2, 3, 4, 5`,
    [tables.map(quotedTable)],
  );
  return rows.map((row) => ({
    sequence: { schema: row.schema, name: row.name },
    table: { schema: row.table_schema, name: row.table_name },
    column: row.column,
    numeric: row.numeric,
    indexed: row.indexed,
  }));
}

/** Whether there is a sequence of this name. */
export async function isSequence(client: pg.Client, { schema, name }: TableName) {
  const { rowCount } = await client.query(
    "select from pg_class c where c.oid = to_regclass($1) and c.relkind = 'S'",
    [quotedTable({ schema, name })],
  );
  return rowCount !== 0;
}

/**
 * Sequences that have issued numbers, and that neither a column owns nor its default asks: whoever asks
 * them does so by name.
 */
export async function looseSequences(client: pg.Client): Promise<readonly TableName[]> {
  const { rows } = await client.query<TableName>(
    `select s.schemaname as schema, s.sequencename as name from pg_sequences s
     join pg_namespace n on n.nspname = s.schemaname
     join pg_class c on c.relnamespace = n.oid and c.relname = s.sequencename
     where s.last_value is not null and not exists (
       select from pg_depend d
       where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
         or d.classid = 'pg_attrdef'::regclass and d.refobjid = c.oid)
     order by 1, 2`,
  );
  return rows;
}
