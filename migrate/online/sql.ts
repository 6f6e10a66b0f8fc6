import { loadModule, type Node, parseSync, type ScanToken, SqlError, scanSync } from 'libpg-query';

/** One statement as PostgreSQL's own grammar reads it. */
export interface Statement {
  /** Without comments before it, and without the semicolon. */
  readonly text: string;
  /** Where it begins in its file, from 1. */
  readonly line: number;
  readonly node: Node;
  /** Its tokens, comments left out. */
  readonly tokens: readonly Token[];
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
  const lineAt = (byte: number) => bytes.subarray(0, byte).toString().split('\n').length;
  if (text.trim() === '') return { statements: [], rest: [] };
  const tokens = scanned(text);
  const comments = tokens
    .filter(({ tokenName }) => tokenName === 'SQL_COMMENT')
    .map((token) => ({ text: token.text, line: lineAt(token.start), start: token.start }));
  const spoken = spokenOf(tokens);
  let former = 0;
  const statements = parsed(text, lineAt).map(({ stmt, stmt_location, stmt_len }) => {
    const begin = stmt_location ?? 0;
    const end = stmt_len === undefined || stmt_len === 0 ? bytes.length : begin + stmt_len;
    const own = spoken.filter(({ start }) => start >= begin && start < end);
    const first = own[0]?.start ?? begin;
    const statement = {
      text: bytes.subarray(first, end).toString().trim(),
      line: lineAt(first),
      node: stmt,
      tokens: own,
      comments: comments.filter(({ start }) => start >= former && start < end),
    };
    former = end;
    return statement;
  });
  return { statements, rest: comments.filter(({ start }) => start >= former) };
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

function parsed(text: string, lineAt: (byte: number) => number) {
  try {
    return (parseSync(text).stmts ?? []).flatMap(({ stmt, stmt_location, stmt_len }) =>
      stmt === undefined ? [] : [{ stmt, stmt_location, stmt_len }],
    );
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    const at = error.sqlDetails?.cursorPosition ?? 0;
    // The grammar counts characters, the lines are the same.
    throw new SqlUnreadable(error.message, lineAt(Math.max(0, at)));
  }
}
