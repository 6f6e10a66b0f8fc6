import { blockerWords, lastingBlockers, type Wanted } from './blockers.ts';
import { formOf } from './forms.ts';
import { conflict } from './lock.ts';
import { MigrationRefused } from './refused.ts';
import type { Step } from './script.ts';
import { backOff, isContention, type Session } from './session.ts';

/** The locks that a step will ask for and that others may be in the way of. */
export function wantedBy(step: Step, fresh: ReadonlySet<string>): readonly Wanted[] {
  return step.statements.flatMap(({ uses }) =>
    uses.flatMap(({ form: id, relation, also = [] }): readonly Wanted[] => {
      if (id === undefined) return [];
      const form = formOf(id);
      const { also: second } = form;
      return [
        { relation, mode: form.lock },
        ...also.flatMap((one) => (second ? [{ relation: one, mode: second.lock }] : [])),
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
  for (let attempt = 1; ; attempt += 1) {
    const blocking = await lastingBlockers(client, wanted);
    const yielding = blocking.filter(({ isAutovacuum }) => isAutovacuum);
    if (blocking.length === yielding.length) {
      const lockMs = yielding.length > 0 ? limits.autovacuumLockMsMax : limits.lockMsMax;
      if (await attemptOnce(session, lockMs, work)) return;
    }
    const words = blockerWords(blocking);
    if (attempt >= limits.attemptsMax) throw busy(what, attempt, words);
    const data = { what, attempt, attemptsMax: limits.attemptsMax, blocking };
    const sentence = `${what}: its tables are busy (attempt ${attempt} of ${limits.attemptsMax}): ${words}`;
    tell({ kind: 'blocked', sentence, data });
    await backOff(limits, attempt);
  }
}

/** False where a lock was not to be had; everything is as it was. */
async function attemptOnce(
  { client }: Session,
  lockMs: number,
  work: () => Promise<void>,
): Promise<boolean> {
  try {
    await client.query('begin');
    await client.query(`select set_config('lock_timeout', $1, true)`, [`${lockMs}ms`]);
    await work();
    await client.query('commit');
    return true;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    if (isContention(error)) return false;
    throw error;
  }
}

function busy(what: string, attempts: number, words: string) {
  return new MigrationRefused(
    `${what} could not lock its tables, ${attempts} times. Nothing of this step was applied, and ` +
      `the steps before it stay. In the way: ${words}. End those transactions, then run it again.`,
  );
}
