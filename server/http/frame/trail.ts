import type { AuditAction } from '#server/audit/actions.ts';
import type { Actor, RevocationTrail } from '#server/audit/entry.ts';
import type { Ctx } from './answer.ts';

/** What the audit log is told of a request: who asked for what, and where from. */
export function trailOf(c: Ctx, action: AuditAction, actor: Actor): RevocationTrail {
  return { action, actor, requestId: c.get('requestId'), address: c.get('address') };
}
