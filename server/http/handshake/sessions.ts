import { Hono, type MiddlewareHandler } from 'hono';
import { clientIdCharsMax } from '#core/client-field.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { type Ctx, type Env, json, noStore, refusalAnswer } from '#server/http/frame/answer.ts';
import { type ListedGrant, listGrants } from '#server/store/consent-listing.ts';
import {
  grantIdsOf,
  grantIdsOfConsent,
  idsPerRead,
  type NewRevocation,
  sessionIdsOf,
} from '#server/store/revocation.ts';
import {
  endFlow,
  endLoginsUnderWay,
  forestall,
  withdrawConsent,
  withdrawConsentsUnderWay,
} from '#server/store/withdrawal.ts';
import { pageLinks, pageOf } from '../admin/page.ts';
import { subjectCharsMax } from './login.ts';
import { requestUrl } from './request-view.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Ids that an entry of the audit log names at most. */
const idsShownMax = 50;

/** Hydra's doors on what was consented to and who is signed in. Deletions hold when they answer. */
export function sessionRoutes(engine: Engine): Hono<Env> {
  const base = '/admin/oauth2/auth/sessions';
  return new Hono<Env>()
    .use(`${base}/*`, storableOnly)
    .use('/admin/oauth2/tokens', storableOnly)
    .get(`${base}/consent`, (c) => listConsents(engine, c))
    .delete(`${base}/consent`, (c) => revokeConsents(engine, c))
    .delete(`${base}/login`, (c) => signOut(engine, c))
    .delete('/admin/oauth2/tokens', (c) => revokeClientTokens(engine, c));
}

/** PostgreSQL cannot hold U+0000, which a URL can only have as `%00`. */
const storableOnly: MiddlewareHandler<Env> = async (c, next) => {
  if (!c.req.url.includes('%00')) return next();
  return refused(refuse('malformed_request', 'A parameter holds U+0000.'));
};

async function listConsents(engine: Engine, c: Ctx): Promise<Response> {
  const subject = c.req.query('subject') ?? '';
  if (subject === '') return refused(refuse('missing_parameter', 'subject is missing.'));
  const page = pageOf(c);
  if (isRefusal(page)) return refused(page);
  const sessionId = c.req.query('login_session_id') || null;
  if (sessionId !== null && !uuid.test(sessionId)) return json(200, []);
  const grants = await listGrants(engine.database, subject, {
    afterClientId: page.after,
    sessionId,
    limit: page.size + 1,
  });
  const shown = grants.slice(0, page.size);
  const more = grants.length > page.size ? shown.at(-1)?.clientId : undefined;
  const views = await Promise.all(shown.map((grant) => consentView(engine, subject, grant)));
  return json(200, views, { ...noStore, link: pageLinks(c, page, more) });
}

/** Hydra's `oAuth2ConsentSession`: one entry per grant, as its last consent left it. */
async function consentView(engine: Engine, subject: string, grant: ListedGrant): Promise<object> {
  const client = await engine.clients.get(grant.clientId);
  const detail: ReadonlyMap<string, unknown> = new Map(Object.entries(grant.detail));
  const idToken = jsonOf(detail.get('id_token'));
  const accessToken = jsonOf(detail.get('access_token'));
  const context = jsonOf(detail.get('context'));
  return {
    consent_request_id: grant.lastFlowId,
    consent_request: {
      challenge: '',
      consent_request_id: grant.lastFlowId,
      requested_scope: detail.get('scope') ?? [],
      requested_access_token_audience: detail.get('audience') ?? [],
      skip: false,
      subject,
      oidc_context: {},
      client: client?.metadata ?? { client_id: grant.clientId },
      request_url: requestUrl(engine, String(detail.get('query') ?? '')),
      login_session_id: grant.sessionId,
      acr: detail.get('acr') ?? '',
      amr: detail.get('amr') ?? [],
    },
    grant_scope: grant.scope,
    grant_access_token_audience: grant.audience,
    remember: grant.remember,
    remember_for: grant.rememberSeconds,
    handled_at: grant.handledAt.toISOString(),
    session: { id_token: idToken ?? {}, access_token: accessToken ?? {} },
    ...(context === undefined ? {} : { context }),
    // Gatehouse's own: what POST /admin/revocations takes as `grant`.
    grant_id: grant.id,
  };
}

function jsonOf(text: unknown): unknown {
  return typeof text === 'string' ? JSON.parse(text) : undefined;
}

async function revokeConsents(engine: Engine, c: Ctx): Promise<Response> {
  const subject = c.req.query('subject') ?? '';
  const client = c.req.query('client') ?? '';
  const consentRequestId = c.req.query('consent_request_id') ?? '';
  const all = c.req.query('all') === 'true';
  const asked = { subject, client, consentRequestId, all };
  const fault = faultOf(asked);
  if (fault !== undefined) return refused(fault);
  const ids = await withdraw(engine, asked);
  const named = consentRequestId !== '';
  c.set('audited', {
    ...(named ? { target: { kind: 'consent request', id: consentRequestId } } : {}),
    // A client that is named is meant alone, as in Hydra, also beside `all`.
    reason: named
      ? `consent request ${consentRequestId}`
      : client === ''
        ? 'all'
        : `client ${client}`,
    detail: { grants: ids.length, ids: ids.slice(0, idsShownMax) },
  });
  return done(engine);
}

interface Withdrawn {
  readonly subject: string;
  readonly client: string;
  readonly consentRequestId: string;
  readonly all: boolean;
}

/** Hydra's combinations: a consent request alone, or a subject with a client or with `all`. */
function faultOf({ subject, client, consentRequestId, all }: Withdrawn): Refusal | undefined {
  if (consentRequestId !== '') {
    const hint = 'consent_request_id cannot be combined with subject or client.';
    return subject === '' && client === '' ? undefined : refuse('malformed_request', hint);
  }
  if (subject === '') return refuse('missing_parameter', 'subject is missing.');
  if (client !== '' || all) return undefined;
  return refuse('missing_parameter', 'Either client must be set or all must be true.');
}

/**
 * Kills what was given, and what was accepted and is on its way back. That first, since it may have
 * arrived by the time the grants are looked for. Gives the ids of the grants that lived.
 */
async function withdraw(engine: Engine, asked: Withdrawn): Promise<readonly string[]> {
  const { database } = engine;
  const { subject, client } = asked;
  const reason = 'consent_revoked';
  if (asked.consentRequestId !== '') {
    if (!uuid.test(asked.consentRequestId)) return [];
    const flowId = asked.consentRequestId.toLowerCase();
    await endFlow(database, flowId);
    const ids = await grantIdsOfConsent(database, flowId);
    await kill(engine, 'grant', ids, reason);
    await kill(engine, 'chain', [flowId], reason);
    return ids;
  }
  if (client !== '') {
    const ids = await grantIdsOf(database, subject, client, null);
    await withdrawConsent(database, subject, client, reason);
    return ids;
  }
  if (subject.length > subjectCharsMax) return [];
  await withdrawConsentsUnderWay(database, subject, reason);
  const read = () => grantIdsOf(database, subject, null, null);
  return killEach(engine, 'grant', read, reason);
}

/** Signing out: online tokens end, `offline_access` chains live on (hot path 7). */
async function signOut(engine: Engine, c: Ctx): Promise<Response> {
  const { database } = engine;
  const subject = c.req.query('subject') ?? '';
  const sid = c.req.query('sid') ?? '';
  const reason = 'signed_out_by_admin';
  if (sid !== '') {
    c.set('audited', { target: { kind: 'session', id: sid } });
    if (!uuid.test(sid)) return done(engine);
    const id = sid.toLowerCase();
    await forestall(database, 'session', id);
    await kill(engine, 'sign_out', [id], reason);
    return done(engine);
  }
  if (subject === '') return refused(refuse('missing_parameter', 'subject or sid is missing.'));
  if (subject.length > subjectCharsMax) return done(engine);
  await endLoginsUnderWay(database, subject, reason);
  const ids = await killEach(engine, 'sign_out', () => sessionIdsOf(database, subject), reason);
  c.set('audited', { detail: { sessions: ids.length, ids: ids.slice(0, idsShownMax) } });
  return done(engine);
}

/** A client's tokens die with one fact; consents to it are asked for anew (docs/divergences.md). */
async function revokeClientTokens(engine: Engine, c: Ctx): Promise<Response> {
  const clientId = c.req.query('client_id') ?? '';
  if (clientId === '') return refused(refuse('missing_parameter', 'client_id is missing.'));
  if (clientId.length <= clientIdCharsMax) {
    await kill(engine, 'client', [clientId], 'tokens_deleted_by_admin');
  }
  return done(engine);
}

async function kill(
  engine: Engine,
  kind: NewRevocation['kind'],
  targets: readonly string[],
  reason: string,
): Promise<void> {
  const revoke = (target: string) =>
    engine.writes.revoke({ kind, target, reason, expiresAt: null });
  await Promise.all(targets.map(revoke));
}

/** Kills what `read` finds until it finds no more, however much it is. */
async function killEach(
  engine: Engine,
  kind: NewRevocation['kind'],
  read: () => Promise<readonly string[]>,
  reason: string,
): Promise<readonly string[]> {
  const killed: string[] = [];
  for (let more = true; more; ) {
    const ids = await read();
    await kill(engine, kind, ids, reason);
    killed.push(...ids);
    more = ids.length === idsPerRead;
  }
  return killed;
}

/** 204 once no node can accept what died. */
async function done(engine: Engine): Promise<Response> {
  await engine.feed.acknowledged();
  return new Response(null, { status: 204, headers: noStore });
}

function refused(refusal: Refusal): Response {
  return refusalAnswer(refusal, { admin: true });
}
