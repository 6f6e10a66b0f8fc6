import type {
  AlterTableCmd,
  AlterTableStmt,
  Constraint,
  DefElem,
  Node,
  PartitionBoundSpec,
} from 'libpg-query';
import { isOutside, isWithin } from './bounds.ts';
import { type Catalog, constraintOf, constraintsOf, defaultOf, joinedBy } from './catalog.ts';
import { addColumn, alterType, type Use } from './classify-column.ts';
import { columnsIn, every, nameOf, stringsOf } from './tree.ts';

/** Commands whose form does not depend on anything else. */
const plain: Readonly<Record<string, string>> = {
  AT_DropNotNull: 'drop-not-null',
  AT_SetStatistics: 'set-statistics',
  AT_SetOptions: 'set-statistics',
  AT_ResetOptions: 'set-statistics',
  AT_SetStorage: 'set-storage',
  AT_SetCompression: 'set-storage',
  AT_SetLogged: 'set-logged',
  AT_SetUnLogged: 'set-logged',
  AT_SetTableSpace: 'set-tablespace',
  AT_ClusterOn: 'set-statistics',
  AT_DropCluster: 'set-statistics',
  AT_SetAccessMethod: 'set-access-method',
  AT_DropIdentity: 'drop-identity',
  AT_DropExpression: 'drop-expression',
  AT_ChangeOwner: 'change-owner',
  AT_EnableTrig: 'switch-trigger',
  AT_EnableAlwaysTrig: 'switch-trigger',
  AT_EnableTrigAll: 'switch-trigger',
  AT_EnableTrigUser: 'switch-trigger',
  AT_EnableReplicaTrig: 'disable-trigger',
  AT_DisableTrig: 'disable-trigger',
  AT_DisableTrigAll: 'disable-trigger',
  AT_DisableTrigUser: 'disable-trigger',
  AT_DisableRowSecurity: 'set-policy',
  AT_NoForceRowSecurity: 'set-policy',
  AT_EnableRowSecurity: 'restrict-rows',
  AT_ForceRowSecurity: 'restrict-rows',
  AT_EnableRule: 'create-rule',
  AT_EnableAlwaysRule: 'create-rule',
  AT_EnableReplicaRule: 'create-rule',
  AT_DisableRule: 'create-rule',
  AT_AddOf: 'set-table-type',
  AT_DropOf: 'set-table-type',
  AT_DropOids: 'set-table-type',
  AT_AddInherit: 'inherit',
  AT_DropInherit: 'disinherit',
};

/** The same of what is no table. */
const ofOthers: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  OBJECT_INDEX: {
    AT_AttachPartition: 'attach-index',
    AT_SetTableSpace: 'set-tablespace',
    AT_SetRelOptions: 'set-options',
    AT_ResetRelOptions: 'set-options',
    AT_SetStatistics: 'set-statistics',
  },
  OBJECT_VIEW: {
    AT_ColumnDefault: 'replace-view',
    AT_SetRelOptions: 'replace-view',
    AT_ResetRelOptions: 'replace-view',
    AT_ChangeOwner: 'change-owner',
  },
  OBJECT_SEQUENCE: { AT_ChangeOwner: 'change-owner' },
  OBJECT_FOREIGN_TABLE: { AT_ChangeOwner: 'change-owner' },
  // A composite type: what is stored stays, and reads as null there.
  OBJECT_TYPE: { AT_AddColumn: 'create-object', AT_ChangeOwner: 'create-object' },
};

/** What each command of an `alter table` does. */
export function alterTable(statement: AlterTableStmt, catalog: Catalog): readonly Use[] {
  const relation = nameOf(statement.relation);
  const { objtype = '' } = statement;
  if (objtype === 'OBJECT_TABLE' || objtype === 'OBJECT_MATVIEW') {
    return (statement.cmds ?? []).flatMap((node) =>
      'AlterTableCmd' in node ? command(relation, node.AlterTableCmd, catalog) : [],
    );
  }
  return (statement.cmds ?? []).map((node) => {
    const { subtype, def }: AlterTableCmd = 'AlterTableCmd' in node ? node.AlterTableCmd : {};
    const isType = objtype === 'OBJECT_TYPE';
    const form = ofOthers[objtype]?.[subtype ?? ''];
    return {
      form: form === 'set-options' ? ofOptions(def) : form,
      relation: isType ? '' : relation,
    };
  });
}

/** Storage parameters that change what those who read or write do at the same moment. */
const exclusive: readonly string[] = [
  'user_catalog_table',
  'buffering',
  'fastupdate',
  'gin_pending_list_limit',
  'pages_per_range',
  'autosummarize',
];

function ofOptions(def: Node | undefined): string {
  const named = every('DefElem', def).map((one) => ('defname' in one ? String(one.defname) : ''));
  return named.some((name) => exclusive.includes(name)) ? 'set-options-exclusive' : 'set-options';
}

function command(relation: string, one: AlterTableCmd, catalog: Catalog): readonly Use[] {
  const { subtype, name = '', def } = one;
  const form = plain[subtype ?? ''];
  if (form !== undefined) return [{ form, relation }];
  if (def !== undefined && 'ColumnDef' in def) {
    if (subtype === 'AT_AddColumn') return addColumn(relation, def.ColumnDef, catalog);
    if (subtype === 'AT_AlterColumnType') {
      return [alterType(relation, name, def.ColumnDef, catalog)];
    }
  }
  if (subtype === 'AT_SetRelOptions' || subtype === 'AT_ResetRelOptions') {
    return [{ form: ofOptions(def), relation }];
  }
  if (subtype === 'AT_ColumnDefault') {
    // Where null is taken, who does not write the column writes that from then on.
    const isNeeded = catalog.tables.get(relation)?.columns.get(name)?.notNull !== false;
    const drops = def === undefined && isNeeded;
    return [{ form: drops ? 'drop-default' : 'set-default', relation }];
  }
  if (subtype === 'AT_AddIdentity' || subtype === 'AT_SetIdentity') {
    return [{ form: isAlways(def) ? 'set-identity-always' : 'set-identity', relation }];
  }
  if (subtype === 'AT_SetNotNull') return [setNotNull(relation, name, catalog)];
  if (subtype === 'AT_SetExpression') return [setExpression(relation, name, catalog)];
  if (def !== undefined && 'ReplicaIdentityStmt' in def) {
    const isNone = def.ReplicaIdentityStmt.identity_type === 'n';
    return [{ form: isNone ? 'replica-identity-nothing' : 'replica-identity', relation }];
  }
  if (def !== undefined && 'ATAlterConstraint' in def) {
    const { alterEnforceability, is_enforced } = def.ATAlterConstraint;
    const enforces = alterEnforceability === true && is_enforced === true;
    return [{ form: enforces ? 'enforce-constraint' : 'alter-constraint', relation }];
  }
  if (subtype === 'AT_AddConstraint' && def !== undefined && 'Constraint' in def) {
    return [addConstraint(relation, def.Constraint, catalog)];
  }
  if (subtype === 'AT_ValidateConstraint') {
    const references = constraintOf(catalog, relation, name)?.references;
    return [{ form: 'validate-constraint', relation, ...(references && { also: [references] }) }];
  }
  if (subtype === 'AT_DropColumn') {
    return [{ form: 'drop-column', relation, also: joinedBy(catalog, relation, name) }];
  }
  if (subtype === 'AT_DropConstraint') return [dropConstraint(relation, name, catalog)];
  if (def !== undefined && 'PartitionCmd' in def) {
    const partition = nameOf(def.PartitionCmd.name);
    if (subtype === 'AT_AttachPartition') {
      return attach(relation, partition, def.PartitionCmd.bound ?? {}, catalog);
    }
    return detach(relation, partition, one, catalog);
  }
  return [{ form: undefined, relation }];
}

/** `a`, as `add generated` has it, and as the number that `set generated` has. */
function isAlways(def: Node | undefined): boolean {
  if (def !== undefined && 'Constraint' in def) return def.Constraint.generated_when === 'a';
  return every('DefElem', def).some((one) => {
    const { defname, arg } = one as DefElem;
    const isInteger = arg !== undefined && 'Integer' in arg;
    return defname === 'generated' && isInteger && arg.Integer.ival === 'a'.charCodeAt(0);
  });
}

function detach(
  parent: string,
  partition: string,
  { subtype, def }: AlterTableCmd,
  catalog: Catalog,
): readonly Use[] {
  // Concurrently its last part waits for the partition without an end: no form, so refused.
  const aside = def !== undefined && 'PartitionCmd' in def && def.PartitionCmd.concurrent === true;
  const known = subtype === 'AT_DetachPartition' || subtype === 'AT_DetachPartitionFinalize';
  if (aside || !known) return [{ form: undefined, relation: parent }];
  return [
    { form: 'detach-partition', relation: partition, also: [parent] },
    ...besides(parent, partition, catalog).map((relation) => ({
      form: 'change-partition-default',
      relation,
    })),
  ];
}

/** What a virtual column gives is computed when it is read, unless something else depends on it. */
function setExpression(relation: string, name: string, catalog: Catalog): Use {
  const column = catalog.tables.get(relation)?.columns.get(name);
  const used = constraintsOf(catalog, relation).some(({ columns }) => columns.includes(name));
  const free = column?.isVirtual === true && !column.notNull && !used;
  return { form: free ? 'set-expression-virtual' : 'set-expression', relation };
}

function setNotNull(relation: string, column: string, catalog: Catalog): Use {
  const proven = constraintsOf(catalog, relation).some(
    ({ proves, valid }) => proves === column && valid,
  );
  const known = catalog.tables.get(relation)?.columns.get(column)?.notNull === true;
  return { form: proven || known ? 'set-not-null-checked' : 'set-not-null', relation };
}

function addConstraint(relation: string, constraint: Constraint, catalog: Catalog): Use {
  const later = constraint.skip_validation === true ? '-not-valid' : '';
  switch (constraint.contype) {
    case 'CONSTR_CHECK':
      return { form: `add-check${later}`, relation };
    case 'CONSTR_NOTNULL':
      return { form: later === '' ? 'add-check' : 'add-not-null-not-valid', relation };
    case 'CONSTR_FOREIGN':
      return { form: `add-foreign-key${later}`, relation, also: [nameOf(constraint.pktable)] };
    case 'CONSTR_UNIQUE':
      return {
        form: constraint.indexname === undefined ? 'add-unique' : 'add-unique-using-index',
        relation,
      };
    case 'CONSTR_PRIMARY':
      return addPrimaryKey(relation, constraint, catalog);
    case 'CONSTR_EXCLUSION':
      return { form: 'add-exclusion', relation };
    default:
      return { form: undefined, relation };
  }
}

function addPrimaryKey(relation: string, constraint: Constraint, catalog: Catalog): Use {
  if (constraint.indexname === undefined) return { form: 'add-unique', relation };
  const keys = catalog.indexes.get(constraint.indexname)?.keys ?? stringsOf(constraint.keys);
  const columns = catalog.tables.get(relation)?.columns;
  const full = keys.length > 0 && keys.every((key) => columns?.get(key)?.notNull === true);
  return { form: full ? 'add-primary-key-using-index' : 'add-primary-key-nullable', relation };
}

function dropConstraint(relation: string, name: string, catalog: Catalog): Use {
  const known = constraintOf(catalog, relation, name);
  if (known?.kind === 'check') return { form: 'drop-check', relation };
  if (known?.kind === 'not null') return { form: 'drop-not-null', relation };
  if (known?.kind === 'foreign' && known.references !== undefined) {
    return { form: 'drop-foreign-key', relation, also: [known.references] };
  }
  return { form: 'drop-constraint', relation };
}

function attach(
  parent: string,
  partition: string,
  bound: PartitionBoundSpec,
  catalog: Catalog,
): readonly Use[] {
  const rows = besides(parent, partition, catalog).filter(() => bound.is_default !== true);
  const had = madeOf(catalog, partition);
  const whole = madeOf(catalog, parent).every((one) => had.includes(one));
  const ready = whole && isInside(catalog, partition, parent, bound);
  return [
    {
      form: ready ? 'attach-partition-checked' : 'attach-partition',
      relation: partition,
      also: [parent],
    },
    ...rows.map((relation) => ({
      form: isApart(catalog, relation, parent, bound)
        ? 'change-partition-default'
        : 'attach-beside-default',
      relation,
    })),
  ];
}

/** The default partition, where the statement is about another one. */
function besides(parent: string, partition: string, catalog: Catalog): readonly string[] {
  return defaultOf(catalog, parent).filter((one) => one !== partition);
}

/**
 * True where valid checks of a table name the whole key by which the parent is partitioned, and say
 * what is asked of it. Of keys of several columns it is believed that checks which name them say it.
 */
function isProven(
  catalog: Catalog,
  table: string,
  parent: string,
  say: (checks: readonly Node[], column: string) => boolean,
): boolean {
  const key = catalog.partitionKeys.get(parent);
  const [only, ...more] = key?.isChecked === true ? key.columns : [];
  if (only === undefined) return false;
  const checks = constraintsOf(catalog, table).flatMap(({ valid, condition }) =>
    valid && condition !== undefined ? [condition] : [],
  );
  const named = new Set(checks.flatMap((one) => columnsIn(one)));
  if (![only, ...more].every((column) => named.has(column))) return false;
  return more.length > 0 || say(checks, only);
}

/**
 * True where valid checks prove the bounds. None of its columns may be null: bounds leave nulls out,
 * and a check lets them pass. Of a default partition it is believed that checks of the key say it.
 */
function isInside(
  catalog: Catalog,
  table: string,
  parent: string,
  bound: PartitionBoundSpec,
): boolean {
  const key = catalog.partitionKeys.get(parent)?.columns ?? [];
  const full = key.every((name) => setNotNull(table, name, catalog).form !== 'set-not-null');
  const say = (checks: readonly Node[], column: string) =>
    bound.is_default === true || isWithin(checks, column, bound);
  return full && isProven(catalog, table, parent, say);
}

/** True where valid checks of the default partition prove that it has no rows of these bounds. */
export function isApart(
  catalog: Catalog,
  table: string,
  parent: string,
  bound: PartitionBoundSpec,
): boolean {
  const say = (checks: readonly Node[], column: string) =>
    bound.lowerdatums === undefined || isOutside(checks, column, bound);
  return isProven(catalog, table, parent, say);
}

/** The keys and indexes of a table, as texts: a partition must have all that its parent has. */
function madeOf(catalog: Catalog, table: string): readonly string[] {
  const kinds = ['foreign', 'unique', 'primary', 'exclusion'];
  const keys = constraintsOf(catalog, table)
    .filter(({ kind }) => kinds.includes(kind))
    .map((one) => [one.kind, ...one.columns, one.references ?? '', one.valid].join(' '));
  const indexes = [...catalog.indexes.values()]
    .filter((index) => index.table === table)
    .map(({ columns, isComputed, isUnique }) =>
      ['index', ...columns, isComputed, isUnique].join(' '),
    );
  return [...keys, ...indexes];
}
