import type { A_Expr, Node, PartitionBoundSpec } from 'libpg-query';
import { columnsIn, stringsOf } from './tree.ts';

// Whether checks say that a table's rows are within the bounds of a partition, or all outside, as far
// as PostgreSQL proves it without reading them: comparisons of the key with constants.

interface Comparison {
  readonly operator: string;
  readonly value: Node;
}

/** True where the checks keep every row within the bounds; for keys of one column. */
export function isWithin(
  checks: readonly Node[],
  column: string,
  { lowerdatums = [], upperdatums = [], listdatums = [] }: PartitionBoundSpec,
): boolean {
  const said = checks.flatMap((one) => comparisonsOf(one, column));
  if (listdatums.length > 0) {
    return said.some(
      ({ operator, value }) =>
        operator === '=' && valuesOf(value).every((one) => listdatums.some((at) => same(one, at))),
    );
  }
  const [lower] = lowerdatums;
  const [upper] = upperdatums;
  if (lower === undefined || upper === undefined) return false;
  const above = said.some((one) => beginsAt(one, lower));
  const below = said.some((one) => endsAt(one, upper));
  return (isOpen(lower) || above) && (isOpen(upper) || below);
}

/** True where the checks keep every row outside of the bounds; for keys of one column, by ranges. */
export function isOutside(
  checks: readonly Node[],
  column: string,
  { lowerdatums = [], upperdatums = [] }: PartitionBoundSpec,
): boolean {
  const [lower] = lowerdatums;
  const [upper] = upperdatums;
  if (lower === undefined || upper === undefined) return false;
  const beyond = (one: Comparison) => endsAt(one, lower) || beginsAt(one, upper);
  return checks.some((check) => {
    if (comparisonsOf(check, column).some(beyond)) return true;
    if (!('BoolExpr' in check)) return false;
    const { boolop, args = [] } = check.BoolExpr;
    const [first] = args;
    if (boolop === 'NOT_EXPR') {
      return partsOf(first).every((part) => {
        const inner = comparisonsOf(part, column);
        const meets = (one: Comparison) => startsBy(one, lower) || stopsBy(one, upper);
        return inner.length > 0 && inner.every(meets);
      });
    }
    if (boolop === 'AND_EXPR')
      return args.some((one) => isOutside([one], column, bounds(lower, upper)));
    return boolop === 'OR_EXPR' && args.every((one) => comparisonsOf(one, column).some(beyond));
  });
}

/** What is joined by `and`. */
function partsOf(condition: Node | undefined): readonly Node[] {
  if (condition === undefined) return [];
  const isAnd = 'BoolExpr' in condition && condition.BoolExpr.boolop === 'AND_EXPR';
  return isAnd ? (condition.BoolExpr.args ?? []) : [condition];
}

const bounds = (lower: Node, upper: Node): PartitionBoundSpec => ({
  lowerdatums: [lower],
  upperdatums: [upper],
});

/** Nothing below the bound is met. */
function beginsAt({ operator, value }: Comparison, bound: Node): boolean {
  return ['>=', '>', '='].includes(operator) && every(value, (one) => orderOf(one, bound) >= 0);
}

/** Nothing from the bound on is met. */
function endsAt({ operator, value }: Comparison, bound: Node): boolean {
  if (operator === '<') return orderOf(value, bound) <= 0;
  return ['<=', '='].includes(operator) && every(value, (one) => orderOf(one, bound) < 0);
}

/** Everything from the bound on is met. */
function startsBy({ operator, value }: Comparison, bound: Node): boolean {
  return operator === '>=' && orderOf(value, bound) <= 0;
}

/** Everything below the bound is met. */
function stopsBy({ operator, value }: Comparison, bound: Node): boolean {
  return ['<', '<='].includes(operator) && orderOf(value, bound) >= 0;
}

function every(value: Node, holds: (one: Node) => boolean): boolean {
  return valuesOf(value).every(holds);
}

/** What must hold of the column wherever the condition holds. */
function comparisonsOf(condition: Node, column: string): readonly Comparison[] {
  if ('BoolExpr' in condition) {
    const { boolop, args = [] } = condition.BoolExpr;
    return boolop === 'AND_EXPR' ? args.flatMap((one) => comparisonsOf(one, column)) : [];
  }
  return 'A_Expr' in condition ? comparisonOf(condition.A_Expr, column) : [];
}

const turned: Readonly<Record<string, string>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

function comparisonOf({ kind, name, lexpr, rexpr }: A_Expr, column: string): readonly Comparison[] {
  if (lexpr === undefined || rexpr === undefined) return [];
  const operator = stringsOf(name).join('');
  if (isColumn(rexpr, column) && kind === 'AEXPR_OP') {
    return [{ operator: turned[operator] ?? operator, value: lexpr }];
  }
  if (!isColumn(lexpr, column)) return [];
  if (kind === 'AEXPR_OP' || kind === 'AEXPR_IN') return [{ operator, value: rexpr }];
  if (kind !== 'AEXPR_BETWEEN') return [];
  const [from, to] = valuesOf(rexpr);
  return [
    ...(from === undefined ? [] : [{ operator: '>=', value: from }]),
    ...(to === undefined ? [] : [{ operator: '<=', value: to }]),
  ];
}

function isColumn(node: Node, column: string): boolean {
  return 'ColumnRef' in node && columnsIn(node).join('') === column;
}

function valuesOf(value: Node): readonly Node[] {
  return 'List' in value ? (value.List.items ?? []) : [value];
}

/** `minvalue` and `maxvalue`, which the grammar reads as columns. */
function isOpen(bound: Node): boolean {
  return 'ColumnRef' in bound;
}

function same(one: Node, other: Node): boolean {
  return orderOf(one, other) === 0;
}

/** As `one - other`; NaN where the texts do not tell. */
function orderOf(one: Node, other: Node): number {
  const [left, right] = [constantOf(one), constantOf(other)];
  if (left === undefined || right === undefined) return Number.NaN;
  if (left === right) return 0;
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  const dates = [left, right].map(String);
  const comparable = dates.every((text) => /^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?$/.test(text));
  if (!comparable || dates[0]?.length !== dates[1]?.length) return Number.NaN;
  return String(left) < String(right) ? -1 : 1;
}

function constantOf(node: Node): number | string | undefined {
  if ('TypeCast' in node) return node.TypeCast.arg && constantOf(node.TypeCast.arg);
  if (!('A_Const' in node) || node.A_Const.isnull === true) return undefined;
  const { ival, fval, sval } = node.A_Const;
  if (ival !== undefined) return ival.ival ?? 0;
  if (fval !== undefined) return Number(fval.fval);
  return sval === undefined ? undefined : (sval.sval ?? '');
}
