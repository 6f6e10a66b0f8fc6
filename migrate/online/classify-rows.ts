import type { InsertStmt, Node, RangeVar } from 'libpg-query';
import { wildCalls } from './calls.ts';
import type { Catalog } from './catalog.ts';
import type { Use } from './classify-column.ts';
import { every, nameOf } from './tree.ts';

/** Statements that run what stands in them, in whichever depth. */
const running: readonly string[] = [
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'SelectStmt',
  'CreateTableAsStmt',
];

/**
 * What a statement about rows does, wherever in it that stands: a `with` may change rows, a query
 * may lock them, and any function may do anything. `batched`: it is annotated as batches.
 */
export function ofRows(node: Node, catalog: Catalog, batched: boolean): readonly Use[] | undefined {
  if (!running.some((kind) => kind in node)) return undefined;
  const changed = ['UpdateStmt', 'DeleteStmt', 'MergeStmt'].flatMap((kind) => every(kind, node));
  const made = [...every('into', node), ...every('intoClause', node)];
  const uses: readonly Use[] = [
    ...made.map((one) => ({ form: 'create-materialized-view', relation: relationOf(one, 'rel') })),
    ...every('InsertStmt', node).map((one) => insert(one, batched)),
    ...changed.map((one) => ({
      form: batched ? 'update-batch' : 'update-whole',
      relation: relationOf(one),
    })),
    ...(batched ? [] : lockedRows(node)),
    ...(wild(node, catalog) ? [{ form: 'select-call', relation: '' }] : []),
  ];
  return uses.length > 0 ? uses : [{ form: 'select', relation: '' }];
}

function insert(statement: InsertStmt, batched: boolean): Use {
  const query = statement.selectStmt;
  const values = query !== undefined && 'SelectStmt' in query && query.SelectStmt.valuesLists;
  const form = batched ? 'update-batch' : values ? 'insert' : 'insert-select';
  return { form, relation: nameOf(statement.relation) };
}

function relationOf(statement: object, key = 'relation'): string {
  const [, relation] = Object.entries(statement).find(([name]) => name === key) ?? [];
  return nameOf(relation as RangeVar | undefined);
}

/** What `for update` and its like lock: the rows of every table that the query reads. */
function lockedRows(tree: unknown): readonly Use[] {
  if (Array.isArray(tree)) return tree.flatMap(lockedRows);
  if (typeof tree !== 'object' || tree === null) return [];
  const below = Object.values(tree).flatMap(lockedRows);
  if (!('lockingClause' in tree)) return below;
  const read = 'fromClause' in tree ? every('RangeVar', tree.fromClause) : [];
  const relations = read.map((one) => nameOf(one));
  return [...relations.map((relation) => ({ form: 'select-for-update', relation })), ...below];
}

/** What `execute` runs was prepared elsewhere. */
function wild(node: Node, catalog: Catalog): boolean {
  return wildCalls(node, catalog).length > 0 || every('ExecuteStmt', node).length > 0;
}
