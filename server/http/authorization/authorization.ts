import { Hono } from 'hono';
import { parseAuthorizationRequest, verifyRedirect } from '#core/authorization-request.ts';
import type { Client } from '#core/client.ts';
import { decideConsent, decideLogin, judgeLogin } from '#core/login.ts';
import type { Parameters } from '#core/parameters.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { anonymous } from '#server/audit/entry.ts';
import type { Engine } from '#server/engine.ts';
import { type Ctx, type Env, requestHeader, requestQuery } from '#server/http/frame/answer.ts';
import { type Form, formBytesMax, parseForm, readForm } from '#server/http/frame/body.ts';
import { readCookies } from '#server/http/frame/cookies.ts';
import { limitedPage } from '#server/http/frame/limits.ts';
import { trailOf } from '#server/http/frame/trail.ts';
import { newId, randomOctets } from '#server/identifiers.ts';
import { extendSession, resumeSession, type SessionOutcome } from '#server/store/session.ts';
import { subjectFor } from '#server/subject.ts';
import type { Flow, FlowSession, LoginDecision } from '#tokens/flow.ts';
import { redirectTo, refuseToClient, rejectToClient } from './authorization-answer.ts';
import { issueCode } from './code.ts';
import { beginFlowCookies, openFlow, ownsFlow, sealFlow } from './flow.ts';
import { verifyIdTokenHint } from './id-token-hint.ts';
import { forgetSession, rememberSession, sessionIdOf } from './session-cookie.ts';
import type { Asked, Visit } from './visit.ts';

/** A login that is not remembered lives this long, for its online tokens; 30 days. */
const sessionSecondsMax = 30 * 86_400;
const repeatable = new Set(['resource', 'audience']);
/** A longer request is stored by reference, and how many of those one address may send is limited. */
const queryCharsInline = 600;
const queryCharsMax = 16_384;

/** The authorization endpoint: the request, and the browser's two returns with a verifier. */
export function authorizationRoutes(engine: Engine): Hono<Env> {
  const handle = (c: Ctx) => authorize(engine, c);
  return new Hono<Env>().get('/oauth2/auth', handle).post('/oauth2/auth', handle);
}

async function authorize(engine: Engine, c: Ctx): Promise<Response> {
  const slowed = engine.rateLimits?.take('authorize', c.get('address'));
  if (slowed !== undefined) return limitedPage(engine, c, 'authorize', slowed);
  const posted = c.req.method === 'POST';
  const parameters = posted
    ? await readForm(c, formBytesMax, repeatable)
    : parseForm(requestQuery(c), repeatable);
  if (isRefusal(parameters)) return engine.errorPage(c, parameters);
  // After the body, which may take its time.
  await engine.feed.fresh();
  const cookies = readCookies(requestHeader(c, 'cookie'));
  const visit = { engine, ring: engine.keys.current(), cookies, c };
  const loginVerifier = parameters.get('login_verifier');
  if (loginVerifier !== undefined) return afterLogin(visit, loginVerifier);
  const consentVerifier = parameters.get('consent_verifier');
  if (consentVerifier !== undefined) return afterConsent(visit, consentVerifier);
  return begin(visit, posted ? queryText(parameters) : requestQuery(c), parameters);
}

/** 1. The app's request: find out who is signed in, and hand over to the login app. */
async function begin(visit: Visit, query: string, parameters: Parameters): Promise<Response> {
  const { engine, ring, c } = visit;
  if (query.length > queryCharsMax) {
    return engine.errorPage(c, refuse('body_too_large', 'The request is too large.'));
  }
  const slowed =
    query.length > queryCharsInline
      ? engine.rateLimits?.take('reference', c.get('address'))
      : undefined;
  if (slowed !== undefined) return limitedPage(engine, c, 'authorize', slowed);
  const asked = await readAsked(visit, parameters);
  if (asked instanceof Response) return asked;
  const known = await knownSession(visit, asked.client);
  const nowSeconds = Math.floor(engine.feed.nowMs() / 1000);
  const seen = known && { ...known, subject: wireSubject(engine, asked.client, known.subject) };
  const decision = decideLogin(asked.request, seen, asked.hintSubject, nowSeconds);
  if (isRefusal(decision)) return refuseToClient(engine, asked.redirect, decision);
  const flow: Flow = {
    id: newId(),
    csrf: randomOctets(16),
    query,
    requestedAt: nowSeconds,
    expiresAt: nowSeconds + engine.config.flowSeconds,
    session: decision === 'skip' ? known : undefined,
    login: undefined,
    rememberedBorn: undefined,
    consent: undefined,
    rejection: undefined,
    context: undefined,
    forcedSubject: undefined,
  };
  const challenge = await sealFlow(engine, ring, 'login_challenge', flow);
  const location = withParameter(engine.config.loginUrl, 'login_challenge', challenge);
  return redirectTo(location, beginFlowCookies(engine, flow, visit.cookies));
}

/** 2. Back from the login app: the login becomes a session; hand over to the consent app. */
async function afterLogin(visit: Visit, verifier: string): Promise<Response> {
  const { engine, ring } = visit;
  const returned = await readReturn(visit, 'login_verifier', verifier);
  if (returned instanceof Response) return returned;
  const { flow, asked } = returned;
  const { client, redirect, request } = asked;
  const login = flow.login;
  if (login === undefined) return engine.errorPage(visit.c, refuse('flow_invalid'));
  const subject = wireSubject(engine, client, login.session.subject, flow.forcedSubject);
  const unsuited = judgeLogin(request, { ...login.session, subject }, asked.hintSubject);
  if (unsuited !== undefined) return refuseToClient(engine, redirect, unsuited);

  const outcome = await takeLogin(engine, login, client);
  if (outcome.kind === 'dead') return refuseToClient(engine, redirect, refuse('login_required'));
  if (outcome.kind !== 'live') return engine.errorPage(visit.c, refuse('flow_used'));

  const { session, remembered } = outcome;
  const decision = decideConsent(request, client, redirect.uri, remembered);
  if (isRefusal(decision)) return refuseToClient(engine, redirect, decision);
  const next: Flow = {
    ...flow,
    session,
    login: undefined,
    rememberedBorn: decision === 'skip' ? remembered?.grantBorn : undefined,
  };
  const challenge = await sealFlow(engine, ring, 'consent_challenge', next);
  const cookies = sessionCookies(visit, login, session.id);
  return redirectTo(
    withParameter(engine.config.consentUrl, 'consent_challenge', challenge),
    cookies,
  );
}

/** 3. Back from the consent app: the consent becomes a grant, and the client gets its code. */
async function afterConsent(visit: Visit, verifier: string): Promise<Response> {
  const { engine } = visit;
  const returned = await readReturn(visit, 'consent_verifier', verifier);
  if (returned instanceof Response) return returned;
  const { flow, asked } = returned;
  if (flow.session === undefined || flow.consent === undefined) {
    return engine.errorPage(visit.c, refuse('flow_invalid'));
  }
  return issueCode(visit, flow, asked, flow.session, flow.consent);
}

/** A login that is not to be remembered also ends what the browser remembered of somebody else. */
function sessionCookies(visit: Visit, login: LoginDecision, sessionId: string): string[] {
  const { engine, ring, cookies } = visit;
  if (login.remember) return [rememberSession(engine, ring, sessionId, login.rememberSeconds)];
  const known = sessionIdOf(engine, ring, cookies);
  return known === undefined || known === sessionId ? [] : [forgetSession(engine)];
}

/** Opens a verifier, and judges anew whose it is and what was asked: the client may have changed. */
async function readReturn(
  visit: Visit,
  purpose: 'login_verifier' | 'consent_verifier',
  verifier: string,
): Promise<{ readonly flow: Flow; readonly asked: Asked } | Response> {
  const { engine, ring, cookies, c } = visit;
  const flow = await openFlow(engine, ring, purpose, verifier);
  if (isRefusal(flow)) return engine.errorPage(c, flow);
  const parameters = parseForm(flow.query, repeatable);
  if (isRefusal(parameters)) return engine.errorPage(c, parameters);
  if (!ownsFlow(engine, flow, cookies)) {
    const target = { kind: 'client', id: parameters.get('client_id') ?? '' };
    engine.audit.count({ ...trailOf(c, 'flow.stray', anonymous), target });
    return engine.errorPage(c, refuse('flow_csrf'));
  }
  const asked = await readAsked(visit, parameters);
  if (asked instanceof Response) return asked;
  if (flow.rejection !== undefined) return rejectToClient(engine, asked.redirect, flow.rejection);
  return { flow, asked };
}

/** Client, redirect, request, hint; whatever is wrong is answered where it may be answered. */
async function readAsked(visit: Visit, parameters: Parameters): Promise<Asked | Response> {
  const { engine, ring, c } = visit;
  const clientId = parameters.get('client_id');
  const client = clientId === undefined ? undefined : await engine.clients.get(clientId);
  if (client === undefined || client.disabled) {
    return engine.errorPage(c, clientFault(clientId, client));
  }
  const redirect = verifyRedirect(client, parameters);
  if (isRefusal(redirect)) return engine.errorPage(c, redirect);
  const request = parseAuthorizationRequest(client, parameters);
  if (isRefusal(request)) return refuseToClient(engine, redirect, request);
  const hint = verifyIdTokenHint(engine, ring, request.idTokenHint);
  if (isRefusal(hint)) return refuseToClient(engine, redirect, hint);
  return { client, redirect, request, hintSubject: hint?.subject };
}

function clientFault(clientId: string | undefined, client: Client | undefined): Refusal {
  if (clientId === undefined) return refuse('missing_parameter', 'client_id is missing.');
  if (client?.disabled) return refuse('client_disabled');
  return refuse('unknown_client', 'No app is registered by this client_id.');
}

/** The session that the browser's cookie names, while it lives. */
async function knownSession(visit: Visit, client: Client): Promise<FlowSession | undefined> {
  const id = sessionIdOf(visit.engine, visit.ring, visit.cookies);
  if (id === undefined) return undefined;
  const outcome = await resumeSession(visit.engine.database, id, client.clientId);
  return outcome.kind === 'live' && outcome.session.remember ? outcome.session : undefined;
}

/** One statement: a new login is written, a skipped one is read again. */
async function takeLogin(
  engine: Engine,
  login: LoginDecision,
  client: Client,
): Promise<SessionOutcome> {
  const { session } = login;
  if (login.skipped) {
    const outcome = await resumeSession(engine.database, session.id, client.clientId);
    if (outcome.kind === 'live' && login.extend) {
      const seconds = login.rememberSeconds > 0 ? login.rememberSeconds : sessionSecondsMax;
      await extendSession(engine.database, session.id, seconds);
    }
    return outcome;
  }
  return engine.writes.beginSession({
    ...session,
    remember: login.remember,
    idpSessionId: login.idpSessionId ?? null,
    lifetimeSeconds:
      login.remember && login.rememberSeconds > 0 ? login.rememberSeconds : sessionSecondsMax,
    clientId: client.clientId,
  });
}

function wireSubject(engine: Engine, client: Client, subject: string, forced = ''): string {
  return subjectFor(client, subject, forced, engine.pairwiseSalt);
}

/** A posted request as the query it would have been. */
function queryText(form: Form): string {
  const query = new URLSearchParams();
  for (const name of form.names()) for (const value of form.all(name)) query.append(name, value);
  return query.toString();
}

function withParameter(url: string, name: string, value: string): string {
  return `${url}${url.includes('?') ? '&' : '?'}${name}=${value}`;
}
