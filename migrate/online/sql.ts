import { loadModule, type Node, parseSync, type ScanToken, SqlError, scanSync } from 'libpg-query';

/** One statement as PostgreSQL's own grammar reads it. */
export interface Statement {
  /** Without comments before it, and without the semicolon. */
  readonly text: string;
  /** Where it begins in its file, from 1. */
  readonly line: number;
  readonly node: Node;
  /** `--` comments since the statement before, each with its line. */
  readonly comments: readonly Comment[];
}

export interface Token {
  readonly text: string;
  /** In bytes of the file. */
  readonly start: number;
  readonly name: string;
}

export interface Comment {
  readonly text: string;
  readonly line: number;
}

/** The text is not SQL of PostgreSQL. The message says what the grammar expected, and the line. */
export class SqlUnreadable extends Error {
  override readonly name = 'SqlUnreadable';
  readonly line: number;
  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/**
 * Loads the grammar (WebAssembly, once per process; 15 ms). `readStatements` and `tokensOf` need it.
 */
export async function loadGrammar(): Promise<void> {
  await loadModule();
}

/** Splits and parses; throws {@link SqlUnreadable}. Comments after the last statement are `rest`. */
export function readStatements(text: string): {
  readonly statements: readonly Statement[];
  readonly rest: readonly Comment[];
} {
  const bytes = Buffer.from(text);
  if (text.trim() === '') return { statements: [], rest: [] };
  const lineAt = linesOf(bytes);
  const tokens = scanned(text);
  const comments = tokens
    .filter(({ tokenName }) => tokenName === 'SQL_COMMENT')
    .map((token) => ({ text: token.text, line: lineAt(token.start), start: token.start }));
  const [spoken, said] = [spokenOf(tokens).values(), comments.values()];
  let [token, comment] = [spoken.next(), said.next()];
  const statements = parsed(text).map(({ stmt, stmt_location, stmt_len }) => {
    const begin = stmt_location ?? 0;
    const end = stmt_len === undefined || stmt_len === 0 ? bytes.length : begin + stmt_len;
    // Semicolons before it are nobody's.
    while (!token.done && token.value.start < begin) token = spoken.next();
    const first = token.done ? begin : token.value.start;
    const before: Comment[] = [];
    for (; !comment.done && comment.value.start < end; comment = said.next()) {
      before.push(comment.value);
    }
    return {
      text: bytes.subarray(first, end).toString().trim(),
      line: lineAt(first),
      node: stmt,
      comments: before,
    };
  });
  return { statements, rest: comment.done ? [] : [comment.value, ...said] };
}

/** Tells the line, from 1, of a place in bytes. */
function linesOf(bytes: Buffer): (byte: number) => number {
  const ends: number[] = [];
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) ends.push(at);
  return (byte) => {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ends[middle] ?? 0) < byte) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  };
}

/** The tokens of any text in PostgreSQL's lexis, such as a function's body. */
export function tokensOf(text: string): readonly Token[] {
  return spokenOf(scanned(text));
}

function spokenOf(tokens: readonly ScanToken[]): readonly Token[] {
  return tokens
    .filter(({ tokenName }) => tokenName !== 'SQL_COMMENT' && tokenName !== 'C_COMMENT')
    .map(({ text, start, tokenName }) => ({ text, start, name: tokenName }));
}

function scanned(text: string): readonly ScanToken[] {
  try {
    return scanSync(text).tokens;
  } catch (error) {
    if (error instanceof SqlError) throw new SqlUnreadable(error.message, 1);
    throw error;
  }
}

function parsed(text: string) {
  try {
    return (parseSync(text).stmts ?? []).flatMap(({ stmt, stmt_location, stmt_len }) =>
      stmt === undefined ? [] : [{ stmt, stmt_location, stmt_len }],
    );
  } catch (error) {
    if (error instanceof RangeError) {
      throw new SqlUnreadable('an expression in it is nested too deep to be read', 1);
    }
    if (!(error instanceof SqlError)) throw error;
    // The grammar counts characters here, from 1.
    const before = [...text].slice(0, Math.max(0, error.sqlDetails?.cursorPosition ?? 0));
    throw new SqlUnreadable(error.message, before.filter((one) => one === '\n').length + 1);
  }
}
