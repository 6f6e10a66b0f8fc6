import type { ColumnDef, Constraint, Node } from 'libpg-query';
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
}

type ConstraintKind = 'check' | 'foreign' | 'unique' | 'primary' | 'not null' | 'other';

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
  readonly indexes: Map<string, { readonly table: string; readonly columns: readonly string[] }>;
  /** Domains that have a constraint. */
  readonly domains: Set<string>;
  /** Functions that the migrations made, without schema. */
  readonly functions: Set<string>;
}

/** Knows nothing yet. */
export function emptyCatalog(): Catalog {
  return { tables: new Map(), indexes: new Map(), domains: new Set(), functions: new Set() };
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
    for (const element of node.CreateStmt.tableElts ?? []) {
      if ('ColumnDef' in element) learnColumn(table, name, element.ColumnDef);
      if ('Constraint' in element) learnConstraint(catalog, name, element.Constraint);
    }
  } else if ('IndexStmt' in node) {
    const columns = (node.IndexStmt.indexParams ?? []).flatMap((param) =>
      'IndexElem' in param && param.IndexElem.name !== undefined ? [param.IndexElem.name] : [],
    );
    const table = nameOf(node.IndexStmt.relation);
    if (node.IndexStmt.idxname !== undefined) {
      catalog.indexes.set(node.IndexStmt.idxname, { table, columns });
    }
  } else if ('CreateDomainStmt' in node) {
    const { domainname, constraints = [] } = node.CreateDomainStmt;
    if (constraints.length > 0) catalog.domains.add(stringsOf(domainname).at(-1) ?? '');
  } else if ('CreateFunctionStmt' in node) {
    catalog.functions.add(stringsOf(node.CreateFunctionStmt.funcname).at(-1) ?? '');
  } else if ('AlterDomainStmt' in node) {
    catalog.domains.add(stringsOf(node.AlterDomainStmt.typeName).at(-1) ?? '');
  } else if ('DropStmt' in node) {
    for (const name of (node.DropStmt.objects ?? []).map(objectName)) {
      if (node.DropStmt.removeType === 'OBJECT_TABLE') catalog.tables.delete(name);
      if (node.DropStmt.removeType === 'OBJECT_INDEX') catalog.indexes.delete(name);
    }
  } else if ('RenameStmt' in node) learnName(catalog, node);
  else if ('AlterTableStmt' in node) {
    const name = nameOf(node.AlterTableStmt.relation);
    for (const command of node.AlterTableStmt.cmds ?? []) learnCommand(catalog, name, command);
  }
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
    notNull: kinds.some((kind) => kind === 'CONSTR_NOTNULL' || kind === 'CONSTR_PRIMARY'),
  });
  for (const constraint of constraints) remember(table, tableName, constraint, [name]);
}

function learnConstraint(catalog: Catalog, tableName: string, constraint: Constraint): void {
  const table = tableOf(catalog, tableName);
  const keys = stringsOf(constraint.keys);
  const named = constraint.contype === 'CONSTR_FOREIGN' ? stringsOf(constraint.fk_attrs) : keys;
  const indexed = catalog.indexes.get(constraint.indexname ?? '')?.columns;
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
};
const kinds: Readonly<Record<string, ConstraintKind>> = {
  CONSTR_CHECK: 'check',
  CONSTR_FOREIGN: 'foreign',
  CONSTR_UNIQUE: 'unique',
  CONSTR_PRIMARY: 'primary',
  CONSTR_NOTNULL: 'not null',
};

function remember(
  table: Table,
  tableName: string,
  constraint: Constraint,
  keys: readonly string[],
): void {
  const kind = kinds[constraint.contype ?? ''];
  if (kind === undefined || (kind === 'not null' && constraint.conname === undefined)) return;
  const columns = kind === 'check' ? [...new Set(columnsIn(constraint.raw_expr))] : keys;
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
  return nulltesttype === 'IS_NOT_NULL' ? columnsIn(arg)[0] : undefined;
}

function learnName(catalog: Catalog, node: Extract<Node, { RenameStmt: object }>): void {
  const { renameType, relation, subname = '', newname = '' } = node.RenameStmt;
  const name = nameOf(relation);
  const table = catalog.tables.get(name);
  if (renameType === 'OBJECT_TABLE' && table !== undefined) {
    catalog.tables.delete(name);
    catalog.tables.set(newname, table);
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
  if (subtype === 'AT_DropConstraint') table.constraints.delete(name);
  if (subtype === 'AT_DropColumn') table.columns.delete(name);
  if (subtype === 'AT_AlterColumnType' && def !== undefined && 'ColumnDef' in def && column) {
    column.type = typeOf(def.ColumnDef.typeName);
  }
  if (subtype === 'AT_SetNotNull' && column !== undefined) column.notNull = true;
  if (subtype === 'AT_DropNotNull' && column !== undefined) column.notNull = false;
}
