import type { ColumnDef, Constraint, IndexStmt, Node } from 'libpg-query';
import {
  columnsIn,
  every,
  nameOf,
  objectName,
  stringsOf,
  typeOf,
  type WrittenType,
} from './tree.ts';

/** What the migrations so far tell of a column. */
interface Column {
  type: WrittenType;
  notNull: boolean;
  /** '' for the one of the type. */
  collation: string;
}

interface Index {
  readonly table: string;
  /** Those of its key that are columns. */
  readonly keys: readonly string[];
  /** All that it names, also in expressions and in its condition. */
  readonly columns: readonly string[];
  /** It has expressions or a condition: PostgreSQL makes it anew with the type of any column. */
  readonly isComputed: boolean;
}

interface Partition {
  readonly parent: string;
  readonly isDefault: boolean;
}

type ConstraintKind = 'check' | 'foreign' | 'unique' | 'primary' | 'not null' | 'exclusion';

/** What they tell of a constraint. */
export interface KnownConstraint {
  readonly kind: ConstraintKind;
  readonly valid: boolean;
  readonly columns: readonly string[];
  /** The column, where the check is `column is not null`. */
  readonly proves?: string;
  readonly references?: string;
}

interface Table {
  readonly columns: Map<string, Column>;
  readonly constraints: Map<string, KnownConstraint>;
}

/** What the text of migrations tells of a database; grows statement by statement. */
export interface Catalog {
  readonly tables: Map<string, Table>;
  readonly indexes: Map<string, Index>;
  readonly partitions: Map<string, Partition>;
  /** Domains that have a constraint. */
  readonly domains: Set<string>;
  /** Functions that the migrations made, without schema. */
  readonly functions: Set<string>;
}

/** Knows nothing yet. */
export function emptyCatalog(): Catalog {
  return {
    tables: new Map(),
    indexes: new Map(),
    partitions: new Map(),
    domains: new Set(),
    functions: new Set(),
  };
}

/** The constraint of this name, where the migrations show it. */
export function constraintOf(
  catalog: Catalog,
  table: string,
  name: string,
): KnownConstraint | undefined {
  return catalog.tables.get(table)?.constraints.get(name);
}

/** All known constraints of a table. */
export function constraintsOf(catalog: Catalog, table: string): readonly KnownConstraint[] {
  return [...(catalog.tables.get(table)?.constraints.values() ?? [])];
}

/** The indexes of a table, also those of its keys. */
export function indexesOf(
  catalog: Catalog,
  table: string,
): readonly Pick<Index, 'columns' | 'isComputed'>[] {
  const keys = constraintsOf(catalog, table)
    .filter(({ kind }) => ['unique', 'primary', 'exclusion'].includes(kind))
    .map(({ columns }) => ({ columns, isComputed: false }));
  return [...[...catalog.indexes.values()].filter((index) => index.table === table), ...keys];
}

/**
 * The tables that a foreign key joins to one, or to a column of it; which columns the keys of others
 * refer to is not known.
 */
export function joinedBy(catalog: Catalog, table: string, column?: string): readonly string[] {
  const from = constraintsOf(catalog, table)
    .filter(({ columns }) => column === undefined || columns.includes(column))
    .flatMap(({ references }) => references ?? []);
  const to = [...catalog.tables].flatMap(([name, { constraints }]) =>
    [...constraints.values()].some(({ references }) => references === table) ? [name] : [],
  );
  const isKey = column === undefined || isIndexed(catalog, table, column);
  return [...new Set([...from, ...(isKey ? to : [])])].filter((name) => name !== table);
}

/** A foreign key refers to columns that a unique index has. */
function isIndexed(catalog: Catalog, table: string, column: string): boolean {
  return indexesOf(catalog, table).some(({ columns }) => columns.includes(column));
}

/** The default partition of a table, where it has one. */
export function defaultOf({ partitions }: Catalog, table: string): readonly string[] {
  return [...partitions].flatMap(([name, { parent, isDefault }]) =>
    isDefault && parent === table ? [name] : [],
  );
}

/** The collation that a definition asks for; '' for the one of its type. */
export function collationOf({ collClause }: ColumnDef): string {
  return stringsOf(collClause?.collname).at(-1) ?? '';
}

/** True where what a statement makes may not stay, or may be what is there already. */
export function isPassing(node: Node): boolean {
  const made = Object.values<object>(node);
  const isTemporary = ({ relpersistence }: { relpersistence?: string }) => relpersistence === 't';
  const [own] = made;
  if (own === undefined) return false;
  if ('if_not_exists' in own && own.if_not_exists === true) return true;
  const kinds = ['relation', 'rel', 'view', 'sequence'];
  return kinds.flatMap((kind) => every(kind, own)).some(isTemporary);
}

/** Takes one statement into account, as if it had run. */
export function learn(catalog: Catalog, node: Node): void {
  if ('CreateStmt' in node) {
    const name = nameOf(node.CreateStmt.relation);
    // Where one is there already the statement changes nothing; a temporary one hides it.
    if (isPassing(node) && catalog.tables.has(name)) return;
    const table = tableOf(catalog, name);
    const [parent] = node.CreateStmt.inhRelations ?? [];
    const bound = node.CreateStmt.partbound;
    if (bound !== undefined && parent !== undefined && 'RangeVar' in parent) {
      const isDefault = bound.is_default === true;
      catalog.partitions.set(name, { parent: nameOf(parent.RangeVar), isDefault });
    }
    for (const element of node.CreateStmt.tableElts ?? []) {
      if ('ColumnDef' in element) learnColumn(table, name, element.ColumnDef);
      if ('Constraint' in element) learnConstraint(catalog, name, element.Constraint);
    }
  } else if ('IndexStmt' in node) {
    learnIndex(catalog, node.IndexStmt);
  } else if ('CreateDomainStmt' in node) {
    const { domainname, constraints = [] } = node.CreateDomainStmt;
    if (constraints.length > 0) catalog.domains.add(stringsOf(domainname).at(-1) ?? '');
  } else if ('CreateFunctionStmt' in node) {
    catalog.functions.add(stringsOf(node.CreateFunctionStmt.funcname).at(-1) ?? '');
  } else if ('AlterDomainStmt' in node) {
    catalog.domains.add(stringsOf(node.AlterDomainStmt.typeName).at(-1) ?? '');
  } else if ('DropStmt' in node) {
    for (const name of (node.DropStmt.objects ?? []).map(objectName)) {
      if (node.DropStmt.removeType === 'OBJECT_TABLE') forget(catalog, name);
      if (node.DropStmt.removeType === 'OBJECT_INDEX') catalog.indexes.delete(name);
    }
  } else if ('RenameStmt' in node) learnName(catalog, node);
  else if ('AlterTableStmt' in node) {
    const name = nameOf(node.AlterTableStmt.relation);
    for (const command of node.AlterTableStmt.cmds ?? []) learnCommand(catalog, name, command);
  }
}

function learnIndex(catalog: Catalog, statement: IndexStmt): void {
  const elements = [...(statement.indexParams ?? []), ...(statement.indexIncludingParams ?? [])];
  const table = nameOf(statement.relation);
  const keys = (statement.indexParams ?? []).flatMap(keyOf);
  const columns = [...elements.flatMap(columnsOfElement), ...columnsIn(statement.whereClause)];
  const isComputed = keys.length < (statement.indexParams ?? []).length;
  // PostgreSQL gives one without a name some name; until the column goes we take it to stay.
  const name = statement.idxname ?? `${table} ${catalog.indexes.size}`;
  if (statement.if_not_exists === true && catalog.indexes.has(name)) return;
  catalog.indexes.set(name, {
    table,
    keys,
    columns,
    isComputed: isComputed || statement.whereClause !== undefined,
  });
}

function keyOf(element: Node): readonly string[] {
  return 'IndexElem' in element && element.IndexElem.name !== undefined
    ? [element.IndexElem.name]
    : [];
}

function columnsOfElement(element: Node): readonly string[] {
  return [...every('IndexElem', element), element].flatMap((one) => [
    ...('name' in one && typeof one.name === 'string' ? [one.name] : []),
    ...columnsIn(one),
  ]);
}

function tableOf(catalog: Catalog, name: string): Table {
  const found = catalog.tables.get(name);
  if (found !== undefined) return found;
  const made = { columns: new Map(), constraints: new Map() };
  catalog.tables.set(name, made);
  return made;
}

function learnColumn(table: Table, tableName: string, definition: ColumnDef): void {
  const name = definition.colname ?? '';
  const constraints = (definition.constraints ?? []).flatMap((node) =>
    'Constraint' in node ? [node.Constraint] : [],
  );
  const kinds = constraints.map(({ contype }) => contype);
  table.columns.set(name, {
    type: typeOf(definition.typeName),
    collation: collationOf(definition),
    notNull: kinds.some((kind) => kind === 'CONSTR_NOTNULL' || kind === 'CONSTR_PRIMARY'),
  });
  for (const constraint of constraints) remember(table, tableName, constraint, [name]);
}

function learnConstraint(catalog: Catalog, tableName: string, constraint: Constraint): void {
  const table = tableOf(catalog, tableName);
  const keys = stringsOf(constraint.keys);
  const named = constraint.contype === 'CONSTR_FOREIGN' ? stringsOf(constraint.fk_attrs) : keys;
  const indexed = catalog.indexes.get(constraint.indexname ?? '')?.keys;
  remember(table, tableName, constraint, indexed ?? named);
  if (constraint.contype !== 'CONSTR_PRIMARY') return;
  for (const key of indexed ?? keys) {
    const column = table.columns.get(key);
    if (column !== undefined) column.notNull = true;
  }
}

/** How PostgreSQL calls a constraint that was given no name. */
const suffixes: Readonly<Record<string, string>> = {
  CONSTR_CHECK: 'check',
  CONSTR_FOREIGN: 'fkey',
  CONSTR_UNIQUE: 'key',
  CONSTR_PRIMARY: 'pkey',
  CONSTR_EXCLUSION: 'excl',
};
const kinds: Readonly<Record<string, ConstraintKind>> = {
  CONSTR_CHECK: 'check',
  CONSTR_FOREIGN: 'foreign',
  CONSTR_UNIQUE: 'unique',
  CONSTR_PRIMARY: 'primary',
  CONSTR_NOTNULL: 'not null',
  CONSTR_EXCLUSION: 'exclusion',
};

function remember(
  table: Table,
  tableName: string,
  constraint: Constraint,
  keys: readonly string[],
): void {
  const kind = kinds[constraint.contype ?? ''];
  if (kind === undefined || (kind === 'not null' && constraint.conname === undefined)) return;
  const columns =
    kind === 'check'
      ? [...new Set(columnsIn(constraint.raw_expr))]
      : kind === 'exclusion'
        ? (constraint.exclusions ?? []).flatMap(columnsOfElement)
        : keys;
  const bare = tableName.split('.').at(-1) ?? tableName;
  const middle = kind === 'primary' || (kind === 'check' && columns.length > 1) ? [] : columns;
  const suffix = suffixes[constraint.contype ?? ''] ?? 'key';
  const name = constraint.conname ?? [bare, ...middle, suffix].join('_');
  const proves = kind === 'not null' ? columns[0] : provenBy(constraint.raw_expr);
  table.constraints.set(name, {
    kind,
    valid: constraint.skip_validation !== true,
    columns,
    ...(proves === undefined ? {} : { proves }),
    ...(constraint.pktable === undefined ? {} : { references: nameOf(constraint.pktable) }),
  });
}

function provenBy(expression: Node | undefined): string | undefined {
  if (expression === undefined || !('NullTest' in expression)) return undefined;
  const { nulltesttype, arg } = expression.NullTest;
  // Of an expression it says nothing: coalesce(n, 0) is never null.
  const isColumn = arg !== undefined && 'ColumnRef' in arg;
  return nulltesttype === 'IS_NOT_NULL' && isColumn ? columnsIn(arg)[0] : undefined;
}

function learnName(catalog: Catalog, node: Extract<Node, { RenameStmt: object }>): void {
  const { renameType, relation, subname = '', newname = '' } = node.RenameStmt;
  const name = nameOf(relation);
  const table = catalog.tables.get(name);
  if (renameType === 'OBJECT_TABLE' && table !== undefined) {
    catalog.tables.delete(name);
    catalog.tables.set(newname, table);
  }
  const index = catalog.indexes.get(name);
  if (renameType === 'OBJECT_INDEX' && index !== undefined) {
    catalog.indexes.delete(name);
    catalog.indexes.set(newname, index);
  }
  const constraint = table?.constraints.get(subname);
  if (renameType === 'OBJECT_TABCONSTRAINT' && constraint !== undefined) {
    table?.constraints.delete(subname);
    table?.constraints.set(newname, constraint);
  }
  const column = table?.columns.get(subname);
  if (renameType === 'OBJECT_COLUMN' && column !== undefined) {
    table?.columns.delete(subname);
    table?.columns.set(newname, column);
  }
}

function forget(catalog: Catalog, table: string): void {
  catalog.tables.delete(table);
  catalog.partitions.delete(table);
  for (const [name, index] of catalog.indexes) {
    if (index.table === table) catalog.indexes.delete(name);
  }
}

/** PostgreSQL drops what names the column together with it. */
function forgetColumn(catalog: Catalog, tableName: string, column: string): void {
  const { columns, constraints } = tableOf(catalog, tableName);
  columns.delete(column);
  for (const [name, constraint] of constraints) {
    if (constraint.columns.includes(column)) constraints.delete(name);
  }
  for (const [name, index] of catalog.indexes) {
    if (index.table === tableName && index.columns.includes(column)) catalog.indexes.delete(name);
  }
}

function learnCommand(catalog: Catalog, tableName: string, node: Node): void {
  if (!('AlterTableCmd' in node)) return;
  const { subtype, name = '', def } = node.AlterTableCmd;
  const table = tableOf(catalog, tableName);
  const column = table.columns.get(name);
  if (subtype === 'AT_AddColumn' && def !== undefined && 'ColumnDef' in def) {
    learnColumn(table, tableName, def.ColumnDef);
  }
  if (subtype === 'AT_AddConstraint' && def !== undefined && 'Constraint' in def) {
    learnConstraint(catalog, tableName, def.Constraint);
  }
  if (subtype === 'AT_ValidateConstraint') {
    const found = table.constraints.get(name);
    if (found !== undefined) table.constraints.set(name, { ...found, valid: true });
  }
  if (def !== undefined && 'PartitionCmd' in def) {
    const partition = nameOf(def.PartitionCmd.name);
    const isDefault = def.PartitionCmd.bound?.is_default === true;
    if (subtype === 'AT_AttachPartition') {
      catalog.partitions.set(partition, { parent: tableName, isDefault });
    }
    if (subtype === 'AT_DetachPartition') catalog.partitions.delete(partition);
  }
  if (subtype === 'AT_DropConstraint') table.constraints.delete(name);
  if (subtype === 'AT_DropColumn') forgetColumn(catalog, tableName, name);
  if (subtype === 'AT_AlterColumnType' && def !== undefined && 'ColumnDef' in def && column) {
    column.type = typeOf(def.ColumnDef.typeName);
    column.collation = collationOf(def.ColumnDef);
  }
  if (subtype === 'AT_SetNotNull' && column !== undefined) column.notNull = true;
  if (subtype === 'AT_DropNotNull' && column !== undefined) column.notNull = false;
}
