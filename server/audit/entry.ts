import type { AuditAction } from './actions.ts';

/** Kinds of actors; an operator is the operating system's user at the command line. */
export const auditActors = [
  'admin_token',
  'credential',
  'client',
  'subject',
  'operator',
  'system',
  'anonymous',
] as const;

/** Who did it, as far as it was proven. */
export interface Actor {
  readonly kind: (typeof auditActors)[number];
  /** Id of a credential, client or subject; the operator's user name. */
  readonly id: string;
  /** The name of a credential. */
  readonly name?: string;
  /** Its role, for doors that open in part; entries have it not. */
  readonly role?: string;
}

export const auditOutcomes = ['begun', 'done', 'refused', 'failed'] as const;
export type AuditOutcome = (typeof auditOutcomes)[number];

/** Words and numbers about an entry; never a secret, a token, a code or a body. */
export type AuditDetail = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** One entry of the audit log on its way into the table. */
export interface AuditEntry {
  readonly action: AuditAction;
  readonly outcome: AuditOutcome;
  readonly actor: Actor;
  readonly target: Target;
  readonly reason?: string;
  readonly requestId?: string;
  readonly address?: string;
  /** How often, where events share an entry; absent: once. */
  readonly count?: number;
  readonly detail?: AuditDetail;
}

export interface Target {
  readonly kind: string;
  readonly id: string;
}

/** What the server does by itself. */
export const system: Actor = { kind: 'system', id: '' };
export const anonymous: Actor = { kind: 'anonymous', id: '' };

/** The same entry of a revocation's own statement, which only has words. */
export interface RevocationTrail {
  readonly action: AuditAction;
  readonly actor: Actor;
  readonly requestId: string;
  readonly address: string;
}
