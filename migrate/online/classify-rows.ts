import type { DeleteStmt, InsertStmt, MergeStmt, Node, RangeVar, UpdateStmt } from 'libpg-query';
import { wildCalls } from './calls.ts';
import { type Catalog, constraintsOf, indexesOf } from './catalog.ts';
import type { Use } from './classify-column.ts';
import { conjunctsOf, every, nameOf, nodesOf, stringsOf } from './tree.ts';

type Change = UpdateStmt & DeleteStmt & MergeStmt;

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
    ...every('InsertStmt', node).map((one) => insert(one, batched, catalog)),
    ...changed.map((one) => change(one, batched, catalog)),
    ...(batched ? [] : lockedRows(node)),
    ...(wild(node, catalog) ? [{ form: 'select-call', relation: '' }] : []),
  ];
  // What fills or changes a table is slow by itself; of the rest the query may be.
  return changed.length + made.length > 0 ? uses : [...uses, ...queried(node, uses)];
}

function queried(node: Node, uses: readonly Use[]): readonly Use[] {
  const isBrief = uses.every(({ form }) => form === 'insert' || form === 'select-call');
  if (!isBrief) return [];
  const sources = every('fromClause', node);
  if (sources.length === 0) return uses.length > 0 ? [] : [{ form: 'select', relation: '' }];
  const relations = [...new Set(every('RangeVar', sources).map((one) => nameOf(one)))];
  return (relations.length > 0 ? relations : ['']).map((relation) => ({
    form: 'select-rows',
    relation,
  }));
}

function change(statement: Change, batched: boolean, catalog: Catalog): Use {
  const relation = nameOf(statement.relation);
  if (batched) return { form: 'update-batch', relation };
  if (onlyInserts(statement)) return fill(relation, catalog);
  const own = columnsOf(statement);
  const named = new Set(valuesNamed(statement.whereClause, own));
  const keys = constraintsOf(catalog, relation).filter(
    ({ kind, columns }) =>
      (kind === 'primary' || kind === 'unique') && columns.every((column) => named.has(column)),
  );
  const kept = statement.targetList !== undefined && !setsKey(statement, catalog);
  const few = keys.length > 0 && (kept || !isReferred(catalog, relation));
  return { form: few ? 'update-rows' : 'update-whole', relation };
}

/** A merge that leaves the rows that it finds as they are. */
function onlyInserts(statement: MergeStmt): boolean {
  const clauses = every('MergeWhenClause', statement.mergeWhenClauses);
  const adds = (one: object) => 'commandType' in one && one.commandType === 'CMD_INSERT';
  return clauses.length > 0 && clauses.every(adds);
}

/** A foreign key may carry a change of its table on to any number of rows. */
function isReferred(catalog: Catalog, table: string): boolean {
  const all = [...catalog.tables.values()].flatMap(({ constraints }) => [...constraints.values()]);
  return all.some(({ references }) => references === table);
}

/** Tells the name of a column of the changed table itself; beside others a bare one is anybody's. */
function columnsOf({ relation, fromClause, usingClause }: Change): (node: Node) => string[] {
  const isAlone = fromClause === undefined && usingClause === undefined;
  const called = relation?.alias?.aliasname ?? relation?.relname;
  return (node) => {
    if (!('ColumnRef' in node)) return [];
    const [name, table] = [...stringsOf(node.ColumnRef.fields)].reverse();
    const isOwn = table === undefined ? isAlone : table === called;
    return name !== undefined && isOwn ? [name] : [];
  };
}

function setsKey({ relation, targetList }: UpdateStmt, catalog: Catalog): boolean {
  const set = every('ResTarget', targetList).map((one) => ('name' in one ? one.name : ''));
  return indexesOf(catalog, nameOf(relation)).some(({ columns }) =>
    columns.some((column) => set.includes(column)),
  );
}

/** The columns of which a condition names the values, as `id = 7` and `id in (7, 8)` do. */
function valuesNamed(
  condition: Node | undefined,
  own: (node: Node) => readonly string[],
): readonly string[] {
  return conjunctsOf(condition).flatMap((one) => {
    if (!('A_Expr' in one)) return [];
    const { kind, name, lexpr, rexpr } = one.A_Expr;
    const isEqual = kind === 'AEXPR_OP' || kind === 'AEXPR_IN' || kind === 'AEXPR_OP_ANY';
    if (!isEqual || lexpr === undefined || stringsOf(name).join('') !== '=') return [];
    const asks = ['ColumnRef', 'SubLink', 'FuncCall', 'ParamRef'];
    return asks.some((kind) => every(kind, rexpr).length > 0) ? [] : own(lexpr);
  });
}

function insert(statement: InsertStmt, batched: boolean, catalog: Catalog): Use {
  const relation = nameOf(statement.relation);
  if (batched) return { form: 'update-batch', relation };
  const query = statement.selectStmt;
  const listed = query === undefined || ('SelectStmt' in query && query.SelectStmt.valuesLists);
  if (listed) return { form: 'insert', relation };
  if (statement.onConflictClause?.action === 'ONCONFLICT_UPDATE') {
    return { form: 'update-whole', relation };
  }
  return fill(relation, catalog);
}

function fill(relation: string, catalog: Catalog): Use {
  const also = constraintsOf(catalog, relation).flatMap(({ references }) => references ?? []);
  const form = also.length > 0 ? 'insert-select-references' : 'insert-select';
  return { form, relation, ...(also.length > 0 && { also: [...new Set(also)] }) };
}

function relationOf(statement: object, key = 'relation'): string {
  const [, relation] = Object.entries(statement).find(([name]) => name === key) ?? [];
  return nameOf(relation as RangeVar | undefined);
}

/** What `for update` and its like lock: the rows of every table that the query reads. */
function lockedRows(tree: unknown): readonly Use[] {
  return nodesOf(tree).flatMap(({ node }) => {
    if (!('lockingClause' in node)) return [];
    const read = 'fromClause' in node ? every('RangeVar', node.fromClause) : [];
    return read.map((one) => ({ form: 'select-for-update', relation: nameOf(one) }));
  });
}

/** What `execute` runs was prepared elsewhere. */
function wild(node: Node, catalog: Catalog): boolean {
  return wildCalls(node, catalog).length > 0 || every('ExecuteStmt', node).length > 0;
}
