import type { MiddlewareHandler } from 'hono';
import type { AuditAction } from '#server/audit/actions.ts';
import { auditActions } from '#server/audit/actions.ts';
import type { Audit } from '#server/audit/audit.ts';
import { type AuditEntry, type AuditOutcome, anonymous, type Target } from '#server/audit/entry.ts';
import type { Ctx, Env } from '#server/http/frame/answer.ts';

interface Door {
  readonly action: AuditAction;
  /** The id of what is changed, where the request says it; a handler that knows better notes it. */
  readonly target: (c: Ctx) => string;
}

/** The word of the path after `/admin/`, counted from 0, decoded. */
const word = (at: number) => (c: Ctx) => {
  const text = c.req.path.split('/')[at + 2] ?? '';
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
const asked = (name: string) => (c: Ctx) => c.req.query(name) ?? '';
const unknownYet = () => '';
const sessions = '/admin/oauth2/auth/sessions';

/**
 * Every admin door that changes something, by method and route. A door that is in neither this list
 * nor {@link unauditedDoors} fails a test (server/admin-app.test.ts).
 */
export const auditedDoors: Readonly<Record<string, Door>> = {
  'POST /admin/clients': { action: 'client.create', target: unknownYet },
  'PUT /admin/clients/:id': { action: 'client.replace', target: word(1) },
  'PATCH /admin/clients/:id': { action: 'client.patch', target: word(1) },
  'DELETE /admin/clients/:id': { action: 'client.delete', target: word(1) },
  'PUT /admin/clients/:id/lifespans': { action: 'client.set_lifespans', target: word(1) },
  'POST /admin/clients/:id/secrets/rotate': { action: 'client.rotate_secret', target: word(1) },
  'DELETE /admin/clients/:id/secrets/rotate': {
    action: 'client.end_old_secrets',
    target: word(1),
  },
  'POST /admin/keys/:set': { action: 'key.create', target: word(1) },
  'POST /admin/keys/:set/rotate': { action: 'key_set.rotate', target: word(1) },
  'PUT /admin/keys/:set': { action: 'key_set.import', target: word(1) },
  'DELETE /admin/keys/:set': { action: 'key_set.delete', target: word(1) },
  'PUT /admin/keys/:set/:kid': {
    action: 'key.import',
    target: (c) => `${word(1)(c)} ${word(2)(c)}`,
  },
  'DELETE /admin/keys/:set/:kid': {
    action: 'key.delete',
    target: (c) => `${word(1)(c)} ${word(2)(c)}`,
  },
  'POST /admin/credentials': { action: 'credential.create', target: unknownYet },
  'DELETE /admin/credentials/:id': { action: 'credential.delete', target: word(1) },
  'POST /admin/revocations': { action: 'revocation.create', target: unknownYet },
  'POST /admin/grants/:id/narrow': { action: 'grant.narrow', target: word(1) },
  [`DELETE ${sessions}/consent`]: { action: 'consent.revoke', target: asked('subject') },
  [`DELETE ${sessions}/login`]: { action: 'session.end', target: asked('subject') },
  'DELETE /admin/oauth2/tokens': { action: 'client.revoke_tokens', target: asked('client_id') },
};

/**
 * Doors that change nothing that an administrator did: a login app answers for a person here, and
 * the rows of session and grant are the trail of that.
 */
export const unauditedDoors: ReadonlySet<string> = new Set([
  'POST /admin/oauth2/introspect',
  ...['login', 'consent', 'logout'].flatMap((kind) =>
    ['accept', 'reject'].map((step) => `PUT /admin/oauth2/auth/requests/${kind}/${step}`),
  ),
]);

/**
 * Writes an entry before the change and one that says how it ended before the answer, so that no
 * change is acknowledged without its entry, and one that nobody was told of (a crash, an outage)
 * has at least the first (docs/decisions/0007-audit-before-and-after.md). Comes behind the guards.
 */
export function auditing(audit: Audit): MiddlewareHandler<Env> {
  return async (c, next) => {
    const door = auditedDoors[`${c.req.method} ${c.get('route')}`];
    if (door === undefined) return next();
    const { action } = door;
    const target: Target = { kind: auditActions[action].target, id: door.target(c) };
    const entry = {
      action,
      actor: c.get('actor') ?? anonymous,
      requestId: c.get('requestId'),
      address: c.get('address'),
    };
    await audit.write({ ...entry, target, outcome: 'begun' });
    await next();
    await audit.write(ended(c, { ...entry, target, outcome: outcomeOf(c.res.status) }));
  };
}

function outcomeOf(status: number): AuditOutcome {
  if (status < 400) return 'done';
  return status < 500 ? 'refused' : 'failed';
}

/** With what the handler noted. */
function ended(c: Ctx, entry: AuditEntry): AuditEntry {
  const { target, reason, detail } = c.get('audited') ?? {};
  return {
    ...entry,
    ...(target === undefined ? {} : { target }),
    ...(reason === undefined ? {} : { reason }),
    detail: { status: c.res.status, ...detail },
  };
}
