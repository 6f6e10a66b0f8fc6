import { userInfo } from 'node:os';
import { newId } from '#server/identifiers.ts';
import { insertEntries } from '#server/store/audit.ts';
import { openForCommand } from '#server/store/database.ts';
import type { AuditAction } from './actions.ts';
import type { Actor, AuditDetail, AuditOutcome } from './entry.ts';

/** A change that somebody makes at the command line, straight in the database. */
export interface OperatorChange {
  readonly action: AuditAction;
  readonly targetKind: string;
  readonly detail: AuditDetail;
}

/**
 * Makes the change with an entry before it and one after it, as the admin doors do: when it cannot
 * be written down, nothing is changed. `targetOf` says what the result is about; undefined: refused.
 */
export async function recorded<Result>(
  url: string,
  change: OperatorChange,
  work: () => Promise<Result>,
  targetOf: (result: Result) => string | undefined,
): Promise<Result> {
  const database = openForCommand(url);
  const { action, targetKind, detail } = change;
  const requestId = newId();
  const write = (outcome: AuditOutcome, id: string) => {
    const target = { kind: targetKind, id };
    return insertEntries(database, [
      { action, outcome, actor: operator(), target, requestId, detail },
    ]);
  };
  try {
    await write('begun', '');
    const result = await work().catch(async (error: unknown) => {
      // The error says why; that this could not be written down as well would hide it.
      await write('failed', '').catch(() => {});
      throw error;
    });
    const target = targetOf(result);
    await write(target === undefined ? 'refused' : 'done', target ?? '');
    return result;
  } finally {
    await database.close();
  }
}

/** Who is at the command line, as the operating system says. */
export function operator(): Actor {
  return { kind: 'operator', id: nameOfUser() };
}

/** A container may run as a number that no user has. */
function nameOfUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
