import type pg from 'pg';
import { isSequence, queryColumns } from './catalog.ts';
import { sentenceOf } from './failure.ts';
import type { Run } from './migration.ts';
import { quotedTable, type TableName, textOf } from './names.ts';
import type { ResolvedTable } from './projection.ts';
import { type Route, sourcesOf } from './resolve.ts';

/**
 * What would come to light long after the copy: tables that a projection reads and nobody captures,
 * sequences that are not there, checks that cannot be asked. A sentence each, with what to do.
 */
export async function blindSpots(run: Run): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const [name, route] of Object.entries(run.routes)) {
    if (route === undefined) continue;
    for (const [at, table] of route.tables.entries()) {
      for (const read of await uncaptured(route.origin.main, table)) {
        problems.push(
          `${name}.tables[${at}]: the projection reads ${textOf(read)}, which is not among its sources, ` +
            'so what changes there would be missed. Name it, with the columns that say which rows it ' +
            'affects.',
        );
      }
    }
    problems.push(...(await absentSequences(name, route)));
  }
  return [...problems, ...(await unaskable(run))];
}

/** Tables that the projection reads, by the plan that PostgreSQL makes for it, and does not name. */
async function uncaptured(
  client: pg.Client,
  { select, sources }: ResolvedTable,
): Promise<readonly TableName[]> {
  const { rows } = await client.query<Record<string, unknown>>(
    `explain (verbose, format json) ${select}`,
  );
  const found = await client.query<TableName>(
    `select distinct n.nspname as schema, c.relname as name
     from jsonb_path_query($1::jsonb, '$.** ? (exists(@."Relation Name"))') p
     join pg_namespace n on n.nspname = p->>'Schema'
     join pg_class c on c.relnamespace = n.oid and c.relname = p->>'Relation Name'
     where n.nspname not in ('pg_catalog', 'information_schema') and not exists (
       select from unnest($2::text[]) s(name)
       where to_regclass(s.name) = c.oid
         or to_regclass(s.name) in (select a.relid from pg_partition_ancestors(c.oid) a(relid)))
     order by 1, 2`,
    [JSON.stringify(rows[0]?.['QUERY PLAN']), sources.map(({ table }) => quotedTable(table))],
  );
  return found.rows;
}

async function absentSequences(name: string, route: Route): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const [at, { from, to }] of route.sequences.entries()) {
    for (const [end, { main, side }, sequence] of [
      ['from', route.origin, from],
      ['to', route.destination, to],
    ] as const) {
      if (await isSequence(main, sequence)) continue;
      problems.push(
        `${name}.sequences[${at}].${end}: ${textOf(sequence)} is no sequence of the ${side} database`,
      );
    }
  }
  return problems;
}

/** Checks are prepared, not run. */
async function unaskable(run: Run): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const [at, check] of run.mapping.checks.entries()) {
    const asked =
      'equal' in check
        ? (['blue', 'green'] as const).map((side) => [side, check.equal[side]] as const)
        : (['blue', 'green'] as const)
            .filter((side) => check.on === side || check.on === 'both')
            .map((side) => [side, check.violations] as const);
    for (const [side, sql] of asked) {
      await queryColumns(run[side].main, sql).catch((error: unknown) => {
        problems.push(`checks[${at}] (${check.name}): ${side} refuses it: ${sentenceOf(error)}`);
      });
    }
  }
  return problems;
}

/** What a rollback would not take along, though there is a way back. */
export function notTakenBack({ routes: { forward, reverse } }: Run): readonly string[] {
  if (reverse === undefined) return [];
  const read = new Set(sourcesOf(reverse).map(({ table }) => textOf(table)));
  const filled = new Set(reverse.tables.map(({ target }) => textOf(target)));
  const targets = forward.tables.map(({ target }) => textOf(target));
  const sources = sourcesOf(forward).map(({ table }) => textOf(table));
  return [
    ...targets
      .filter((name) => !read.has(name))
      .map(
        (name) =>
          `green: nothing of "reverse" reads ${name}: what is written there after a switch, a rollback ` +
          'does not take along.',
      ),
    ...sources
      .filter((name) => !filled.has(name))
      .map(
        (name) =>
          `blue: nothing of "reverse" fills ${name}: after a rollback it holds what it held at the switch.`,
      ),
  ];
}
