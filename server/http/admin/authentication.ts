import { timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { type Refusal, refusals, refuse } from '#core/refusal.ts';
import { auditActions } from '#server/audit/actions.ts';
import { type Actor, anonymous } from '#server/audit/entry.ts';
import { type Env, refusalAnswer, type Socketed } from '#server/http/frame/answer.ts';

import type { Node } from '#server/node.ts';
import { type AdminRole, findCredential } from '#server/store/credential.ts';
import type { Mortal } from '#server/store/feed.ts';
import { adminSecretHash } from '#tokens/secret.ts';

/** Admin credentials kept in memory; the one kept longest makes room. */
const credentialsCachedMax = 1000;
/** After this long a credential is read again; facts about its deletion are kept an hour. */
const credentialMsMax = 5 * 60_000;
const credentialCharsMax = 512;

/** Decides who may use an admin door; one per admin app. */
export interface AdminGate {
  /**
   * Lets the request pass, noting who asks, or says why not in Hydra's shape: 401 without a
   * credential, 403 by role. Role `all` opens every door.
   */
  guard(...roles: readonly AdminRole[]): MiddlewareHandler<Env>;
}

/** Who asks, as far as they have proven it, and why they may not; without refusal they may. */
interface Verdict {
  readonly actor: Actor;
  readonly refusal?: Refusal;
}

/** Where a request may carry an admin credential. */
interface AdminCaller {
  readonly authorization: string | null | undefined;
  /** The absolute URL as it was sent; looked at only without an Authorization header. */
  readonly url: string;
}

interface Known {
  readonly role: AdminRole;
  readonly actor: Actor;
}

interface Remembered extends Known {
  readonly mortal: Mortal;
  readonly untilMs: number;
}

/**
 * Makes the gate. The bootstrap token of the configuration opens all; further credentials come from
 * table `admin_credential` by their hash. A credential that was seen is remembered like a token of
 * the client `credential:<id>`: its deletion is the death of that client, so it stops on every node
 * as soon as the deletion is answered, and costs no statement per request.
 */
export function createAdminGate(node: Node): AdminGate {
  const { adminToken, insecureAdminNoAuth } = node.config;
  const bootstrap = adminToken === undefined ? undefined : adminSecretHash(adminToken);
  const remembered = new Map<string, Remembered>();

  async function knownBy(hash: Buffer): Promise<Known | undefined> {
    const key = hash.toString('base64');
    await node.feed.fresh();
    const known = remembered.get(key);
    if (known !== undefined && performance.now() < known.untilMs) {
      if (!(await node.feed.isDead(known.mortal))) return known;
    }
    remembered.delete(key);
    // Taken before the row is read: whatever deletes the row later has a higher number.
    const born = await node.feed.born();
    const credential = await findCredential(node.database, hash);
    if (credential === undefined) return undefined;
    if (remembered.size >= credentialsCachedMax) {
      const oldest = remembered.keys().next();
      if (!oldest.done) remembered.delete(oldest.value);
    }
    const untilMs = performance.now() + credentialMsMax;
    const { id, name, role } = credential;
    const actor: Actor = { kind: 'credential', id, name, role };
    const found = { role, actor, mortal: mortalOf(id, born), untilMs };
    remembered.set(key, found);
    return found;
  }

  async function authorizeStored(
    hash: Buffer,
    fromPath: boolean,
    roles: readonly AdminRole[],
  ): Promise<Verdict> {
    const known = await knownBy(hash);
    if (known === undefined) return stranger;
    const { role, actor } = known;
    if (fromPath && role !== 'handshake') return { actor, refusal: notByPath };
    if (role === 'all' || roles.includes(role)) return { actor };
    const hint = `The role ${role} does not open this door: ${needed(roles)}.`;
    return { actor, refusal: refuse('admin_forbidden', hint) };
  }

  function authorize(caller: AdminCaller, roles: readonly AdminRole[]): Verdict | Promise<Verdict> {
    if (insecureAdminNoAuth) return { actor: anonymous };
    const fromHeader = headerCredential(caller.authorization ?? null);
    const credential = fromHeader ?? pathCredential(caller.url);
    if (credential === undefined || credential.length > credentialCharsMax) return stranger;
    const hash = adminSecretHash(credential);
    if (bootstrap !== undefined && timingSafeEqual(hash, bootstrap)) {
      // An URL ends up in logs and histories, so the token that opens all is not taken from one.
      const actor = bootstrapActor;
      return fromHeader === undefined ? { actor, refusal: notByPath } : { actor };
    }
    if (!credential.startsWith('gh_ad_')) return stranger;
    return authorizeStored(hash, fromHeader === undefined, roles);
  }

  return {
    guard: (...roles) => {
      return async (c, next) => {
        // Node's own headers: to ask the Request would first build them all.
        const { incoming }: Socketed = c.env ?? {};
        const authorization = incoming
          ? incoming.headers.authorization
          : c.req.header('authorization');
        const url = authorization === undefined ? c.req.url : '';
        const verdict = authorize({ authorization, url }, roles);
        const { actor, refusal } = verdict instanceof Promise ? await verdict : verdict;
        if (refusal === undefined) {
          c.set('actor', actor);
          return next();
        }
        node.metrics.event('admin_denied');
        node.audit.count({
          action: 'admin.deny',
          actor,
          target: { kind: auditActions['admin.deny'].target, id: c.get('route') },
          reason: refusal.refused,
          requestId: c.get('requestId'),
          address: c.get('address'),
        });
        return adminRefusalAnswer(refusal);
      };
    },
  };
}

/** A refusal in Hydra's shape; 401 carries the challenges of both ways to send a credential. */
export function adminRefusalAnswer(refusal: Refusal): Response {
  const headers = {
    'www-authenticate': 'Bearer realm="gatehouse admin", Basic realm="gatehouse admin"',
  };
  return refusals[refusal.refused].status === 401
    ? refusalAnswer(refusal, { admin: true, headers })
    : refusalAnswer(refusal, { admin: true });
}

/**
 * The path to route by, for Hono's `getPath`: an SDK that can send no header may have
 * `/c/<credential>` as its base path, which is cut off here so that routes, metrics and logs never
 * see it.
 */
export function adminPath(request: Request): string {
  const path = pathOf(request.url);
  if (!path.startsWith('/c/')) return path;
  const end = path.indexOf('/', 3);
  return end === -1 ? '/c' : path.slice(end);
}

const bootstrapActor: Actor = { kind: 'admin_token', id: '' };
const stranger: Verdict = { actor: anonymous, refusal: refuse('admin_unauthorized') };
const notByPath = refuse(
  'admin_forbidden',
  'Only a credential with the role handshake may stand in the path.',
);

function needed(roles: readonly AdminRole[]): string {
  return `it needs ${[...roles, 'all'].join(' or ')}`;
}

function pathCredential(url: string): string | undefined {
  const path = pathOf(url);
  if (!path.startsWith('/c/')) return undefined;
  const end = path.indexOf('/', 3);
  return end > 3 ? path.slice(3, end) : undefined;
}

/** The path of an absolute URL, without query, as it was sent. */
function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('://') + 3);
  if (start === -1) return '/';
  const end = url.slice(start).search(/[?#]/);
  return end === -1 ? url.slice(start) : url.slice(start, start + end);
}

function headerCredential(authorization: string | null): string | undefined {
  if (authorization === null) return undefined;
  if (/^bearer /i.test(authorization)) return authorization.slice(7).trim();
  if (!/^basic /i.test(authorization)) return '';
  // Any user name: the password is the credential.
  const text = Buffer.from(authorization.slice(6).trim(), 'base64').toString();
  const colon = text.indexOf(':');
  return colon === -1 ? '' : text.slice(colon + 1);
}

function mortalOf(credentialId: string, born: number): Mortal {
  return {
    tokenId: '',
    chainId: '',
    grantId: '',
    grantVersion: 0,
    sessionId: '',
    online: false,
    subject: '',
    clientId: `credential:${credentialId}`,
    loginBorn: born,
    grantBorn: born,
  };
}
