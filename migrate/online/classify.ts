import type {
  AlterPublicationStmt,
  CreateSchemaStmt,
  CreateStmt,
  DropStmt,
  GrantStmt,
  IndexStmt,
  Node,
  PartitionBoundSpec,
  PublicationTable,
  RenameStmt,
  VacuumStmt,
} from 'libpg-query';
import { type Catalog, constraintsOf, defaultOf, joinedBy } from './catalog.ts';
import type { Use } from './classify-column.ts';
import { ofRows } from './classify-rows.ts';
import { alterTable, isApart } from './classify-table.ts';
import { columnsIn, every, nameOf, objectName, optionOf, stringsOf } from './tree.ts';

/** Statements that make, change or grant something beside tables, and lock none. */
const objects: ReadonlySet<string> = new Set(
  `AlterCollationStmt AlterDatabaseSetStmt AlterDefaultPrivilegesStmt AlterExtensionContentsStmt
AlterFdwStmt AlterForeignServerStmt AlterFunctionStmt AlterObjectDependsStmt AlterOperatorStmt
AlterOpFamilyStmt AlterOwnerStmt AlterRoleSetStmt AlterRoleStmt AlterStatsStmt
AlterTSConfigurationStmt AlterTSDictionaryStmt AlterTypeStmt AlterUserMappingStmt CompositeTypeStmt
ConstraintsSetStmt CreateAmStmt CreateCastStmt CreateConversionStmt CreateDomainStmt CreateEnumStmt
CreateExtensionStmt CreateFdwStmt CreateForeignServerStmt CreateForeignTableStmt CreateFunctionStmt
CreateOpClassStmt CreateOpFamilyStmt CreatePLangStmt CreateRangeStmt CreateRoleStmt
CreateSchemaStmt CreateTransformStmt CreateUserMappingStmt DefineStmt DropUserMappingStmt
GrantRoleStmt ImportForeignSchemaStmt NotifyStmt SecLabelStmt VariableShowStmt`.split(/\s+/),
);
/** What a statement does, by the ids of forms. `batched`: it is annotated as batches. */
export function classify(node: Node, catalog: Catalog, batched: boolean): readonly Use[] {
  if ('AlterTableStmt' in node) return alterTable(node.AlterTableStmt, catalog);
  if ('CreateStmt' in node) return createTable(node.CreateStmt, catalog);
  if ('IndexStmt' in node) {
    return [createIndex(node.IndexStmt, catalog)];
  }
  if ('DropStmt' in node) return drop(node.DropStmt, catalog);
  if ('RenameStmt' in node) return rename(node.RenameStmt);
  if ('CreateSchemaStmt' in node) return createSchema(node.CreateSchemaStmt, catalog);
  if ('AlterObjectSchemaStmt' in node) {
    return [{ form: 'rename', relation: nameOf(node.AlterObjectSchemaStmt.relation) }];
  }
  if ('VacuumStmt' in node) return vacuum(node.VacuumStmt);
  return (
    ofRows(node, catalog, batched) ?? ofTables(node) ?? ofViews(node) ?? ofOthers(node, catalog)
  );
}

/** What is made within it is new; what that refers to is not. */
function createSchema(
  { schemaname, schemaElts = [] }: CreateSchemaStmt,
  catalog: Catalog,
): readonly Use[] {
  const within = schemaElts.flatMap((one) => classify(one, catalog, false));
  const felt = within.filter(({ form }) => form === 'create-table-references');
  return [{ form: 'create-object', relation: schemaName(schemaname) }, ...felt];
}

/** Of a partitioned table only, without its partitions, there is nothing to read. */
function createIndex({ relation, concurrent }: IndexStmt, catalog: Catalog): Use {
  const name = nameOf(relation);
  const isRoot = catalog.partitionKeys.has(name);
  if (concurrent === true) {
    const form = isRoot ? 'create-index-concurrently-root' : 'create-index-concurrently';
    return { form, relation: name };
  }
  const only = relation?.inh !== true && isRoot;
  return { form: only ? 'create-index-only' : 'create-index', relation: name };
}

function createTable(
  { relation, inhRelations, partbound, ...rest }: CreateStmt,
  catalog: Catalog,
): readonly Use[] {
  const name = nameOf(relation);
  const parents = (inhRelations ?? []).flatMap((one) =>
    'RangeVar' in one ? [nameOf(one.RangeVar)] : [],
  );
  if (parents.length > 0) {
    const used = parents.flatMap((parent) =>
      partbound === undefined
        ? [{ form: 'create-child', relation: parent }]
        : partitionOf(parent, partbound, catalog),
    );
    return [...used, { form: 'create-table', relation: name }];
  }
  const referenced = every('pktable', rest.tableElts)
    .map((table) => nameOf(table))
    .filter((table) => table !== name);
  return [
    { form: 'create-table', relation: name },
    ...referenced.map((table) => ({ form: 'create-table-references', relation: table })),
  ];
}

/** The rows of the default partition are read, unless a check of it tells that none belongs here. */
function partitionOf(parent: string, bound: PartitionBoundSpec, catalog: Catalog): readonly Use[] {
  const defaults = bound.is_default === true ? [] : defaultOf(catalog, parent);
  if (!catalog.tables.has(parent)) return [{ form: 'create-partition-read', relation: parent }];
  return [
    { form: 'create-partition', relation: parent },
    ...defaults.map((relation) => ({
      form: isApart(catalog, relation, parent, bound)
        ? 'change-partition-default'
        : 'create-partition-read',
      relation,
    })),
  ];
}

/** What is named as a part of its table, and locks that when it goes. */
const onTables: readonly string[] = ['OBJECT_TRIGGER', 'OBJECT_RULE', 'OBJECT_POLICY'];

function drop({ removeType, objects: named, concurrent }: DropStmt, catalog: Catalog) {
  return (named ?? []).map(objectName).map((name): Use => {
    if (removeType === 'OBJECT_TABLE') {
      const parent = catalog.partitions.get(name)?.parent;
      const also = [...joinedBy(catalog, name), ...(parent === undefined ? [] : [parent])];
      return { form: 'drop-table', relation: name, also };
    }
    if (onTables.includes(removeType ?? '')) {
      return { form: 'drop-object', relation: name.split('.').slice(0, -1).join('.') };
    }
    if (removeType !== 'OBJECT_INDEX') return { form: 'drop-object', relation: name };
    const index = catalog.indexes.get(name);
    const what = index?.isUnique === true ? 'drop-unique-index' : 'drop-index';
    const form = concurrent === true ? `${what}-concurrently` : what;
    return { form, relation: index?.table ?? name };
  });
}

function rename({ renameType, relation }: RenameStmt): readonly Use[] {
  const forms: Readonly<Record<string, string>> = {
    OBJECT_TABCONSTRAINT: 'rename-constraint',
    OBJECT_TRIGGER: 'rename-constraint',
    OBJECT_POLICY: 'rename-constraint',
    OBJECT_RULE: 'rename-constraint',
    OBJECT_INDEX: 'rename-index',
    OBJECT_DOMCONSTRAINT: 'create-object',
    OBJECT_STATISTIC_EXT: 'create-object',
  };
  return [{ form: forms[renameType ?? ''] ?? 'rename', relation: nameOf(relation) }];
}

function vacuum({ options, rels, is_vacuumcmd }: VacuumStmt): readonly Use[] {
  const full = optionOf(options, 'full') ? 'vacuum-full' : 'vacuum';
  const form = is_vacuumcmd === true ? full : 'analyze';
  const relations = (rels ?? []).flatMap((node) =>
    'VacuumRelation' in node ? [nameOf(node.VacuumRelation.relation)] : [],
  );
  // Without a table it means all of them, one after another.
  return (relations.length === 0 ? [''] : relations).map((relation) => ({ form, relation }));
}

/** SHARE UPDATE EXCLUSIVE, as the grammar counts modes. */
const sharedMax = 4;

function ofTables(node: Node): readonly Use[] | undefined {
  if ('TruncateStmt' in node) {
    return (node.TruncateStmt.relations ?? []).map((relation) => ({
      form: 'truncate',
      relation: 'RangeVar' in relation ? nameOf(relation.RangeVar) : '',
    }));
  }
  if ('LockStmt' in node) {
    const { mode = sharedMax + 1, relations = [] } = node.LockStmt;
    return relations.map((relation) => ({
      form: mode <= sharedMax ? 'lock-table-shared' : 'lock-table',
      relation: 'RangeVar' in relation ? nameOf(relation.RangeVar) : '',
    }));
  }
  return undefined;
}

function ofViews(node: Node): readonly Use[] | undefined {
  if ('ViewStmt' in node) {
    const form = node.ViewStmt.replace === true ? 'replace-view' : 'create-view';
    return [{ form, relation: nameOf(node.ViewStmt.view) }];
  }
  if ('RefreshMatViewStmt' in node) {
    const aside = node.RefreshMatViewStmt.concurrent === true ? '-concurrently' : '';
    return [{ form: `refresh${aside}`, relation: nameOf(node.RefreshMatViewStmt.relation) }];
  }
  return undefined;
}

function ofOthers(node: Node, catalog: Catalog): readonly Use[] {
  if ('ReindexStmt' in node) {
    const { params, relation, name } = node.ReindexStmt;
    const aside = optionOf(params, 'concurrently') ? '-concurrently' : '';
    const named = relation === undefined ? (name ?? '') : nameOf(relation);
    return [{ form: `reindex${aside}`, relation: catalog.indexes.get(named)?.table ?? named }];
  }
  if ('ClusterStmt' in node) {
    return [{ form: 'cluster', relation: nameOf(node.ClusterStmt.relation) }];
  }
  if ('CreateStatsStmt' in node) {
    return (node.CreateStatsStmt.relations ?? []).map((relation) => ({
      form: 'create-statistics',
      relation: 'RangeVar' in relation ? nameOf(relation.RangeVar) : '',
    }));
  }
  if ('CreateSeqStmt' in node) {
    return [{ form: 'create-object', relation: nameOf(node.CreateSeqStmt.sequence) }];
  }
  if ('AlterSeqStmt' in node) {
    return [{ form: 'alter-sequence', relation: nameOf(node.AlterSeqStmt.sequence) }];
  }
  if ('CreateTrigStmt' in node) {
    return [{ form: 'create-trigger', relation: nameOf(node.CreateTrigStmt.relation) }];
  }
  if ('RuleStmt' in node)
    return [{ form: 'create-rule', relation: nameOf(node.RuleStmt.relation) }];
  if ('CommentStmt' in node) return [comment(node.CommentStmt.objtype, node.CommentStmt.object)];
  if ('AlterEnumStmt' in node) {
    const form = node.AlterEnumStmt.oldVal === undefined ? 'enum-add-value' : 'rename';
    return [{ form, relation: '' }];
  }
  if ('AlterDomainStmt' in node) return [alterDomain(node)];
  if ('GrantStmt' in node) return grant(node.GrantStmt);
  if ('GrantRoleStmt' in node && node.GrantRoleStmt.is_grant !== true) {
    return [{ form: 'revoke', relation: '' }];
  }
  if ('DropRoleStmt' in node) return [{ form: 'drop-object', relation: '' }];
  if ('DoStmt' in node) return [{ form: 'do-block', relation: '' }];
  if ('CallStmt' in node || 'ExecuteStmt' in node) return [{ form: 'select-call', relation: '' }];
  const policy = policyOf(node);
  if (policy !== undefined) {
    const hides = 'CreatePolicyStmt' in node && node.CreatePolicyStmt.permissive !== true;
    return [{ form: hides ? 'restrict-rows' : 'set-policy', relation: nameOf(policy.table) }];
  }
  const published = publicationOf(node);
  if (published !== undefined) return publish(published, catalog);
  const made = Object.keys(node).some((kind) => objects.has(kind));
  return [{ form: made ? 'create-object' : undefined, relation: '' }];
}

function comment(kind: string | undefined, object: Node | undefined): Use {
  const name = object === undefined ? '' : objectName(object);
  if (kind === 'OBJECT_TABLE') return { form: 'comment', relation: name };
  if (kind !== 'OBJECT_COLUMN') return { form: 'create-object', relation: '' };
  return { form: 'comment', relation: name.split('.').slice(0, -1).join('.') };
}

/** What a release cannot work without. Of a function everybody has the right until it is revoked. */
const needed: readonly string[] = [
  'OBJECT_TABLE',
  'OBJECT_SEQUENCE',
  'OBJECT_SCHEMA',
  'OBJECT_DATABASE',
];

/** Taking a right from a role may break who uses it. */
function grant({ is_grant, objtype, objects: named = [] }: GrantStmt): readonly Use[] {
  if (is_grant === true || !needed.includes(objtype ?? '')) {
    return [{ form: 'create-object', relation: '' }];
  }
  return named.map((node) => {
    if ('RangeVar' in node) return { form: 'revoke', relation: nameOf(node.RangeVar) };
    const isSchema = objtype === 'OBJECT_SCHEMA' && 'String' in node;
    return { form: 'revoke', relation: isSchema ? schemaName(node.String.sval) : '' };
  });
}

/** No table is called like this. */
const schemaName = (name = '') => `schema ${name}`;

function policyOf(node: Node) {
  if ('CreatePolicyStmt' in node) return node.CreatePolicyStmt;
  return 'AlterPolicyStmt' in node ? node.AlterPolicyStmt : undefined;
}

function publicationOf(node: Node) {
  if ('CreatePublicationStmt' in node) return node.CreatePublicationStmt;
  return 'AlterPublicationStmt' in node ? node.AlterPublicationStmt : undefined;
}

function publish(
  { pubobjects = [], for_all_tables, action, options }: AlterPublicationStmt,
  catalog: Catalog,
): readonly Use[] {
  if (action === 'AP_DropObjects') return [{ form: 'publish', relation: '' }];
  const tables: readonly PublicationTable[] = every('pubtable', pubobjects);
  const isListed = for_all_tables !== true && tables.length === pubobjects.length;
  const changes = textOf(options, 'publish')?.match(/update|delete/i) !== null;
  if (!isListed) return [{ form: changes ? 'publish-keyless' : 'publish', relation: '' }];
  if (tables.length === 0) return [{ form: 'create-object', relation: '' }];
  return tables.map((one) => {
    const form = !changes || isKeyed(one, catalog) ? 'publish' : 'publish-keyless';
    return { form, relation: nameOf(one.relation) };
  });
}

/** What is published of a row that is changed must tell which it is, and nothing else choose it. */
function isKeyed({ relation, whereClause, columns }: PublicationTable, catalog: Catalog): boolean {
  const [key] = constraintsOf(catalog, nameOf(relation)).filter(({ kind }) => kind === 'primary');
  if (key === undefined) return false;
  const listed = columns === undefined ? key.columns : stringsOf(columns);
  const asked = columnsIn(whereClause);
  return (
    key.columns.every((column) => listed.includes(column)) &&
    asked.every((column) => key.columns.includes(column))
  );
}

/** The text of an option; undefined where it is not given. */
function textOf(options: readonly Node[] | undefined, name: string): string | undefined {
  const [found] = (options ?? []).flatMap((node) => {
    if (!('DefElem' in node) || node.DefElem.defname !== name) return [];
    const { arg } = node.DefElem;
    return arg !== undefined && 'String' in arg ? [arg.String.sval ?? ''] : [];
  });
  return found;
}

function alterDomain(node: Extract<Node, { AlterDomainStmt: object }>): Use {
  const { subtype, def } = node.AlterDomainStmt;
  if (subtype === 'V') return { form: 'alter-domain-validate', relation: '' };
  if (subtype === 'C' && def !== undefined && 'Constraint' in def) {
    const later = def.Constraint.skip_validation === true ? '-not-valid' : '';
    return { form: `alter-domain-add-check${later}`, relation: '' };
  }
  // 'T' sets or drops the default, 'X' drops a constraint, 'N' drops not null, 'O' sets it.
  return { form: subtype === 'O' ? 'alter-domain-add-check' : 'create-object', relation: '' };
}
