import type { AlterTableCmd, AlterTableStmt, Constraint } from 'libpg-query';
import { type Catalog, constraintOf, constraintsOf, defaultOf, joinedBy } from './catalog.ts';
import { addColumn, alterType, type Use } from './classify-column.ts';
import { nameOf, stringsOf } from './tree.ts';

/** Commands whose form does not depend on anything else. */
const plain: Readonly<Record<string, string>> = {
  AT_ColumnDefault: 'set-default',
  AT_DropNotNull: 'drop-not-null',
  AT_SetExpression: 'set-expression',
  AT_SetStatistics: 'set-statistics',
  AT_SetOptions: 'set-statistics',
  AT_ResetOptions: 'set-statistics',
  AT_SetStorage: 'set-storage',
  AT_SetCompression: 'set-storage',
  AT_SetLogged: 'set-logged',
  AT_SetUnLogged: 'set-logged',
  AT_SetTableSpace: 'set-tablespace',
  AT_SetRelOptions: 'set-options',
  AT_ResetRelOptions: 'set-options',
};

/** What each command of an `alter table` does. */
export function alterTable(statement: AlterTableStmt, catalog: Catalog): readonly Use[] {
  const relation = nameOf(statement.relation);
  if (statement.objtype === 'OBJECT_INDEX') {
    return (statement.cmds ?? []).map((node) => {
      const subtype = 'AlterTableCmd' in node ? node.AlterTableCmd.subtype : undefined;
      return { form: subtype === 'AT_SetTableSpace' ? 'set-tablespace' : undefined, relation };
    });
  }
  if (statement.objtype !== 'OBJECT_TABLE') return [{ form: undefined, relation }];
  return (statement.cmds ?? []).flatMap((node) =>
    'AlterTableCmd' in node ? command(relation, node.AlterTableCmd, catalog) : [],
  );
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
  if (subtype === 'AT_SetNotNull') return [setNotNull(relation, name, catalog)];
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
      return attach(relation, partition, def.PartitionCmd.bound?.is_default === true, catalog);
    }
    // Concurrently its last part waits for the partition without an end: no form, so refused.
    if (subtype === 'AT_DetachPartition' && def.PartitionCmd.concurrent !== true) {
      return [
        { form: 'detach-partition', relation: partition, also: [relation] },
        ...besides(relation, partition, catalog).map((one) => ({
          form: 'change-partition-default',
          relation: one,
        })),
      ];
    }
  }
  return [{ form: undefined, relation }];
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
  if (known?.kind === 'foreign' && known.references !== undefined) {
    return { form: 'drop-foreign-key', relation, also: [known.references] };
  }
  return { form: 'drop-constraint', relation };
}

function attach(
  parent: string,
  partition: string,
  isDefault: boolean,
  catalog: Catalog,
): readonly Use[] {
  const rows = besides(parent, partition, catalog).filter(() => !isDefault);
  const had = madeOf(catalog, partition);
  const whole = madeOf(catalog, parent).every((one) => had.includes(one));
  const ready = whole && isChecked(catalog, partition, parent);
  return [
    {
      form: ready ? 'attach-partition-checked' : 'attach-partition',
      relation: partition,
      also: [parent],
    },
    ...rows.map((relation) => ({
      form: isChecked(catalog, relation, parent)
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

/** True where valid checks name the columns by which the parent is partitioned. */
function isChecked(catalog: Catalog, table: string, parent: string): boolean {
  const checks = constraintsOf(catalog, table).filter(
    ({ kind, valid }) => kind === 'check' && valid,
  );
  const keys = catalog.partitionKeys.get(parent) ?? [];
  const named = (key: string) => checks.some(({ columns }) => columns.includes(key));
  return checks.length > 0 && keys.every(named);
}

/** The keys and indexes of a table, as texts: a partition must have all that its parent has. */
function madeOf(catalog: Catalog, table: string): readonly string[] {
  const kinds = ['foreign', 'unique', 'primary', 'exclusion'];
  const keys = constraintsOf(catalog, table)
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ kind, columns, references = '' }) => [kind, ...columns, references].join(' '));
  const indexes = [...catalog.indexes.values()]
    .filter((index) => index.table === table)
    .map(({ columns, isComputed }) => ['index', ...columns, isComputed].join(' '));
  return [...keys, ...indexes];
}
