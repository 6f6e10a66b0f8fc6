import type { Catalog } from './catalog.ts';
import { classify } from './classify.ts';
import type { Use } from './classify-column.ts';
import { formOf } from './forms.ts';
import { type Comment, readStatements, type Statement } from './sql.ts';

/** Statements that run in batches of rows, by ranges of a key. */
export interface Batch {
  readonly table: string;
  /** The columns of the primary key, or of another unique key, in order. */
  readonly key: readonly string[];
  /** How many rows the first batch has, from 1; later ones follow the time that they take. */
  readonly rows: number;
}

/** A rule that a migration sets aside for one statement, and why. */
export interface Allowance {
  readonly rule: string;
  readonly reason: string;
  readonly line: number;
}

/** A statement with what its comments say about it. */
export interface AnnotatedStatement extends Statement {
  readonly allows: readonly Allowance[];
  readonly batch?: Batch;
  /** A new transaction begins with it. */
  readonly afterCommit: boolean;
}

/** One half of a migration, `up` or `down`, as its text says it. */
export interface Script {
  readonly statements: readonly AnnotatedStatement[];
  /** The number of the oldest release's newest migration that may run after this one. */
  readonly oldestRelease?: number;
  /** Annotations that say nothing that is known. */
  readonly unknown: readonly Comment[];
}

/** Reads a half of a migration. Throws SqlUnreadable. `loadGrammar` comes first. */
export function readScript(sql: string): Script {
  const { statements, rest } = readStatements(sql);
  const unknown: Comment[] = [];
  // The line that begins a down section; anywhere else it would begin none.
  const opens = ({ text, line }: Comment) =>
    line === 1 && annotationOf(text)?.kind === 'down' && sql.trimStart().startsWith(text);
  let oldestRelease: number | undefined;
  const annotated = statements.map((statement) => {
    const allows: Allowance[] = [];
    let batch: Batch | undefined;
    let afterCommit = false;
    for (const comment of statement.comments) {
      const said = annotationOf(comment.text);
      if (said === undefined || opens(comment)) continue;
      if (said.kind === 'commit') afterCommit = true;
      else if (said.kind === 'oldest-release') oldestRelease = said.number;
      else if (said.kind === 'batch') batch = said.batch;
      else if (said.kind === 'allow') {
        for (const rule of said.rules) {
          allows.push({ rule, reason: said.reason, line: comment.line });
        }
      } else unknown.push(comment);
    }
    return { ...statement, allows, afterCommit, ...(batch === undefined ? {} : { batch }) };
  });
  unknown.push(...rest.filter((one) => annotationOf(one.text) !== undefined && !opens(one)));
  return {
    statements: annotated,
    unknown,
    ...(oldestRelease === undefined ? {} : { oldestRelease }),
  };
}

type Annotation =
  | { readonly kind: 'commit' | 'down' | 'unknown' }
  | { readonly kind: 'oldest-release'; readonly number: number }
  | { readonly kind: 'batch'; readonly batch: Batch }
  | { readonly kind: 'allow'; readonly rules: readonly string[]; readonly reason: string };

const rowsFirst = 1_000;

function annotationOf(comment: string): Annotation | undefined {
  const text = /^--\s*migrate\s*:(.*)$/i.exec(comment)?.[1]?.trim();
  if (text === undefined) return undefined;
  const word = text.toLowerCase();
  if (word === 'commit' || word === 'down') return { kind: word };
  const release = /^oldest-release (\d{1,9})$/.exec(text)?.[1];
  if (release !== undefined) return { kind: 'oldest-release', number: Number(release) };
  const allow = /^allow ([a-z-]+(?:, *[a-z-]+)*) because (.{10,})$/.exec(text);
  if (allow !== null) {
    return { kind: 'allow', rules: (allow[1] ?? '').split(/, */), reason: allow[2] ?? '' };
  }
  const batch = /^batch ([\w.]+) \((\w+(?:, *\w+)*)\)(?: rows ([1-9]\d{0,6}))?$/.exec(text);
  if (batch === null) return { kind: 'unknown' };
  const [, table = '', key = '', rows] = batch;
  return {
    kind: 'batch',
    batch: { table, key: key.split(/, */), rows: rows ? Number(rows) : rowsFirst },
  };
}

/** A statement with what it does. */
export interface Judged extends AnnotatedStatement {
  readonly uses: readonly Use[];
}

/**
 * What runs as one: statements of one transaction, or one statement that PostgreSQL wants outside
 * of any, or batches, each a transaction of its own. A runner that was killed begins with the step
 * that was not done.
 */
export interface Step {
  readonly kind: 'transaction' | 'alone' | 'batches';
  readonly statements: readonly Judged[];
}

/** The kind of step that a statement needs. */
export function kindOf(statement: Pick<Judged, 'batch' | 'uses'>): Step['kind'] {
  if (statement.batch !== undefined) return 'batches';
  const alone = statement.uses.some(
    ({ form }) => form !== undefined && formOf(form).alone === true,
  );
  return alone ? 'alone' : 'transaction';
}

/** The statements with what they do, as far as `catalog`, the state before each, can tell. */
export function judge(statement: AnnotatedStatement, catalog: Catalog): Judged {
  const uses = classify(statement.node, catalog, statement.batch !== undefined);
  return { ...statement, uses };
}

/** Groups statements into steps. */
export function stepsOf(statements: readonly Judged[]): readonly Step[] {
  const steps: { kind: Step['kind']; statements: Judged[] }[] = [];
  for (const statement of statements) {
    const kind = kindOf(statement);
    const last = steps.at(-1);
    const joins = kind === 'transaction' && last?.kind === kind && !statement.afterCommit;
    if (joins) last.statements.push(statement);
    else steps.push({ kind, statements: [statement] });
  }
  return steps;
}
