import type { Use } from './classify-column.ts';
import { formOf } from './forms.ts';
import { blocksWrites } from './lock.ts';
import { type Judged, kindOf, type Step } from './script.ts';

type Say = (rule: string, statement: Judged) => void;

/** They read tables that others know even where they fill one of their own. */
const readers = ['insert-select', 'insert-select-references', 'create-materialized-view'];

/** Forms after which a table may have many rows; the last two may fill any. */
const fillers = [...readers, 'update-batch'];
const fillAny = ['select-call', 'do-block'];

/** The fresh tables that have rows after a statement. */
export function filledBy({ uses }: Judged, fresh: ReadonlySet<string>): readonly string[] {
  if (uses.some(({ form = '' }) => fillAny.includes(form))) return [...fresh];
  return uses.flatMap(({ form = '', relation }) => (fillers.includes(form) ? [relation] : []));
}

/** What the rules about statements in each other's company say. */
export function stepFindings(
  judged: readonly Judged[],
  steps: readonly Step[],
  fresh: ReadonlySet<string>,
  say: Say,
): void {
  for (const [index, statement] of judged.entries()) {
    const former = judged[index - 1];
    if (former === undefined || statement.afterCommit) continue;
    if (kindOf(statement) === 'transaction' && kindOf(former) === 'transaction') continue;
    say('not-alone', statement);
  }
  const filled = new Set<string>();
  for (const step of steps) {
    const locked = new Set<string>();
    for (const statement of step.statements) {
      for (const relation of filledBy(statement, fresh)) filled.add(relation);
      if (step.kind !== 'transaction') continue;
      if (isSlowUnderLock(statement, locked, { fresh, filled })) say('slow-under-lock', statement);
      const own = lockedBy(statement, fresh);
      const another = own.some((relation) => !locked.has(relation));
      if (locked.size > 0 && another) say('several-tables', statement);
      for (const relation of own) locked.add(relation);
    }
  }
}

/** Of these tables some rows are locked until the commit. */
const rowLockers = ['update-rows'];

/** The tables, or rows of them, that writers cannot use from this statement on. */
export function lockedBy(
  statement: Pick<Judged, 'uses'>,
  fresh: ReadonlySet<string>,
): readonly string[] {
  return statement.uses.flatMap(({ form: id, relation, also = [] }) => {
    if (id === undefined) return [];
    const form = formOf(id);
    const locked = [
      ...(blocksWrites(form.lock) || rowLockers.includes(id) ? [relation] : []),
      ...(form.also && blocksWrites(form.also.lock) ? also : []),
    ];
    return locked.filter((one) => one !== '' && !fresh.has(one));
  });
}

/**
 * True where something slow is done while a lock keeps writers out: one of a statement before, or of
 * another command of the same `alter table`, which takes the strongest first and keeps it.
 */
function isSlowUnderLock(
  { uses }: Judged,
  locked: ReadonlySet<string>,
  { fresh, filled }: { readonly fresh: ReadonlySet<string>; readonly filled: ReadonlySet<string> },
): boolean {
  const blocking = uses.filter((use) => lockedBy({ uses: [use] }, fresh).length > 0);
  // What blocks by itself is judged by its form.
  return uses
    .filter((use) => isSlow(use, fresh, filled))
    .some((use) => locked.size > 0 || (blocking.length > 0 && !blocking.includes(use)));
}

/** True where a use takes longer the more rows there are; `filled`: fresh tables that have some. */
export function isSlow(
  { form: id, relation }: Use,
  fresh: ReadonlySet<string>,
  filled: ReadonlySet<string>,
): boolean {
  if (id === undefined) return false;
  const { hold } = formOf(id);
  const slow = hold === 'scan' || hold === 'rewrite';
  return slow && (readers.includes(id) || !fresh.has(relation) || filled.has(relation));
}
