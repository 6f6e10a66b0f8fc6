import type {
  ColumnDef,
  Constraint,
  CreateDomainStmt,
  CreateStmt,
  IndexStmt,
  Node,
  TableLikeClause,
} from 'libpg-query';
import { isDrawn } from './calls.ts';
import type { Catalog, ConstraintKind, Table } from './catalog.ts';
import { serials } from './classify-column.ts';
import { collationOf, columnsIn, every, nameOf, objectName, stringsOf, typeOf } from './tree.ts';

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
    learnPartition(catalog, name, node.CreateStmt);
    for (const element of node.CreateStmt.tableElts ?? []) {
      if ('TableLikeClause' in element) learnLike(catalog, name, element.TableLikeClause);
      if ('ColumnDef' in element) learnColumn(table, name, element.ColumnDef);
      if ('Constraint' in element) learnConstraint(catalog, name, element.Constraint);
    }
  } else if ('IndexStmt' in node) {
    learnIndex(catalog, node.IndexStmt);
  } else if ('CreateDomainStmt' in node) {
    const { domainname, typeName } = node.CreateDomainStmt;
    const beneath = stringsOf(typeName?.names).at(-1) ?? '';
    if (catalog.domains.has(beneath) || isConstraining(node.CreateDomainStmt, catalog)) {
      catalog.domains.add(stringsOf(domainname).at(-1) ?? '');
    }
  } else if ('CreateFunctionStmt' in node) {
    catalog.functions.add(stringsOf(node.CreateFunctionStmt.funcname).at(-1) ?? '');
  } else if ('AlterDomainStmt' in node) {
    const { subtype, def, typeName } = node.AlterDomainStmt;
    // 'C' adds a constraint, 'O' sets not null, 'T' sets a default.
    const adds = subtype === 'C' || subtype === 'O' || (subtype === 'T' && isDrawn(def, catalog));
    if (adds) catalog.domains.add(stringsOf(typeName).at(-1) ?? '');
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

/** True where a column of the domain is written row by row: to be checked, or for its default. */
function isConstraining({ constraints }: CreateDomainStmt, catalog: Catalog): boolean {
  return (constraints ?? []).some((one) => {
    if (!('Constraint' in one)) return false;
    const { contype, raw_expr } = one.Constraint;
    if (contype === 'CONSTR_DEFAULT') return isDrawn(raw_expr, catalog);
    return contype !== 'CONSTR_NULL';
  });
}

function learnPartition(
  catalog: Catalog,
  name: string,
  { inhRelations, partbound, partspec }: CreateStmt,
): void {
  const [parent] = inhRelations ?? [];
  if (partbound !== undefined && parent !== undefined && 'RangeVar' in parent) {
    const isDefault = partbound.is_default === true;
    catalog.partitions.set(name, { parent: nameOf(parent.RangeVar), isDefault });
  }
  if (partspec === undefined) return;
  const columns = (partspec.partParams ?? []).flatMap((element) =>
    'PartitionElem' in element ? [element.PartitionElem.name ?? '', ...columnsIn(element)] : [],
  );
  catalog.partitionKeys.set(name, {
    columns: columns.filter((column) => column !== ''),
    isChecked:
      partspec.strategy !== 'PARTITION_STRATEGY_HASH' &&
      columns.length > 0 &&
      !columns.includes(''),
  });
}

/** Bits of `including`, as PostgreSQL's grammar has them. */
const including = { constraints: 1 << 2, indexes: 1 << 6 };

function learnLike(
  catalog: Catalog,
  name: string,
  { relation, options = 0 }: TableLikeClause,
): void {
  const from = nameOf(relation);
  const source = catalog.tables.get(from);
  const table = tableOf(catalog, name);
  for (const [key, column] of source?.columns ?? []) table.columns.set(key, { ...column });
  for (const [key, constraint] of source?.constraints ?? []) {
    const bit = constraint.kind === 'check' ? including.constraints : including.indexes;
    const copied = constraint.kind === 'not null' || (options & bit) !== 0;
    if (copied && constraint.kind !== 'foreign') table.constraints.set(key, constraint);
  }
  if ((options & including.indexes) === 0) return;
  for (const index of [...catalog.indexes.values()].filter((one) => one.table === from)) {
    catalog.indexes.set(`${name} ${catalog.indexes.size}`, { ...index, table: name });
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
    isUnique: statement.unique === true,
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

/** Constraints of a column that may not be null. */
const neverNull: readonly string[] = ['CONSTR_NOTNULL', 'CONSTR_PRIMARY', 'CONSTR_IDENTITY'];

function learnColumn(table: Table, tableName: string, definition: ColumnDef): void {
  const name = definition.colname ?? '';
  const constraints = (definition.constraints ?? []).flatMap((node) =>
    'Constraint' in node ? [node.Constraint] : [],
  );
  const kinds = constraints.map(({ contype }) => contype);
  const type = typeOf(definition.typeName);
  table.columns.set(name, {
    type,
    collation: collationOf(definition),
    isVirtual: constraints.some(
      ({ contype, generated_kind }) => contype === 'CONSTR_GENERATED' && generated_kind !== 's',
    ),
    notNull: serials.includes(type.name) || kinds.some((kind) => neverNull.includes(kind ?? '')),
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
    ...(kind === 'check' && constraint.raw_expr && { condition: constraint.raw_expr }),
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
  if (renameType === 'OBJECT_TABLE')
    renameTable(catalog, name, [...name.split('.').slice(0, -1), newname].join('.'));
  if (renameType === 'OBJECT_INDEX') move(catalog.indexes, name, newname);
  if (renameType === 'OBJECT_TABCONSTRAINT' && table) move(table.constraints, subname, newname);
  if (renameType === 'OBJECT_COLUMN' && table) renameColumn(catalog, name, subname, newname);
}

function move<T>(map: Map<string, T>, former: string, next: string): void {
  const value = map.get(former);
  if (value === undefined) return;
  map.delete(former);
  map.set(next, value);
}

function renameTable(catalog: Catalog, former: string, next: string): void {
  move(catalog.tables, former, next);
  move(catalog.partitions, former, next);
  move(catalog.partitionKeys, former, next);
  for (const [name, index] of catalog.indexes) {
    if (index.table === former) catalog.indexes.set(name, { ...index, table: next });
  }
  for (const [name, partition] of catalog.partitions) {
    if (partition.parent === former) catalog.partitions.set(name, { ...partition, parent: next });
  }
  for (const { constraints } of catalog.tables.values()) {
    for (const [name, one] of constraints) {
      if (one.references === former) constraints.set(name, { ...one, references: next });
    }
  }
}

function renameColumn(catalog: Catalog, tableName: string, former: string, next: string): void {
  const { columns, constraints } = tableOf(catalog, tableName);
  const renamed = (names: readonly string[]) => names.map((one) => (one === former ? next : one));
  move(columns, former, next);
  for (const [name, one] of constraints) {
    const proves = one.proves === former ? { proves: next } : {};
    constraints.set(name, { ...one, columns: renamed(one.columns), ...proves });
  }
  for (const [name, index] of catalog.indexes) {
    if (index.table !== tableName) continue;
    const named = { keys: renamed(index.keys), columns: renamed(index.columns) };
    catalog.indexes.set(name, { ...index, ...named });
  }
  const key = catalog.partitionKeys.get(tableName);
  if (key === undefined) return;
  catalog.partitionKeys.set(tableName, { ...key, columns: renamed(key.columns) });
}

function forget(catalog: Catalog, table: string): void {
  catalog.tables.delete(table);
  catalog.partitions.delete(table);
  catalog.partitionKeys.delete(table);
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
    // What is there already stays as it is.
    const stays = node.AlterTableCmd.missing_ok === true;
    const isThere = table.columns.has(def.ColumnDef.colname ?? '');
    if (!stays || !isThere) learnColumn(table, tableName, def.ColumnDef);
  }
  if (subtype === 'AT_AddConstraint' && def !== undefined && 'Constraint' in def) {
    learnConstraint(catalog, tableName, def.Constraint);
  }
  if (subtype === 'AT_ValidateConstraint') {
    const found = table.constraints.get(name);
    if (found !== undefined) table.constraints.set(name, { ...found, valid: true });
    const [full = ''] = found?.kind === 'not null' ? found.columns : [];
    const proven = table.columns.get(full);
    if (proven !== undefined) proven.notNull = true;
  }
  if (def !== undefined && 'PartitionCmd' in def) {
    const partition = nameOf(def.PartitionCmd.name);
    const isDefault = def.PartitionCmd.bound?.is_default === true;
    if (subtype === 'AT_AttachPartition') {
      catalog.partitions.set(partition, { parent: tableName, isDefault });
    }
    if (subtype === 'AT_DetachPartition') catalog.partitions.delete(partition);
  }
  if (subtype === 'AT_DropConstraint') {
    const gone = table.constraints.get(name);
    if (gone?.kind === 'not null') forgetNotNull(table, gone.columns);
    table.constraints.delete(name);
  }
  if (subtype === 'AT_DropColumn') forgetColumn(catalog, tableName, name);
  if (subtype === 'AT_AlterColumnType' && def !== undefined && 'ColumnDef' in def && column) {
    column.type = typeOf(def.ColumnDef.typeName);
    column.collation = collationOf(def.ColumnDef);
  }
  if (subtype === 'AT_SetNotNull' && column !== undefined) column.notNull = true;
  if (subtype === 'AT_DropNotNull') forgetNotNull(table, [name]);
}

/** The columns may be null from then on; their constraints go as well. */
function forgetNotNull({ columns, constraints }: Table, names: readonly string[]): void {
  for (const name of names) {
    const column = columns.get(name);
    if (column !== undefined) column.notNull = false;
  }
  for (const [key, one] of constraints) {
    if (one.kind === 'not null' && one.columns.some((name) => names.includes(name))) {
      constraints.delete(key);
    }
  }
}
