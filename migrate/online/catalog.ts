import type { Node } from 'libpg-query';
import type { WrittenType } from './tree.ts';

/** What the migrations so far tell of a column. */
interface Column {
  type: WrittenType;
  notNull: boolean;
  /** Its values are computed when they are read. */
  readonly isVirtual: boolean;
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
  readonly isUnique: boolean;
}

interface Partition {
  readonly parent: string;
  readonly isDefault: boolean;
}

/** How a table is partitioned. */
export interface PartitionKey {
  readonly columns: readonly string[];
  /** By ranges or lists of columns, which a check can say; not by hashes or expressions. */
  readonly isChecked: boolean;
}

export type ConstraintKind = 'check' | 'foreign' | 'unique' | 'primary' | 'not null' | 'exclusion';

/** What they tell of a constraint. */
export interface KnownConstraint {
  readonly kind: ConstraintKind;
  readonly valid: boolean;
  readonly columns: readonly string[];
  /** The column, where the check is `column is not null`. */
  readonly proves?: string;
  readonly references?: string;
  /** What a check says. */
  readonly condition?: Node;
}

/** What they tell of a table. */
export interface Table {
  readonly columns: Map<string, Column>;
  readonly constraints: Map<string, KnownConstraint>;
}

/** What the text of migrations tells of a database; grows statement by statement. */
export interface Catalog {
  readonly tables: Map<string, Table>;
  readonly indexes: Map<string, Index>;
  readonly partitions: Map<string, Partition>;
  readonly partitionKeys: Map<string, PartitionKey>;
  /** Domains of which a new column is written row by row, without schema. */
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
    partitionKeys: new Map(),
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

/** A table with its partitions, and theirs: what is done to its columns is done to theirs. */
export function familyOf(catalog: Catalog, table: string): readonly string[] {
  const below = [...catalog.partitions].filter(([, { parent }]) => parent === table);
  return [table, ...below.flatMap(([name]) => familyOf(catalog, name))];
}
