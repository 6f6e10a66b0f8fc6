import type { ColumnDef, Node, RangeVar, TypeName } from 'libpg-query';

/** A type as a migration wrote it. */
export interface WrittenType {
  readonly name: string;
  /** What stands in brackets: `varchar(40)` has [40]. */
  readonly limits: readonly number[];
}

/** `schema.table`, or `table` where no schema is named. */
export function nameOf(relation: RangeVar | undefined): string {
  const { schemaname, relname = '' } = relation ?? {};
  return schemaname === undefined || schemaname === 'public' ? relname : `${schemaname}.${relname}`;
}

/** The strings among nodes: names of columns, parts of a qualified name. */
export function stringsOf(nodes: readonly Node[] | undefined): readonly string[] {
  return (nodes ?? []).flatMap((node) => ('String' in node ? [node.String.sval ?? ''] : []));
}

/** The name of an object of `drop`: a list of strings, a type, or a function with arguments. */
export function objectName(node: Node): string {
  if ('List' in node) return withoutPublic(stringsOf(node.List.items));
  if ('TypeName' in node) return withoutPublic(stringsOf(node.TypeName.names));
  if ('ObjectWithArgs' in node) return withoutPublic(stringsOf(node.ObjectWithArgs.objname));
  return 'String' in node ? (node.String.sval ?? '') : '';
}

function withoutPublic(parts: readonly string[]): string {
  return parts.filter((part, at) => at > 0 || part !== 'public').join('.');
}

/** A type without `pg_catalog.`, arrays with `[]`. */
export function typeOf(type: TypeName | undefined): WrittenType {
  const name = stringsOf(type?.names)
    .filter((part) => part !== 'pg_catalog' && part !== 'public')
    .join('.');
  const limits = (type?.typmods ?? []).flatMap((node) =>
    'A_Const' in node && node.A_Const.ival !== undefined ? [node.A_Const.ival.ival ?? 0] : [],
  );
  return { name: (type?.arrayBounds?.length ?? 0) > 0 ? `${name}[]` : name, limits };
}

/** The collation that a definition asks for; '' for the one of its type. */
export function collationOf({ collClause }: ColumnDef): string {
  return stringsOf(collClause?.collname).at(-1) ?? '';
}

/** Every node of a kind below a node, itself included. */
export function every(kind: string, tree: unknown): readonly object[] {
  return nodesOf(tree).flatMap(({ key, node }) => (key === kind ? [node] : []));
}

/**
 * All objects below one, with the key that each stands under, as they are written. Not by recursion: a
 * sum of ten thousand parts is as deep.
 */
export function nodesOf(tree: unknown): readonly { readonly key: string; readonly node: object }[] {
  const found: { key: string; node: object }[] = [];
  const left: { key: string; node: unknown }[] = [{ key: '', node: tree }];
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    const { key, node } = one;
    if (typeof node !== 'object' || node === null) continue;
    found.push({ key, node });
    const below = Array.isArray(node)
      ? node.map((item: unknown) => ({ key: '', node: item }))
      : Object.entries(node).map(([name, value]) => ({ key: name, node: value as unknown }));
    left.push(...below.reverse());
  }
  return found;
}

/** The parts of a condition that must all hold. */
export function conjunctsOf(condition: Node | undefined): readonly Node[] {
  if (condition === undefined) return [];
  if (!('BoolExpr' in condition) || condition.BoolExpr.boolop !== 'AND_EXPR') return [condition];
  return (condition.BoolExpr.args ?? []).flatMap(conjunctsOf);
}

/** The columns that an expression names. */
export function columnsIn(expression: unknown): readonly string[] {
  return every('ColumnRef', expression).flatMap((reference) => {
    const fields = 'fields' in reference && Array.isArray(reference.fields) ? reference.fields : [];
    return stringsOf(fields).slice(-1);
  });
}

/** The functions that an expression calls, without schema. */
export function callsIn(expression: unknown): readonly string[] {
  return every('FuncCall', expression).flatMap((call) => {
    const parts = 'funcname' in call && Array.isArray(call.funcname) ? call.funcname : [];
    return stringsOf(parts).slice(-1);
  });
}

/** The value of an option in brackets or after `with`: true where it stands alone or says so. */
export function optionOf(options: readonly Node[] | undefined, name: string): boolean {
  return (options ?? []).some((node) => {
    if (!('DefElem' in node) || node.DefElem.defname !== name) return false;
    const { arg } = node.DefElem;
    if (arg === undefined) return true;
    if ('Boolean' in arg) return arg.Boolean.boolval === true;
    if ('Integer' in arg) return arg.Integer.ival === 1;
    return 'String' in arg && /^(on|true)$/i.test(arg.String.sval ?? '');
  });
}
