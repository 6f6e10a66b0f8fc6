import type { Node } from 'libpg-query';
import type { Judged } from './script.ts';
import { SqlUnreadable, type Token, tokensOf } from './sql.ts';
import { every, stringsOf } from './tree.ts';

type Say = (rule: string, line: number) => void;

/** What the rules about one statement's own text say. */
export function textFindings(statement: Judged, say: Say): void {
  const { node, line } = statement;
  const bodies = bodiesOf(node).flatMap(bodyTokens);
  if (every('A_Star', node).length > 0 || hasStar(bodies)) say('star', line);
  const executes = bodies.some(({ text }, at) => {
    const after = bodies[at + 1]?.text.toLowerCase();
    return text.toLowerCase() === 'execute' && after !== 'function' && after !== 'procedure';
  });
  if (executes && !('DoStmt' in node)) say('dynamic-sql', line);
  if (!isRepeatable(statement)) say('not-resumable', line);
  if (!isBounded(statement)) say('batch', line);
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
  const wanted = batch.key.length * 2;
  const complete = Array.from({ length: wanted }, (_, at) => at + 1).every((n) => numbers.has(n));
  return complete && numbers.size === wanted;
}
