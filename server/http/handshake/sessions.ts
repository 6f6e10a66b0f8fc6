import { Hono, type MiddlewareHandler } from 'hono';
import { clientIdCharsMax } from '#core/client-field.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { type Ctx, type Env, json, noStore, refusalAnswer } from '#server/http/frame/answer.ts';
import { type ListedGrant, listGrants } from '#server/store/consent-listing.ts';
import {
  grantIdsOf,
  grantIdsOfConsent,
  type NewRevocation,
  sessionIdsOf,
} from '#server/store/revocation.ts';
import { pageLinks, pageOf } from '../admin/page.ts';
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
  const ids = await grantsToRevoke(engine, { subject, client, consentRequestId, all });
  if (isRefusal(ids)) return refused(ids);
  c.set('audited', {
    reason: all
      ? 'all'
      : client === ''
        ? `consent request ${consentRequestId}`
        : `client ${client}`,
    detail: { grants: ids.length, ids: ids.slice(0, idsShownMax) },
  });
  return revoked(
    engine,
    ids.map((id) => fact('grant', id, 'consent_revoked')),
  );
}

/** Hydra's combinations: a consent request alone, or a subject with a client or with `all`. */
async function grantsToRevoke(
  engine: Engine,
  asked: { subject: string; client: string; consentRequestId: string; all: boolean },
): Promise<readonly string[] | Refusal> {
  const { subject, client, consentRequestId, all } = asked;
  if (consentRequestId !== '') {
    if (subject !== '' || client !== '') {
      const hint = 'consent_request_id cannot be combined with subject or client.';
      return refuse('malformed_request', hint);
    }
    if (!uuid.test(consentRequestId)) return [];
    return grantIdsOfConsent(engine.database, consentRequestId);
  }
  if (subject === '') return refuse('missing_parameter', 'subject is missing.');
  if (client !== '') return grantIdsOf(engine.database, subject, client, null);
  if (all) return grantIdsOf(engine.database, subject, null, null);
  return refuse('missing_parameter', 'Either client must be set or all must be true.');
}

/** Signing out: online tokens end, `offline_access` chains live on (design, hot path 7). */
async function signOut(engine: Engine, c: Ctx): Promise<Response> {
  const subject = c.req.query('subject') ?? '';
  const sid = c.req.query('sid') ?? '';
  if (sid !== '') {
    c.set('audited', { target: { kind: 'session', id: sid } });
    if (!uuid.test(sid)) return revoked(engine, []);
    return revoked(engine, [fact('sign_out', sid.toLowerCase(), 'signed_out_by_admin')]);
  }
  if (subject === '') return refused(refuse('missing_parameter', 'subject or sid is missing.'));
  const ids = await sessionIdsOf(engine.database, subject);
  c.set('audited', { detail: { sessions: ids.length, ids: ids.slice(0, idsShownMax) } });
  return revoked(
    engine,
    ids.map((id) => fact('sign_out', id, 'signed_out_by_admin')),
  );
}

/** A client's tokens die with one fact; consents to it are asked for anew (docs/divergences.md). */
async function revokeClientTokens(engine: Engine, c: Ctx): Promise<Response> {
  const clientId = c.req.query('client_id') ?? '';
  if (clientId === '') return refused(refuse('missing_parameter', 'client_id is missing.'));
  if (clientId.length > clientIdCharsMax) return revoked(engine, []);
  return revoked(engine, [fact('client', clientId, 'tokens_deleted_by_admin')]);
}

function fact(kind: NewRevocation['kind'], target: string, reason: string): NewRevocation {
  return { kind, target, reason, expiresAt: null };
}

/** 204 once no node can accept what died. */
async function revoked(engine: Engine, revocations: readonly NewRevocation[]): Promise<Response> {
  await Promise.all(revocations.map((revocation) => engine.writes.revoke(revocation)));
  await engine.feed.acknowledged();
  return new Response(null, { status: 204, headers: noStore });
}

function refused(refusal: Refusal): Response {
  return refusalAnswer(refusal, { admin: true });
}
