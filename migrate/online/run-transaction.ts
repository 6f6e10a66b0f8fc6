import { blockerWords, lastingBlockers, type Wanted } from './blockers.ts';
import { formOf } from './forms.ts';
import { conflict } from './lock.ts';
import { MigrationRefused } from './refused.ts';
import type { Step } from './script.ts';
import { attempt, backOff, type Session } from './session.ts';
import { every } from './tree.ts';

/** The locks that a step will ask for and that others may be in the way of. */
export function wantedBy(step: Step, fresh: ReadonlySet<string>): readonly Wanted[] {
  return step.statements.flatMap(({ node, uses }) =>
    uses.flatMap(({ form: id, relation, also = [] }): readonly Wanted[] => {
      if (id === undefined) return [];
      const form = formOf(id);
      const { also: second } = form;
      const isWhole =
        'AlterTableStmt' in node &&
        node.AlterTableStmt.relation?.inh === true &&
        every('PartitionCmd', node).length === 0;
      return [
        { relation, mode: form.lock, isWhole },
        ...also.flatMap((one) =>
          second ? [{ relation: one, mode: second.lock, isWhole: false }] : [],
        ),
      ].filter((one) => one.relation !== '' && !fresh.has(one.relation) && isRare(one));
    }),
  );
}

/** Only one may have it at a time, and autovacuum is one that gives way to who asks long enough. */
function isRare({ mode }: Wanted): boolean {
  return conflict(mode, 'SHARE UPDATE EXCLUSIVE');
}

/** Whoever waits for less than this keeps neither readers nor writers waiting. */
export function isFelt({ mode }: Wanted): boolean {
  return conflict(mode, 'ROW EXCLUSIVE') || conflict(mode, 'ACCESS SHARE');
}

/**
 * Runs `work` in a transaction under a short lock timeout, again and again until its locks are to be
 * had, at most `attemptsMax` times. While somebody holds one of them for long it does not even ask.
 */
export async function inTransaction(
  session: Session,
  what: string,
  wanted: readonly Wanted[],
  work: () => Promise<void>,
): Promise<void> {
  const { client, limits, tell } = session;
  const asked = new Set<string>();
  for (let tries = 1; ; tries += 1) {
    const blocking = await lastingBlockers(client, wanted);
    // One that prevents wraparound does not give way, and who asks again keeps writers waiting again.
    const yielding = blocking.filter(({ isAutovacuum, key }) => isAutovacuum && !asked.has(key));
    if (blocking.length === yielding.length) {
      for (const { key } of yielding) asked.add(key);
      const lockMs = yielding.length > 0 ? limits.autovacuumLockMsMax : limits.lockMsMax;
      if (await attempt(client, lockMs, work)) return;
    }
    const words = blockerWords(blocking);
    if (tries >= limits.attemptsMax) throw busy(what, tries, words);
    const data = { what, attempt: tries, attemptsMax: limits.attemptsMax, blocking };
    const sentence = `${what}: its tables are busy (attempt ${tries} of ${limits.attemptsMax}): ${words}`;
    tell({ kind: 'blocked', sentence, data });
    await backOff(limits, tries);
  }
}

function busy(what: string, attempts: number, words: string) {
  return new MigrationRefused(
    `${what} could not lock its tables, ${attempts} times. Nothing of this step was applied, and ` +
      `the steps before it stay. In the way: ${words}. End those transactions, then run it again.`,
  );
}
