import { isCastable, queryColumns, tableShape } from './catalog.ts';
import { isSpelledFreely, lossOf } from './conversion.ts';
import type { Database } from './database.ts';
import { Failure, sentenceOf } from './failure.ts';
import type { Direction, Mapping, TableMapping } from './mapping.ts';
import { parseTableName, quoted, type TableName, textOf } from './names.ts';
import {
  isText,
  type ProjectedColumn,
  type ResolvedSource,
  type ResolvedTable,
} from './projection.ts';

/** One direction of a mapping, fitted to both databases. */
export interface Route {
  readonly origin: Database;
  readonly destination: Database;
  readonly tables: readonly ResolvedTable[];
  readonly sequences: readonly { readonly from: TableName; readonly to: TableName }[];
}

/** Both directions. `reverse` undefined: the mapping has no way back. */
export interface Routes {
  readonly forward: Route;
  readonly reverse: Route | undefined;
}

/** Fits a mapping to both databases, or refuses with all that does not fit, one per line. */
export async function resolveMapping(
  mapping: Mapping,
  blue: Database,
  green: Database,
): Promise<Routes> {
  const problems: string[] = [];
  const forward = await resolveDirection('forward', mapping.forward, blue, green, problems);
  const reverse = mapping.reverse
    ? await resolveDirection('reverse', mapping.reverse, green, blue, problems)
    : undefined;
  if (problems.length > 0) throw new Failure(problems.join('\n'));
  return { forward, reverse };
}

async function resolveDirection(
  name: string,
  direction: Direction,
  origin: Database,
  destination: Database,
  problems: string[],
): Promise<Route> {
  const tables: ResolvedTable[] = [];
  for (const [index, table] of direction.tables.entries()) {
    const field = `${name}.tables[${index}]`;
    const resolved = await resolveTable(table, origin, destination).catch((error: unknown) => {
      problems.push(`${field}: ${sentenceOf(error)}`);
      return undefined;
    });
    if (resolved === undefined) continue;
    problems.push(...resolved.problems.map((problem) => `${field}${problem}`));
    tables.push(resolved.table);
  }
  const sequences = direction.sequences.map(({ from, to }) => ({
    from: tableNameOf(from),
    to: tableNameOf(to),
  }));
  return { origin, destination, tables: withAllCaptured(tables), sequences };
}

/** Several projections may read one table: capture logs what any of them needs, once. */
function withAllCaptured(tables: readonly ResolvedTable[]): readonly ResolvedTable[] {
  const captured = new Map<string, { readonly name: string; readonly type: string }[]>();
  for (const { table, columns } of tables.flatMap(({ sources }) => sources)) {
    const known = captured.get(textOf(table)) ?? [];
    const further = columns.filter(({ name }) => !known.some((column) => column.name === name));
    captured.set(textOf(table), [...known, ...further]);
  }
  return tables.map((table) => ({
    ...table,
    sources: table.sources.map((source) => {
      const columns = captured.get(textOf(source.table)) ?? source.columns;
      // Where another projection needs more of the row, or in another order, the key is not all.
      const same = columns.length === source.columns.length;
      const inOrder = columns.every(({ name }, at) => name === source.columns[at]?.name);
      return { ...source, columns, isKey: source.isKey && same && inOrder };
    }),
  }));
}

async function resolveTable(mapping: TableMapping, origin: Database, destination: Database) {
  const problems: string[] = [];
  const target = tableNameOf(mapping.target);
  const shape = await tableShape(destination.main, target);
  if (shape === undefined) {
    throw new Failure(
      `${textOf(target)} is not in the ${destination.side} database; create it there first`,
    );
  }
  if (shape.kind !== 'r' && shape.kind !== 'p') {
    throw new Failure(`${textOf(target)} is no table; only tables can be filled`);
  }
  const projected = await queryColumns(origin.main, mapping.select).catch((error: unknown) => {
    throw new Failure(`select: ${origin.side} refuses it: ${sentenceOf(error)}`);
  });
  const columns = projected.flatMap(({ name, type, unscaled }) => {
    const column = shape.columns.find((candidate) => candidate.name === name);
    if (column === undefined || column.generated) {
      problems.push(
        `.select: ${textOf(target)} has no column "${name}" that can be written; ` +
          'leave it out or name it by "as"',
      );
      return [];
    }
    const { padded, builtin, fixed } = column;
    const exact = unscaled && column.unscaled;
    return [{ name, type: column.type, originType: type, cast: builtin, padded, fixed, exact }];
  });
  problems.push(...(await conversionProblems(origin, mapping, columns)));
  const names = projected.map(({ name }) => name);
  for (const name of new Set(names.filter((one, at) => names.indexOf(one) !== at))) {
    problems.push(`.select: it gives column "${name}" more than once; name each differently`);
  }
  for (const { name } of shape.columns.filter((column) => column.required)) {
    if (!projected.some((column) => column.name === name)) {
      problems.push(`.select: column "${name}" is not null and has no default; project it`);
    }
  }
  if (!sameNames(mapping.key, shape.primaryKey)) {
    const found = shape.primaryKey.join(', ') || 'none';
    problems.push(
      `.key: the primary key of ${textOf(target)} is (${found}), not (${mapping.key.join(', ')})`,
    );
  }
  const missing = mapping.key.filter((key) => !columns.some(({ name }) => name === key));
  if (missing.length > 0)
    problems.push(`.select: project the key column "${missing.join('", "')}"`);
  const sources: ResolvedSource[] = [];
  for (const [at, source] of mapping.sources.entries()) {
    const resolved = await resolveSource(mapping, source, origin);
    if (typeof resolved === 'string') problems.push(`.sources[${at}]: ${resolved}`);
    else sources.push(resolved);
  }
  const table: ResolvedTable = {
    target,
    key: mapping.key,
    columns,
    select: mapping.select,
    sources,
    rangeRows: mapping.rangeRows,
    kept: shape.columns.flatMap(({ name, generated }) =>
      generated || columns.some((column) => column.name === name) ? [] : [name],
    ),
  };
  return { table, problems };
}

/** What would go wrong, or get lost, on the way from one type to another. */
async function conversionProblems(
  { main, side }: Database,
  { target, key }: TableMapping,
  columns: readonly ProjectedColumn[],
): Promise<readonly string[]> {
  const problems: string[] = [];
  const place = textOf(tableNameOf(target));
  for (const { name, originType, type, cast } of columns) {
    const becomes = `.select: "${name}" is ${originType} and would become ${type} in ${place}`;
    const loss = lossOf(originType, type);
    if (loss !== undefined) {
      problems.push(
        `${becomes}, which would ${loss}. Where that is meant, cast it in the projection.`,
      );
    } else if (cast && key.includes(name) && isSpelledFreely(originType, type)) {
      problems.push(
        `${becomes}, which a text may spell in several ways, so rows would not be found again by their ` +
          `key. Cast it in the projection; an index of ${side} on that cast keeps ranges fast.`,
      );
    } else if (cast && !(await isCastable(main, originType, type))) {
      problems.push(`${becomes}, to which PostgreSQL has no cast. Say in the projection how.`);
    }
  }
  return problems;
}

async function resolveSource(
  mapping: TableMapping,
  source: TableMapping['sources'][number],
  origin: Database,
): Promise<ResolvedSource | string> {
  const table = tableNameOf(source.table);
  const shape = await tableShape(origin.main, table);
  if (shape === undefined) return `${textOf(table)} is not in the ${origin.side} database`;
  if (shape.kind !== 'r' && shape.kind !== 'p') {
    return `${textOf(table)} is no table, so its changes cannot be captured; name the tables under it`;
  }
  const columns = source.columns.map((name) =>
    shape.columns.find((column) => column.name === name),
  );
  const unknown = source.columns.filter((_, at) => columns[at] === undefined);
  if (unknown.length > 0) return `${textOf(table)} has no column "${unknown.join('", "')}"`;
  const unseen = columns.find((column) => column?.virtual);
  if (unseen !== undefined) {
    return (
      `${textOf(table)}.${unseen.name} is generated when it is read, so capture does not see it; name the ` +
      'columns that it is made of'
    );
  }
  const typed = columns.flatMap((column) =>
    column ? [{ name: column.name, type: column.type }] : [],
  );
  const sameOrder = mapping.key
    .map((name, at) => `c.${quoted(source.columns[at] ?? '')} as ${quoted(name)}`)
    .join(', ');
  const keys = source.keys ?? `select ${sameOrder} from changed c`;
  const changed = typed.map(({ name, type }) => `null::${type} as ${quoted(name)}`).join(', ');
  const given = await queryColumns(
    origin.main,
    `with changed as (select ${changed}), k as (${keys}\n) table k`,
  ).catch((error: unknown) => sentenceOf(error));
  if (typeof given === 'string') return `keys: ${origin.side} refuses it: ${given}`;
  const absent = mapping.key.filter((key) => !given.some(({ name }) => name === key));
  if (absent.length > 0) return `keys: it must give the key column "${absent.join('", "')}"`;
  const asText = given.filter(({ type }) => isText(type)).map(({ name }) => name);
  return { table, columns: typed, keys, isKey: source.keys === undefined, asText };
}

/** All sources of a route, once each, with what capture logs of them. */
export function sourcesOf(route: Route): readonly ResolvedSource[] {
  const found = new Map<string, ResolvedSource>();
  for (const source of route.tables.flatMap(({ sources }) => sources)) {
    found.set(textOf(source.table), source);
  }
  return [...found.values()];
}

/** The tables that take part in a side, as source of one direction or target of the other. */
export function mappedTables(routes: Routes, side: 'blue' | 'green'): readonly TableName[] {
  const found = new Map<string, TableName>();
  for (const route of [routes.forward, routes.reverse]) {
    if (route === undefined) continue;
    const targets = route.tables.map(({ target }) => target);
    const tables =
      route.origin.side === side ? sourcesOf(route).map(({ table }) => table) : targets;
    for (const table of tables) found.set(textOf(table), table);
  }
  return [...found.values()];
}

function tableNameOf(text: string): TableName {
  const name = parseTableName(text);
  if (name === undefined) throw new Failure(`"${text}" is no table name`);
  return name;
}

function sameNames(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name) => other.includes(name));
}
