import type { ColumnDef, Constraint, Node } from 'libpg-query';
import { isDrawn } from './calls.ts';
import { type Catalog, constraintsOf, familyOf, indexesOf, joinedBy } from './catalog.ts';
import { collationOf, columnsIn, nameOf, typeOf, type WrittenType } from './tree.ts';

/** What a statement does, as the id of a form, and to which relations. */
export interface Use {
  /** Undefined: no form fits. */
  readonly form: string | undefined;
  /** The table that the form locks; '' where there is none. */
  readonly relation: string;
  /** The other relations that the form locks. */
  readonly also?: readonly string[];
}

/** Types that are an integer, a sequence and not null. */
export const serials: readonly string[] = [
  'serial',
  'bigserial',
  'smallserial',
  'serial2',
  'serial4',
  'serial8',
];

/** What `add column` does: one use per thing that its definition asks for. */
export function addColumn(relation: string, column: ColumnDef, catalog: Catalog): readonly Use[] {
  const constraints = (column.constraints ?? []).flatMap((node) =>
    'Constraint' in node ? [node.Constraint] : [],
  );
  const has = (kind: Constraint['contype']) => constraints.find(({ contype }) => contype === kind);
  const type = typeOf(column.typeName);
  const uses: Use[] = [];
  const say = (form: string, also?: readonly string[]) =>
    uses.push({ form, relation, ...(also && { also }) });
  if (has('CONSTR_IDENTITY') || serials.includes(type.name)) say('add-column-identity');
  const generated = has('CONSTR_GENERATED');
  if (generated) {
    say(generated.generated_kind === 's' ? 'add-column-stored' : 'add-column-virtual');
  }
  const written = has('CONSTR_DEFAULT')?.raw_expr;
  const value = isNull(written) ? undefined : written;
  if (isDrawn(value, catalog)) say('add-column-volatile-default');
  if (isConstrained(catalog, type)) say('add-column-domain');
  // A virtual column has its values already: that none is null is for every row to be looked at.
  const virtual = generated !== undefined && generated.generated_kind !== 's';
  const count = (kind: Constraint['contype']) =>
    constraints.filter(({ contype }) => contype === kind).length;
  const enforced =
    count('CONSTR_CHECK') + count('CONSTR_FOREIGN') > count('CONSTR_ATTR_NOT_ENFORCED');
  const checked = has('CONSTR_CHECK') !== undefined && enforced;
  if (checked || (virtual && has('CONSTR_NOTNULL'))) say('add-column-check');
  if (has('CONSTR_UNIQUE') || has('CONSTR_PRIMARY')) say('add-column-unique');
  const foreign = has('CONSTR_FOREIGN');
  if (foreign) {
    const form = value === undefined ? 'add-column-references' : 'add-foreign-key';
    say(form, [nameOf(foreign.pktable)]);
  }
  const filled =
    generated || has('CONSTR_IDENTITY') || serials.includes(type.name) || has('CONSTR_PRIMARY');
  if (has('CONSTR_NOTNULL') && value === undefined && !filled) say('add-column-not-null');
  if (uses.length === 0) say('add-column');
  return uses;
}

function isNull(value: Node | undefined): boolean {
  return value !== undefined && 'A_Const' in value && value.A_Const.isnull === true;
}

/** By its bare name: which schema a name without one is found in does not stand in the text. */
function isConstrained({ domains }: Catalog, { name }: WrittenType): boolean {
  return domains.has(name.split('.').at(-1) ?? name);
}

/** What `alter column type` does; the earlier migrations tell the type that the column has. */
export function alterType(
  relation: string,
  name: string,
  definition: ColumnDef,
  catalog: Catalog,
): Use {
  const column = catalog.tables.get(relation)?.columns.get(name);
  const next = typeOf(definition.typeName);
  const also = joinedBy(catalog, relation, name);
  const used = definition.raw_default;
  const isOther = used !== undefined && !isItself(used, name, next);
  if (column === undefined || isOther || !sameBytes(column.type, next)) {
    return { form: 'alter-type', relation, also };
  }
  const reordered = collationOf(definition) !== column.collation;
  const family = familyOf(catalog, relation);
  const indexed = family
    .flatMap((one) => indexesOf(catalog, one))
    .some(({ columns, isComputed }) => (isComputed || reordered) && columns.includes(name));
  if (indexed) return { form: 'alter-type-indexed', relation, also };
  const checked = family
    .flatMap((one) => constraintsOf(catalog, one))
    .some(({ kind, columns, valid }) => kind === 'check' && valid && columns.includes(name));
  return { form: checked ? 'alter-type-checked' : 'alter-type-wider', relation, also };
}

/** `using column::type`, as some generators write it: what it would do anyway. */
function isItself(value: Node, name: string, next: WrittenType): boolean {
  if ('ColumnRef' in value) return columnsIn(value).join('') === name;
  if (!('TypeCast' in value)) return false;
  const { arg, typeName } = value.TypeCast;
  const to = typeOf(typeName);
  const isSame = to.name === next.name && to.limits.join(' ') === next.limits.join(' ');
  return isSame && arg !== undefined && 'ColumnRef' in arg && isItself(arg, name, next);
}

/** True where PostgreSQL 15 to 18 leave the rows, and plain indexes on them, as they are. */
function sameBytes(former: WrittenType, next: WrittenType): boolean {
  const [had, hadScale] = former.limits;
  const [gets, getsScale] = next.limits;
  const wider = gets === undefined || (had !== undefined && gets >= had);
  if (former.name === 'varchar' && next.name === 'text') return true;
  if (former.name === 'text' && next.name === 'varchar') return gets === undefined;
  if (former.name === 'cidr' && next.name === 'inet') return true;
  if (former.name !== next.name) return false;
  if (former.limits.join(' ') === next.limits.join(' ')) return true;
  if (next.name === 'numeric') {
    return wider && (gets === undefined || (hadScale ?? 0) === (getsScale ?? 0));
  }
  // The first limit of an interval says which fields it has.
  if (next.name === 'interval') {
    const whole = gets === undefined || (gets === had && gets === allFields);
    return whole && (getsScale ?? 6) >= (hadScale ?? 6);
  }
  // Of these six digits are all that there are.
  if (clocks.includes(next.name)) return wider || gets === 6;
  return ['varchar', 'varbit'].includes(next.name) && wider;
}

const allFields = 0x7fff;
const clocks = ['timestamp', 'timestamptz', 'time', 'timetz'];
