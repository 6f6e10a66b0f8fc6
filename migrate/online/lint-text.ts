import type { Node, RangeVar } from 'libpg-query';
import type { Batch, Judged } from './script.ts';
import { SqlUnreadable, type Token, tokensOf } from './sql.ts';
import { conjunctsOf, every, nameOf, nodesOf, stringsOf } from './tree.ts';

type Say = (rule: string, statement: Judged) => void;

/** What the rules about one statement's own text say. */
export function textFindings(statement: Judged, say: Say): void {
  const { node } = statement;
  const bodies = bodiesOf(node).flatMap(bodyTokens);
  if (every('A_Star', node).length > 0 || hasStar(bodies)) say('star', statement);
  const executes = bodies.some(({ text }, at) => {
    const after = bodies[at + 1]?.text.toLowerCase();
    return text.toLowerCase() === 'execute' && after !== 'function' && after !== 'procedure';
  });
  if (executes && !('DoStmt' in node)) say('dynamic-sql', statement);
  if (!isRepeatable(statement)) say('not-resumable', statement);
  if (!isBounded(statement)) say('batch', statement);
}

/**
 * `*` as a list of columns, in a body that no grammar of SQL reads: what stands around it tells it
 * from a product and from count(*).
 */
function hasStar(tokens: readonly Token[]): boolean {
  return tokens.some(({ text }, at) => {
    const before = tokens[at - 1]?.text.toLowerCase() ?? '';
    const after = tokens[at + 1]?.text.toLowerCase();
    const opens = ['select', 'distinct', 'all', 'returning', ',', '.'].includes(before);
    return text === '*' && (opens || after === 'from');
  });
}

function bodiesOf(node: Node): readonly string[] {
  if (!('CreateFunctionStmt' in node) && !('DoStmt' in node)) return [];
  return every('DefElem', node).flatMap((option) => {
    if (!('defname' in option) || option.defname !== 'as' || !('arg' in option)) return [];
    const items = every('List', option.arg).flatMap((list) =>
      'items' in list && Array.isArray(list.items) ? stringsOf(list.items) : [],
    );
    const alone = every('String', option.arg).flatMap((one) =>
      'sval' in one && typeof one.sval === 'string' ? [one.sval] : [],
    );
    return items.length > 0 ? items : alone;
  });
}

function bodyTokens(body: string): readonly Token[] {
  try {
    return tokensOf(body);
  } catch (error) {
    // The name of a function in a library, or another language.
    if (error instanceof SqlUnreadable) return [];
    throw error;
  }
}

/** What runs outside a transaction must bear being run again. */
function isRepeatable({ node }: Judged): boolean {
  if ('IndexStmt' in node && node.IndexStmt.concurrent === true) {
    return node.IndexStmt.idxname !== undefined && node.IndexStmt.if_not_exists === true;
  }
  if ('DropStmt' in node && node.DropStmt.concurrent === true) {
    return node.DropStmt.missing_ok === true;
  }
  return true;
}

/** True where a bound is one of several ways to be met: rows beyond it would be met as well. */
function isLoose(node: Node): boolean {
  return every('BoolExpr', node).some((one) => {
    const isAnd = 'boolop' in one && one.boolop === 'AND_EXPR';
    return !isAnd && every('ParamRef', one).length > 0;
  });
}

/** Batches name the key of their own table and both bounds; nothing else has parameters. */
function isBounded({ node, batch, uses }: Judged): boolean {
  const numbers = new Set(
    every('ParamRef', node).map((param) => ('number' in param ? Number(param.number) : 0)),
  );
  if (batch === undefined) return numbers.size === 0 || 'CreateFunctionStmt' in node;
  if (!uses.some(({ form }) => form === 'update-batch')) return false;
  if (isLoose(node)) return false;
  const size = batch.key.length;
  const places = Array.from({ length: size * 2 }, (_, at) => at + 1);
  if (numbers.size !== places.length || !places.every((n) => numbers.has(n))) return false;
  const bounds = scopesOf(node).flatMap((scope) => boundsOf(scope, batch));
  const has = (operators: readonly string[], wanted: readonly number[]) =>
    bounds.some(
      ({ operator, places: own }) =>
        operators.includes(operator) && own.join(' ') === wanted.join(' '),
    );
  return (
    has(['BETWEEN'], places) ||
    (has(['>='], places.slice(0, size)) && has(['<='], places.slice(size)))
  );
}

/** A part of a statement that says of which rows it is. */
interface Scope {
  readonly relation?: RangeVar;
  readonly fromClause?: readonly Node[];
  readonly usingClause?: readonly Node[];
  readonly whereClause?: Node;
}

function scopesOf(node: Node): readonly Scope[] {
  return nodesOf(node).flatMap((one) => ('whereClause' in one.node ? [one.node as Scope] : []));
}

/** What a scope asks of the key of the batches' own table: operators, and numbers of parameters. */
function boundsOf(
  { relation, fromClause, usingClause, whereClause }: Scope,
  { table, key }: Batch,
) {
  const own = [
    ...(relation === undefined ? [] : [relation]),
    ...(every('RangeVar', [fromClause, usingClause]) as readonly RangeVar[]),
  ].filter((one) => nameOf(one) === withoutPublic(table));
  const called = own.map(({ alias, relname }) => alias?.aliasname ?? relname);
  return conjunctsOf(whereClause).flatMap((one) => {
    if (!('A_Expr' in one) || own.length === 0) return [];
    const { name, lexpr, rexpr } = one.A_Expr;
    const columns =
      (lexpr !== undefined && 'RowExpr' in lexpr ? lexpr.RowExpr.args : [lexpr]) ?? [];
    const named = columns.flatMap((column) => {
      if (column === undefined || !('ColumnRef' in column)) return [];
      const [last = '', qualifier] = [...stringsOf(column.ColumnRef.fields)].reverse();
      return qualifier === undefined || called.includes(qualifier) ? [last] : [];
    });
    if (named.join(' ') !== key.join(' ')) return [];
    const [operator = ''] = stringsOf(name);
    const places = every('ParamRef', rexpr).map((one) =>
      'number' in one ? Number(one.number) : 0,
    );
    return [{ operator, places }];
  });
}

const withoutPublic = (table: string) => table.replace(/^public\./, '');
