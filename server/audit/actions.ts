/** What an entry of the audit log is about. */
interface ActionAbout {
  /** What `target` names. */
  readonly target: string;
  /** When there is such an entry. */
  readonly about: string;
}

/**
 * Every action that the audit log knows, the one list: types, docs/audit.md and tests come from it.
 * A name that was released stays: entries with it are kept for years.
 */
export const auditActions = {
  'client.create': { target: 'client', about: 'A client was registered.' },
  'client.replace': { target: 'client', about: "A client's registration was replaced." },
  'client.patch': { target: 'client', about: "Parts of a client's registration were changed." },
  'client.set_lifespans': { target: 'client', about: 'Lifetimes of a client were set.' },
  'client.rotate_secret': { target: 'client', about: 'A client got another secret.' },
  'client.end_old_secrets': {
    target: 'client',
    about: "A client's secrets ended, all but the newest.",
  },
  'client.delete': { target: 'client', about: 'A client was deleted, with all it was issued.' },
  'key.create': { target: 'key_set', about: 'A key was made by an administrator.' },
  'key_set.rotate': {
    target: 'key_set',
    about: 'An administrator gave the keys of a set their successors at once.',
  },
  'key.import': { target: 'key', about: 'A key was imported.' },
  'key_set.import': { target: 'key_set', about: 'A whole set of keys was imported.' },
  'key.delete': { target: 'key', about: 'A key was deleted by an administrator.' },
  'key_set.delete': { target: 'key_set', about: 'A whole set of keys was deleted.' },
  'key.rotate': { target: 'key', about: 'The schedule made the successor of a key.' },
  'key.first': { target: 'key', about: 'A key was made where there was none: the first start.' },
  'key.expire': { target: 'key', about: 'The schedule deleted a key that nothing needs any more.' },
  'pairwise_salt.forget': {
    target: 'deployment',
    about: 'On the command line the next start was allowed another pairwise salt.',
  },
  'database.recover': {
    target: 'deployment',
    about: 'A database that was restored to an earlier moment was recovered on the command line.',
  },
  'schema.up': {
    target: 'deployment',
    about: 'Migrations were applied on the command line, or by `npm start`.',
  },
  'schema.down': {
    target: 'deployment',
    about: 'Migrations were taken back on the command line.',
  },
  'credential.create': { target: 'credential', about: 'An admin credential was made.' },
  'credential.delete': { target: 'credential', about: 'An admin credential was deleted.' },
  'revocation.create': {
    target: 'what was revoked',
    about: 'An administrator revoked a subject, client, grant, session, chain or token.',
  },
  'grant.narrow': {
    target: 'grant',
    about: 'An administrator took scopes or audiences from a grant.',
  },
  'consent.revoke': { target: 'subject', about: 'An administrator revoked consents.' },
  'session.end': { target: 'subject', about: 'An administrator signed somebody out.' },
  'session.sign_out': { target: 'session', about: 'Somebody signed out by way of an app.' },
  'client.revoke_tokens': { target: 'client', about: 'All tokens of a client were revoked.' },
  'token.revoke': { target: 'what was revoked', about: 'An app revoked a token of its own.' },
  'user.create': {
    target: 'subject',
    about: 'A user was made on the command line, or the demo user by `npm start`.',
  },
  'user.sign_up': { target: 'subject', about: 'Somebody made an account at the built-in pages.' },
  'user.sign_up_slowed': {
    target: 'sign-up page',
    about: 'Too many accounts were asked for there, from one network.',
  },
  'user.set_password': { target: 'subject', about: "A user's password was set there." },
  'user.disable': { target: 'subject', about: 'A user was kept from signing in.' },
  'user.enable': { target: 'subject', about: 'A user was let in again.' },
  'refresh.reuse': {
    target: 'chain',
    about: 'A spent refresh token came back after its grace; its family was revoked.',
  },
  'refresh.stray': {
    target: 'chain',
    about: 'A refresh token came from another app than it was issued to.',
  },
  'refresh.ahead': {
    target: 'chain',
    about: 'A refresh token is newer than its row: the database lost writes.',
  },
  'code.replay': { target: 'chain', about: 'A code was redeemed twice; what it issued died.' },
  'code.stray': {
    target: 'chain',
    about:
      'A code came from another app than it was made for, or with a wrong redirect_uri or ' +
      'code_verifier: it may have been stolen.',
  },
  'token.forged': {
    target: 'client',
    about: 'A client presented what looks like a refresh token of ours, with a wrong MAC.',
  },
  'client.guess': { target: 'client', about: 'A client secret was wrong.' },
  'client.guess_slowed': { target: 'client', about: 'Too many were wrong: this address waits.' },
  'password.guess': {
    target: 'subject',
    about: 'A password was wrong, or the user is disabled; no target: nobody has this login.',
  },
  'password.guess_slowed': { target: 'login page', about: 'Too many passwords were wrong.' },
  'flow.stray': {
    target: 'client',
    about: 'A browser came back with a sign-in that another had begun (login CSRF).',
  },
  'request.slowed': {
    target: 'endpoint',
    about: 'Too many requests of one address, or of a client from there: 429.',
  },
  'admin.deny': { target: 'admin door', about: 'An admin door was refused to somebody.' },
  'setting.insecure': { target: 'node', about: 'A node started with settings that are unsafe.' },
} as const satisfies Readonly<Record<string, ActionAbout>>;

export type AuditAction = keyof typeof auditActions;

/** Every name, in the order of the list. */
export const auditActionNames: readonly AuditAction[] = Object.keys(auditActions).filter(isAction);

/** True for a name of the list. */
function isAction(name: string): name is AuditAction {
  return Object.hasOwn(auditActions, name);
}
