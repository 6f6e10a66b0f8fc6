import type { A_Expr, Node } from 'libpg-query';
import type { Judged } from './script.ts';
import { SqlUnreadable, type Token, tokensOf } from './sql.ts';
import { columnsIn, every, stringsOf } from './tree.ts';

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

/** Batches name their key and both bounds; nothing else has parameters. */
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
  const bounds = every('A_Expr', node).flatMap((one) => boundOf(one, batch.key));
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

/** What a comparison of the key itself with parameters says: the operator, and their numbers. */
function boundOf(expression: object, key: readonly string[]) {
  const { name, lexpr, rexpr } = expression as A_Expr;
  const bare = every('FuncCall', lexpr).length + every('A_Expr', lexpr).length === 0;
  if (!bare || columnsIn(lexpr).join(' ') !== key.join(' ')) return [];
  const [operator = ''] = stringsOf(name);
  const places = every('ParamRef', rexpr).map((one) => ('number' in one ? Number(one.number) : 0));
  return [{ operator, places }];
}
