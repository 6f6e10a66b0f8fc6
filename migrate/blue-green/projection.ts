import { createHash } from 'node:crypto';
import { literal, quoted, quotedTable, type TableName, textOf } from './names.ts';

/** A column of a projection, once both databases were asked. */
export interface ProjectedColumn {
  readonly name: string;
  /** Its type in the destination, without modifier. */
  readonly type: string;
  /** The n of `character(n)` there. */
  readonly padded: number | null;
  /** What the projection gives, in the origin. */
  readonly originType: string;
  /** A number that both sides keep with its own scale: 10.00 is not 10. Else they are compared without. */
  readonly exact: boolean;
  /** The origin casts to the destination's type, so that both write the value alike. */
  readonly cast: boolean;
  /** Generated always as identity: it can be inserted, but no row takes another value. */
  readonly fixed: boolean;
}

/** A source of a projection, with the types of what capture logs. */
export interface ResolvedSource {
  readonly table: TableName;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Gives the key columns from `changed`. */
  readonly keys: string;
  /** What is captured is the target key itself, so nobody needs to be asked. */
  readonly isKey: boolean;
  /** Key columns that it gives as text, which the projection may cast to another type. */
  readonly asText: readonly string[];
}

/** One table of a mapping, fitted to both databases. All SQL is made from this. */
export interface ResolvedTable {
  readonly target: TableName;
  readonly key: readonly string[];
  readonly columns: readonly ProjectedColumn[];
  readonly select: string;
  readonly sources: readonly ResolvedSource[];
  readonly rangeRows: number;
  /** Columns of the target that the projection does not fill: what they hold stays. */
  readonly kept: readonly string[];
}

/** A half-open range of keys, each bound as the texts of its columns; null: no bound. */
export interface KeyRange {
  readonly low: readonly string[] | null;
  readonly high: readonly string[] | null;
}

type Where = 'origin' | 'destination';
/** What a value is read for: a number may be stored with zeros at its end that are not compared. */
type Use = 'stored' | 'compared';

const list = (table: ResolvedTable, of: (column: ProjectedColumn) => string) =>
  table.columns.map(of).join(', ');

function keyColumns(table: ResolvedTable): readonly ProjectedColumn[] {
  return table.key.map((name) => {
    const column = table.columns.find((candidate) => candidate.name === name);
    if (column === undefined) throw new Error(`the projection has no key column ${name}`);
    return column;
  });
}

export const isText = (type: string) => /^(text|character varying|bpchar)$/.test(type);

/** Text is ordered byte by byte on both servers, whatever the collation of the column. */
function ordered(column: ProjectedColumn, where: Where, expression: string): string {
  const type = where === 'origin' ? column.originType : column.type;
  return /^(text|character varying|bpchar)\b/.test(type) ? `${expression} collate "C"` : expression;
}

function keyType(column: ProjectedColumn, where: Where): string {
  return where === 'origin' ? column.originType : column.type;
}

/**
 * A value as both servers write it. Nothing is cut or rounded on the way: a cast in the origin would
 * do so silently, the destination refuses, or what is read back differs.
 */
function written(column: ProjectedColumn, where: Where, use: Use): string {
  const value = `p.${quoted(column.name)}`;
  const binary = where === 'origin' && ['real', 'double precision'].includes(column.originType);
  // Cast at once it would keep six digits of a real, and fifteen of a double; its text has all.
  const number = binary ? `${value}::text::numeric` : `${value}::numeric`;
  if (column.type === 'numeric' && !column.exact) {
    return use === 'compared' ? `trim_scale(${number})` : number;
  }
  if (where === 'destination' || !column.cast) return value;
  const whole = ['smallint', 'integer', 'bigint'].includes(column.type);
  if (whole && (binary || column.originType === 'numeric')) return `trim_scale(${number})`;
  if (column.padded !== null) {
    return `rpad(${value}::text, greatest(${column.padded}, length(${value}::text)))`;
  }
  return `${value}::${column.type}`;
}

/** Values of a row as the destination compares them, or is to store them. */
function valuesOf(table: ResolvedTable, where: Where, use: Use): string {
  return list(table, (column) => `${written(column, where, use)} as ${quoted(column.name)}`);
}

/** The rows as they are, or are to be, in the destination: the same text on both sides. */
function rowsIn(table: ResolvedTable, where: Where, filter: string, use: Use = 'compared'): string {
  const from = where === 'destination' ? quotedTable(table.target) : `(${table.select}\n)`;
  return `select ${valuesOf(table, where, use)} from ${from} p where ${filter}`;
}

function inRange(table: ResolvedTable, where: Where, range: KeyRange): string {
  const columns = keyColumns(table);
  const left = columns.map((column) => ordered(column, where, `p.${quoted(column.name)}`));
  const bound = (values: readonly string[]) =>
    columns.map((column, at) => {
      const value = literal(values[at] ?? '');
      return ordered(column, where, `${value}::${keyType(column, where)}`);
    });
  const compare = (sign: string, values: readonly string[]) =>
    `(${left.join(', ')}) ${sign} (${bound(values).join(', ')})`;
  const parts = [
    ...(range.low === null ? [] : [compare('>=', range.low)]),
    ...(range.high === null ? [] : [compare('<', range.high)]),
  ];
  return parts.length === 0 ? 'true' : parts.join(' and ');
}

/** `$1` is a JSON array of keys, each an array of texts. */
function inKeys(table: ResolvedTable, where: Where): string {
  const columns = keyColumns(table);
  const given = columns.map(
    (column, at) => `(e.value->>${at})::${keyType(column, where)} as ${quoted(column.name)}`,
  );
  const names = columns.map(({ name }) => `p.${quoted(name)}`).join(', ');
  const [only] = columns;
  const from = `jsonb_array_elements($1::jsonb) e where ${holdable(table, columns, where)}`;
  // An array of arrays is an array of their members, which no key equals.
  if (only !== undefined && columns.length === 1 && !keyType(only, where).endsWith('[]')) {
    return `${names} = any(array(select (e.value->>0)::${keyType(only, where)} from ${from}))`;
  }
  return `(${names}) in (select ${given.join(', ')} from ${from})`;
}

const bounds: Readonly<Record<string, string>> = {
  smallint: '-32768 and 32767',
  integer: '-2147483648 and 2147483647',
  bigint: '-9223372036854775808 and 9223372036854775807',
};

/** All that PostgreSQL reads as a whole number, since 16 also 0xff and 1_000. */
const wholeNumber = '^\\s*[-+]?([0-9][0-9_]*|0[xob][0-9a-f_]+)\\s*$';

/**
 * A key that the type cannot hold is in no row. It comes from a row that did not fit and is gone:
 * without this its place in the log of changes would stop every batch for ever.
 */
function holdable({ sources }: ResolvedTable, columns: readonly ProjectedColumn[], where: Where) {
  const tests = columns.flatMap((column, at) => {
    const type = keyType(column, where);
    const between = bounds[type];
    const given = `(e.value->>${at})`;
    if (sources.some(({ asText }) => asText.includes(column.name))) {
      if (type === 'uuid') return [`translate(${given}, '-{}', '') ~* '^[0-9a-f]{32}$'`];
      if (between === undefined) return [];
      return [
        `case when ${given} ~* '${wholeNumber}' then ${given}::numeric between ${between} end`,
      ];
    }
    const isNumber = Object.hasOwn(bounds, column.originType) || column.originType === 'numeric';
    if (where === 'origin' || between === undefined || !isNumber) return [];
    return column.originType === column.type ? [] : [`${given}::numeric between ${between}`];
  });
  return tests.length === 0 ? 'true' : tests.join(' and ');
}

/** The key as texts; what `character(n)` is padded with is no part of it, as it is in no comparison. */
function keyAsJson(table: ResolvedTable, alias: string): string {
  const texts = keyColumns(table).map(({ name, padded }) => {
    const text = `${alias}.${quoted(name)}::text`;
    return padded === null ? text : `rtrim(${text}, ' ')`;
  });
  return `jsonb_build_array(${texts.join(', ')})`;
}

/**
 * Hash of one row, by its text; the same on every server and architecture of one byte order. The star
 * says that the whole row is meant, also where a column has the name of the alias.
 */
const rowHash = (alias: string) => `hashtextextended((${alias}.*)::text, 0)`;

/** `COPY ... TO STDOUT` of a range, in the origin. */
export function copyOut(table: ResolvedTable, range: KeyRange): string {
  return `copy (${rowsIn(table, 'origin', inRange(table, 'origin', range), 'stored')}) to stdout`;
}

/** `COPY ... FROM STDIN`, in the destination. */
export function copyIn(table: ResolvedTable): string {
  return `copy ${quotedTable(table.target)} (${list(table, ({ name }) => quoted(name))}) from stdin`;
}

/** Rows of a range are put into so many buckets by their hashes. */
const buckets = 64;

const rowsWithHash = (table: ResolvedTable, where: Where, range: KeyRange) =>
  `(select ${keyAsJson(table, 'r')} as key, ${rowHash('r')} as hash
    from (${rowsIn(table, where, inRange(table, where, range))}) r) h`;

/**
 * Count and sum of row hashes of a range, and the snapshot's oldest transaction, as texts; and
 * `buckets`, an object with count and sum of each bucket that has rows.
 */
export function rangeHash(table: ResolvedTable, where: Where, range: KeyRange): string {
  return `select coalesce(sum(b.rows), 0)::text as rows, coalesce(sum(b.hash), 0)::text as hash,
      pg_snapshot_xmin(pg_current_snapshot())::text as marker,
      coalesce(json_object_agg(b.bucket, b.rows || ' ' || b.hash), '{}') as buckets
    from (select h.hash & ${buckets - 1} as bucket, count(*) as rows, sum(h.hash) as hash
      from ${rowsWithHash(table, where, range)} group by 1) b`;
}

/**
 * Whether a range of the destination has not `$1` rows, or one that is as young as transaction `$2`.
 * Only the last 32 bits of a row's transaction are stored, so after a billion others it says yes.
 */
export function rangeTouched(table: ResolvedTable, range: KeyRange): string {
  return `with marker as materialized (
      select ($2::numeric % 4294967296)::text::xid as low_bits,
        pg_snapshot_xmax(pg_current_snapshot())::text::numeric - $2::numeric
          not between 0 and 1000000000 as useless)
    select count(*) <> $1::bigint or (select m.useless from marker m)
      or coalesce(bool_or(age(p.xmin) <= age((select m.low_bits from marker m))), false) as touched
    from ${quotedTable(table.target)} p where ${inRange(table, 'destination', range)}`;
}

/** Key and hash of each row of a range in the buckets `$1`. */
export function rowHashesOfRange(table: ResolvedTable, where: Where, range: KeyRange): string {
  return `select h.key::text as key, h.hash::text as hash from ${rowsWithHash(table, where, range)}
    where h.hash & ${buckets - 1} = any($1::bigint[])`;
}

/** Key and hash of the rows with the keys in `$1`. */
export function rowHashesOfKeys(table: ResolvedTable, where: Where): string {
  return `select ${keyAsJson(table, 'r')}::text as key, ${rowHash('r')}::text as hash
    from (${rowsIn(table, where, inKeys(table, where))}) r`;
}

/** Bytes of one row as text: three such strings have to fit into memory. */
const rowBytesMax = 256 * 1024 * 1024;
/** How the error about a row that is longer ends; what stands before is the row's length. */
export const tooLong = `bytes are more than a batch can carry in one row (${rowBytesMax})`;

/**
 * The projected rows with the keys in `$1`: their columns, then `migrate_hash`. A row that is too long
 * fails here, by a cast of the sentence that says so: once on its way, nothing would name it.
 */
export function projectedRows(table: ResolvedTable): string {
  return `select ${valuesOf(table, 'origin', 'stored')},
      case when octet_length(t.line) <= ${rowBytesMax} then hashtextextended(t.line, 0)
        else (octet_length(t.line) || ${literal(` ${tooLong}`)})::bigint end as migrate_hash
    from (${table.select}\n) p cross join lateral (
      select (r.*)::text as line from (select ${valuesOf(table, 'origin', 'compared')}) r offset 0) t
    where ${inKeys(table, 'origin')}`;
}

/** Target keys that the changed rows in `$1` (JSON arrays of the captured columns) affect. */
export function affectedKeys(table: ResolvedTable, source: ResolvedSource): string {
  const changed = source.columns
    .map(({ name, type }, at) => `(e.value->>${at})::${type} as ${quoted(name)}`)
    .join(', ');
  return `with changed as materialized (select ${changed} from jsonb_array_elements($1::jsonb) e)
    select distinct ${keyAsJson(table, 'k')}::text as key from (${source.keys}\n) k
    where ${table.key.map((name) => `k.${quoted(name)} is not null`).join(' and ')}`;
}

/** One of the projected rows of which a key column is null, if there is one. */
export function keyless(table: ResolvedTable): string {
  const tests = table.key.map((name) => `p.${quoted(name)} is null`);
  return `select 1 from (${table.select}\n) p where ${tests.join(' or ')} limit 1`;
}

/** The key as an index of the origin has to have it, so that ranges are found by it. */
export function keyOrder(table: ResolvedTable): string {
  return keyColumns(table)
    .map((column) => ordered(column, 'origin', quoted(column.name)))
    .join(', ');
}

/** The key after `rangeRows` rows, from `after` on: where the next range begins. */
export function nextBound(table: ResolvedTable, after: readonly string[] | null): string {
  const columns = keyColumns(table);
  const names = columns.map(({ name }) => `p.${quoted(name)}`).join(', ');
  const order = columns
    .map((column) => ordered(column, 'origin', `b.${quoted(column.name)}`))
    .join(', ');
  const range = inRange(table, 'origin', { low: after, high: null });
  return `select ${keyAsJson(table, 'b')} as key
    from (select ${names} from (${table.select}\n) p where ${range}) b
    order by ${order} offset ${table.rangeRows} limit 1`;
}

/** Deletes the rows with the keys in `$1`, in the destination. */
export function deleteKeys(table: ResolvedTable): string {
  return `delete from ${quotedTable(table.target)} p where ${inKeys(table, 'destination')}`;
}

/** Fails where one of the keys in `$1` is none of a table with such key columns. */
export function castKeys(table: ResolvedTable, where: Where): string {
  const casts = keyColumns(table).map(
    (column, at) => `count((e.value->>${at})::${keyType(column, where)})`,
  );
  return `select ${casts.join(', ')} from jsonb_array_elements($1::jsonb) e`;
}

/** Locks the rows with the keys in `$1`, in the destination, until the transaction ends. */
export function lockKeys(table: ResolvedTable): string {
  const order = table.key.map((name) => `p.${quoted(name)}`).join(', ');
  return `select 1 from ${quotedTable(table.target)} p where ${inKeys(table, 'destination')}
    order by ${order} for update`;
}

/** The key of row `row` is that of `p`; `row` holds texts as `c0`, `c1` and so on. */
function sameKey(table: ResolvedTable, row: string): string {
  return keyColumns(table)
    .map((column) => {
      const at = table.columns.indexOf(column);
      return `p.${quoted(column.name)} = ${row}.c${at}::${column.type}`;
    })
    .join(' and ');
}

/** Rows given as one array of texts per column, the first of which is parameter `first`. */
function given(table: ResolvedTable, alias: string, first: number, of = table.columns): string {
  const arrays = of.map((_, at) => `$${at + first}::text[]`).join(', ');
  const names = of.map((column) => `c${table.columns.indexOf(column)}`).join(', ');
  return `unnest(${arrays}) ${alias}(${names})`;
}

/**
 * Deletes the rows with the keys in `$1` but for the keys given from `$2` on, as one array of texts
 * per key column. Values are compared, not how they are written.
 */
export function deleteGone(table: ResolvedTable): string {
  return `${deleteKeys(table)}
    and not exists (select from ${given(table, 's', 2, keyColumns(table))} where ${sameKey(table, 's')})`;
}

/** Inserts or updates rows given as one array of texts per column; of `missing` none is updated. */
export function upsertRows(table: ResolvedTable, mode: 'upsert' | 'insert' | 'missing'): string {
  const rest = table.columns.filter(({ name, fixed }) => !table.key.includes(name) && !fixed);
  const set = rest.map(({ name }) => `${quoted(name)} = excluded.${quoted(name)}`).join(', ');
  const conflict = `on conflict (${table.key.map(quoted).join(', ')}) do ${
    rest.length === 0 || mode === 'missing' ? 'nothing' : `update set ${set}`
  }`;
  return `${insertGiven(table, [])} from ${given(table, 'u', 1)} ${mode === 'insert' ? '' : conflict}`;
}

function insertGiven(table: ResolvedTable, kept: readonly string[]): string {
  const names = [...table.columns.map(({ name }) => name), ...kept].map(quoted).join(', ');
  const values = [
    ...table.columns.map(({ type }, at) => `u.c${at}::${type}`),
    ...kept.map((name) => `p.${quoted(name)}`),
  ].join(', ');
  return `insert into ${quotedTable(table.target)} (${names}) overriding system value select ${values}`;
}

/** A table of this transaction that holds rows which make room and come back. */
const asideOf = (table: ResolvedTable) =>
  `pg_temp.${quoted(`migrate_${createHash('sha256').update(textOf(table.target)).digest('hex').slice(0, 16)}`)}`;

/** Makes room for all rows with the keys in `$1`; {@link comeBack} inserts them again. */
export function makeWay(table: ResolvedTable): readonly [create: string, move: string] {
  const columns = [...table.key, ...table.kept].map(quoted).join(', ');
  return [
    `create temporary table ${asideOf(table)} on commit drop as
     select ${columns} from ${quotedTable(table.target)} with no data`,
    `with gone as (${deleteKeys(table)} returning ${columns})
     insert into ${asideOf(table)} (${columns}) select ${columns} from gone`,
  ];
}

/**
 * Inserts rows given as one array of texts per column: first those that were there, with what their
 * kept columns held, then those that are new, with the defaults.
 */
export function comeBack(table: ResolvedTable): readonly [known: string, fresh: string] {
  const from = `from ${given(table, 'u', 1)}`;
  const aside = asideOf(table);
  return [
    `${insertGiven(table, table.kept)} ${from} join ${aside} p on ${sameKey(table, 'u')}`,
    `${insertGiven(table, [])} ${from}
     where not exists (select from ${aside} p where ${sameKey(table, 'u')})`,
  ];
}
