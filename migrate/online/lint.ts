import type { Constraint, Node } from 'libpg-query';
import { type Catalog, emptyCatalog } from './catalog.ts';
import type { Use } from './classify-column.ts';
import type { Form } from './form.ts';
import { formOf } from './forms.ts';
import { isPassing, learn } from './learn.ts';
import { filledBy, isSlow, lockedBy, stepFindings } from './lint-step.ts';
import { textFindings } from './lint-text.ts';
import type { Migration, Phase } from './migration.ts';
import { rules } from './rules.ts';
import { type Judged, judge, readScript, type Script, type Step, stepsOf } from './script.ts';
import { SqlUnreadable } from './sql.ts';
import { every, nameOf } from './tree.ts';

/** What the linter has against a statement. */
export interface Finding {
  readonly migration: Migration;
  readonly direction: Direction;
  /** In the migration's file. */
  readonly line: number;
  /** A rule's or a form's id: what `-- migrate:allow` names. */
  readonly rule: string;
  /** What it is about, and why that is refused. */
  readonly sentence: string;
  readonly instead: string;
  /** The reason that the migration gives for doing it all the same; absent: refused. */
  readonly excuse?: string;
}

export type Direction = 'up' | 'down';

/** A half of a migration, ready to be run, and what the linter says of it. */
export interface Reading {
  readonly migration: Migration;
  readonly direction: Direction;
  readonly steps: readonly Step[];
  readonly oldestRelease?: number;
  readonly findings: readonly Finding[];
  /** What this migration made itself: nobody uses it yet. */
  readonly fresh: ReadonlySet<string>;
}

export interface LintOptions {
  /** The oldest major version of PostgreSQL that the migrations must run on; absent: 15. */
  readonly oldestPostgres?: number;
}

/**
 * Reads all migrations of a database, the first one first: what the earlier ones made tells what
 * the later ones meet. Gives a reading of each half. `loadGrammar` must have been awaited.
 */
export function lint(
  migrations: readonly Migration[],
  options: LintOptions = {},
): readonly Reading[] {
  const catalog = emptyCatalog();
  const oldestPostgres = options.oldestPostgres ?? 15;
  return migrations.flatMap((migration) => {
    const up = read(migration, 'up', catalog, oldestPostgres);
    if (migration.down === undefined) return [up];
    return [up, read(migration, 'down', copyOf(catalog), oldestPostgres)];
  });
}

/** The findings that no annotation excuses. */
export function refusals(readings: readonly Reading[]): readonly Finding[] {
  return readings.flatMap(({ findings }) => findings.filter(({ excuse }) => excuse === undefined));
}

type Say = (rule: string, statement: Judged, form?: Form) => void;

function read(
  migration: Migration,
  direction: Direction,
  catalog: Catalog,
  oldestPostgres: number,
): Reading {
  const before = direction === 'down' ? migration.downLine - 1 : 0;
  const found: Found[] = [];
  const fresh = new Set<string>();
  const filled = new Set<string>();
  const attached = new Set<string>();
  let script: Script = { statements: [], unknown: [] };
  try {
    script = readScript((direction === 'up' ? migration.sql : migration.down) ?? '');
  } catch (error) {
    if (!(error instanceof SqlUnreadable)) throw error;
    found.push({ rule: 'syntax', line: error.line, message: error.message });
  }
  const say: Say = (rule, statement, form) =>
    found.push({ rule, line: statement.line, statement, ...(form && { form }) });
  const phase = direction === 'down' ? 'contract' : migration.phase;
  const judged = script.statements.map((statement) => {
    const one = judge(statement, catalog);
    if (sinceOf(one) > oldestPostgres) say('too-new', one);
    ofForms(one, { phase, fresh, filled, attached, catalog }, say);
    for (const relation of filledBy(one, fresh)) filled.add(relation);
    textFindings(one, say);
    learn(catalog, one.node);
    return one;
  });
  const steps = stepsOf(judged);
  stepFindings(judged, steps, fresh, say);
  for (const { line } of script.unknown) found.push({ rule: 'annotation', line });
  const excused = excuse(judged, found);
  return {
    migration,
    direction,
    steps,
    fresh,
    ...(script.oldestRelease === undefined ? {} : { oldestRelease: script.oldestRelease }),
    findings: excused.map(({ rule, line, form, message, reason }) => ({
      migration,
      direction,
      line: line + before,
      rule,
      ...wordsOf(rule, form, message),
      ...(reason === undefined ? {} : { excuse: reason }),
    })),
  };
}

interface Surroundings {
  readonly phase: Phase;
  readonly fresh: Set<string>;
  /** Those of them that have rows, as far as the statements tell. */
  readonly filled: ReadonlySet<string>;
  /** Those that became a partition of a table that others know: they are in use from then on. */
  readonly attached: Set<string>;
  readonly catalog: Catalog;
}

/** What the forms of one statement say against it, on tables that others know. */
function ofForms(statement: Judged, around: Surroundings, say: Say): void {
  for (const use of statement.uses) {
    if (use.form === undefined) {
      if (around.fresh.has(use.relation)) continue;
      say(unformed(statement), statement);
      continue;
    }
    const form = formOf(use.form);
    if (isNew(use, statement, around)) around.fresh.add(use.relation);
    if (around.fresh.has(use.relation)) around.fresh.add(nameAfter(use, statement.node));
    const unused = around.fresh.has(use.relation) && !around.attached.has(use.relation);
    if (isAttaching(use) && !use.also?.every((parent) => around.fresh.has(parent))) {
      around.attached.add(use.relation);
    }
    if (unused && !isFeltElsewhere(use, around)) continue;
    if (form.verdict === 'allowed') continue;
    if (form.verdict === 'contract' && around.phase === 'contract') continue;
    say(form.id, statement, form);
  }
}

/** The rule about a statement that has no form. */
function unformed({ node }: Judged): string {
  if ('TransactionStmt' in node || 'VariableSetStmt' in node) return 'transaction-control';
  const parts = every('PartitionCmd', node);
  const isAside = parts.some((one) => 'concurrent' in one && one.concurrent === true);
  return isAside ? 'detach-concurrently' : 'unknown-statement';
}

/** The first major version that knows the forms and the constraints of a statement; 15 or later. */
function sinceOf({ node, uses }: Judged): number {
  const isNew = every('Constraint', node).some((one) => {
    const { contype, is_enforced, generated_kind, without_overlaps, fk_with_period } =
      one as Constraint;
    if (contype === 'CONSTR_ATTR_NOT_ENFORCED') return true;
    if (contype === 'CONSTR_GENERATED') return generated_kind !== 's';
    const isLax = contype === 'CONSTR_FOREIGN' && is_enforced !== true;
    return isLax || without_overlaps === true || fk_with_period === true;
  });
  const known = uses.map(({ form }) => (form === undefined ? undefined : formOf(form).since));
  return Math.max(isNew ? 18 : 15, ...known.map((since) => since ?? 15));
}

const isAttaching = ({ form = '' }: Use) => form.startsWith('attach-partition');

/** Nobody uses what this statement makes: it is there from now on, and was not before. */
function isNew({ form, relation }: Use, { node }: Judged, around: Surroundings): boolean {
  if (!makers.includes(form ?? '') || relation === '' || isPassing(node)) return false;
  // A partition is in use as soon as its parent is.
  const parents = 'CreateStmt' in node ? (node.CreateStmt.inhRelations ?? []) : [];
  const aside = parents.every((one) => 'RangeVar' in one && around.fresh.has(nameOf(one.RangeVar)));
  return aside && !around.catalog.tables.has(relation);
}

/** What a relation is called after a statement. */
function nameAfter({ relation }: Use, node: Node): string {
  if (!('RenameStmt' in node) || node.RenameStmt.renameType !== 'OBJECT_TABLE') return relation;
  const { newname = '' } = node.RenameStmt;
  return [...relation.split('.').slice(0, -1), newname].join('.');
}

const makers = ['create-table', 'create-view', 'create-materialized-view', 'create-object'];

/** True where reading a table that nobody uses locks one that others do. */
function isFeltElsewhere(use: Use, { fresh, filled }: Surroundings): boolean {
  if (use.form === 'insert-select-references') {
    return use.also?.some((referenced) => !fresh.has(referenced)) === true;
  }
  return isSlow(use, fresh, filled) && lockedBy({ uses: [use] }, fresh).length > 0;
}

interface Found {
  readonly rule: string;
  readonly line: number;
  /** Absent: it is about the text, or an annotation. */
  readonly statement?: Judged;
  readonly form?: Form;
  readonly message?: string;
}

/** Matches findings with the annotations of their statement; an annotation left over is one more. */
function excuse(judged: readonly Judged[], found: readonly Found[]) {
  const used = new Set<number>();
  const excused = found.map((one) => {
    const allowance = one.statement?.allows.find(({ rule }) => rule === one.rule);
    if (allowance !== undefined) used.add(allowance.line);
    return { ...one, reason: allowance?.reason };
  });
  const idle = judged.flatMap(({ allows }) => allows.filter(({ line }) => !used.has(line)));
  const left: readonly (Found & { readonly reason: undefined })[] = idle.map(({ line }) => ({
    rule: 'annotation',
    line,
    reason: undefined,
  }));
  return [...excused, ...left];
}

function wordsOf(rule: string, form: Form | undefined, message: string | undefined) {
  if (form !== undefined) {
    const lock = form.lock === 'NONE' ? '' : ` (${form.lock}, ${form.hold})`;
    return { sentence: `${form.about}${lock}: ${form.why}`, instead: form.instead ?? '' };
  }
  const known = rules.find(({ id }) => id === rule);
  const why = message ?? known?.why ?? '';
  return { sentence: `${known?.about ?? rule}: ${why}`, instead: known?.instead ?? '' };
}

function copyOf(catalog: Catalog): Catalog {
  return structuredClone(catalog);
}
