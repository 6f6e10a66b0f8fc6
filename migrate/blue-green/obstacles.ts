import type pg from 'pg';
import { foreignKeys, type TableShape, tableShape } from './catalog.ts';
import { isTakenForUtc } from './conversion.ts';
import { type Database, inTransaction, otherSide } from './database.ts';
import { quotedTable, type TableName, textOf } from './names.ts';
import { keyOrder, nextBound } from './projection.ts';
import type { Route } from './resolve.ts';

/** Statement triggers fire for the table that a statement names, so rows may come past them. */
export async function familyProblems(
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

/** Rows are inserted or updated by their primary key, which PostgreSQL does not do by each. */
export async function keyProblems(
  database: Database,
  table: TableName,
): Promise<readonly string[]> {
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
export async function foreignProblems(route: Route): Promise<readonly string[]> {
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

/** Large objects lie beside the row that names them. */
export const largeObjectProblems = (
  table: TableName,
  { columns }: TableShape,
): readonly string[] =>
  columns.some(({ type }) => type === 'oid' || type === 'lo')
    ? [`${textOf(table)} has a column of type oid: large objects are not copied. Move them first.`]
    : [];

/** What to know of a table that rows come from. */
export async function sourceWarnings(
  client: pg.Client,
  table: TableName,
  { oid, places }: TableShape,
): Promise<readonly string[]> {
  const name = textOf(table);
  const warnings: string[] = [];
  if (await isUncounted(client, table)) {
    warnings.push(
      `${name} was never analyzed, so its rows are not counted above: "analyze ${name}", then ` +
        'plan again.',
    );
  }
  if (places.length > 1) {
    warnings.push(
      `${name} has ${places.length - 1} partitions: to drop, detach or attach one has to wait ` +
        'until "migrate finish", because no trigger sees it. A switch refuses a partition that is not ' +
        'captured, and verify finds the rows of one that is gone.',
    );
  }
  const { rows } = await client.query<{ secured: boolean }>(
    'select c.relrowsecurity as secured from pg_class c where c.oid = $1',
    [oid],
  );
  if (rows[0]?.secured) {
    warnings.push(`${name} has row security: migrate must run as its owner or with BYPASSRLS.`);
  }
  return warnings;
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

/** What to know of a table that the tool writes: which triggers see that. */
export async function targetWarnings(
  client: pg.Client,
  table: TableName,
): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string; always: boolean }>(
    `select t.tgname as name, t.tgenabled in ('A', 'R') as always from pg_trigger t
     where t.tgrelid = to_regclass($1) and not t.tgisinternal and t.tgname not like 'migrate\\_%'`,
    [quotedTable(table)],
  );
  return rows.map(({ name, always }) =>
    always
      ? `${textOf(table)}: trigger ${name} acts on what migrate writes too; verify may differ.`
      : `${textOf(table)}: trigger ${name} does not act on what migrate writes, only after the switch.`,
  );
}

/** A time that has a zone on one side only. */
export function zoneWarnings({ destination, tables }: Route): readonly string[] {
  return tables.flatMap(({ target, columns }) =>
    columns
      .filter(({ originType, type }) => isTakenForUtc(originType, type))
      .map(
        ({ name, originType, type }) =>
          `${destination.side}: ${textOf(target)}.${name} is ${type} and is given ${originType}: what has no ` +
          'zone is taken for UTC. Where it is of another, say so by "at time zone" in the projection.',
      ),
  );
}

/**
 * Projections whose keys no index gives in order: whoever looks for a range sorts all rows. A plan
 * that may not sort does so only where there is no other way.
 */
export async function rangeWarnings({ origin, tables }: Route): Promise<readonly string[]> {
  const warnings: string[] = [];
  for (const table of tables) {
    const [first] = table.sources;
    const rows = first && (await tableShape(origin.main, first.table))?.rows;
    if (rows === undefined || rows <= table.rangeRows) continue;
    const sorts = await inTransaction(origin.main, async () => {
      await origin.main.query('set local enable_sort = off; set local enable_seqscan = off');
      const found = await origin.main.query(`explain (format json) ${nextBound(table, null)}`);
      return JSON.stringify(found.rows).includes('"Node Type":"Sort"');
    });
    if (!sorts) continue;
    warnings.push(
      `${origin.side}: no index gives the rows of ${textOf(table.target)} in the order of their key, so each ` +
        `of about ${Math.ceil(rows / table.rangeRows)} ranges reads all of them. For a fast copy make one on ` +
        `(${keyOrder(table)}); for a fast verify, also in ${otherSide(origin.side)}.`,
    );
  }
  return warnings;
}
