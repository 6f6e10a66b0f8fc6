import { Hono } from 'hono';
import type { Client } from '#core/client.ts';
import type { Parameters } from '#core/parameters.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { type Ctx, type Env, requestHeader, requestQuery } from '#server/http/frame/answer.ts';
import { formBytesMax, parseForm, readForm } from '#server/http/frame/body.ts';
import { readCookies } from '#server/http/frame/cookies.ts';
import { limitedPage } from '#server/http/frame/limits.ts';
import { trailOf } from '#server/http/frame/trail.ts';
import { newId } from '#server/identifiers.ts';
import { isTombstone } from '#server/store/flow-reference.ts';
import { resumeSession, type Session } from '#server/store/session.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { decodeLogout, encodeLogout, type LogoutFlow } from '#tokens/logout.ts';
import { redirectTo } from './authorization-answer.ts';
import { type IdTokenHint, verifyIdTokenHint } from './id-token-hint.ts';
import { openFromUrl, sealForUrl, urlPlainBytesMax, urlSealedCharsMax } from './sealed.ts';
import { forgetSession, sessionIdOf } from './session-cookie.ts';

/** Most characters of the address to come back to, with its `state`. */
const returnCharsMax = 16_384;

type LogoutPurpose = 'logout_challenge' | 'logout_verifier';

/** RP-initiated logout (OIDC RP-Initiated Logout 1.0 §2): GET and POST, also without cookies. */
export function logoutRoutes(engine: Engine): Hono<Env> {
  const path = '/oauth2/sessions/logout';
  return new Hono<Env>()
    .get(path, (c) => logout(engine, c, parseForm(requestQuery(c))))
    .post(path, async (c) => logout(engine, c, await readForm(c, formBytesMax)));
}

async function logout(engine: Engine, c: Ctx, form: Parameters | Refusal): Promise<Response> {
  const slowed = engine.rateLimits?.take('logout', c.get('address'));
  if (slowed !== undefined) return limitedPage(engine, c, 'logout', slowed);
  await engine.feed.fresh();
  if (isRefusal(form)) return engine.errorPage(c, form);
  const ring = engine.keys.current();
  const cookies = readCookies(requestHeader(c, 'cookie'));
  const cookieSession = sessionIdOf(engine, ring, cookies);
  const verifier = form.get('logout_verifier');
  const answer =
    verifier === undefined
      ? await begin(engine, c, ring, form, cookieSession)
      : await finish(engine, c, ring, verifier, cookieSession);
  return isRefusal(answer) ? engine.errorPage(c, answer) : answer;
}

/** Who is to be signed out, and where to go afterwards; then the logout app asks the person. */
async function begin(
  engine: Engine,
  c: Ctx,
  ring: Keyring,
  form: Parameters,
  cookieSession: string | undefined,
): Promise<Response | Refusal> {
  const hint = verifyIdTokenHint(engine, ring, form.get('id_token_hint'));
  if (isRefusal(hint)) return hint;
  const client = await clientOf(engine, form, hint);
  if (isRefusal(client)) return client;
  const returnTo = returnAddress(form, client);
  if (isRefusal(returnTo)) return returnTo;

  // The person is asked about the login that the browser remembers. The app may mean another one, of
  // before or of somebody else: it ends with it.
  const hinted = await liveSession(engine, hint?.sessionId, client);
  const kept =
    cookieSession === hint?.sessionId ? hinted : await liveSession(engine, cookieSession, client);
  const session = kept ?? hinted;
  if (session === undefined) {
    const cookies = cookieSession === undefined ? [] : [forgetSession(engine)];
    return redirectTo(returnTo || engine.config.postLogoutUrl, cookies);
  }
  const nowSeconds = Math.floor(engine.feed.nowMs() / 1000);
  const flow: LogoutFlow = {
    id: newId(),
    requestedAt: nowSeconds,
    expiresAt: nowSeconds + engine.config.flowSeconds,
    query: requestQuery(c),
    subject: session.subject,
    sessionId: session.id,
    hintedSessionId: hinted === undefined || hinted.id === session.id ? '' : hinted.id,
    clientId: client?.clientId ?? '',
    rpInitiated: hint !== undefined,
    returnTo,
  };
  // An app that holds the ID token of this very login need not ask again: without a browser there
  // is nobody to ask, and a client may be registered to skip the question. But anybody may send a
  // browser here with an ID token of his own: its other login goes on unless the person says so.
  const isOne = flow.hintedSessionId === '';
  const skips = cookieSession === undefined || (client?.skipLogoutConsent && isOne);
  if (hinted !== undefined && skips) {
    return signOut(engine, c, flow, cookieSession !== undefined);
  }
  const slowed =
    encodeLogout(flow).length > urlPlainBytesMax
      ? engine.rateLimits?.take('reference', c.get('address'))
      : undefined;
  if (slowed !== undefined) return limitedPage(engine, c, 'logout', slowed);
  const challenge = await sealLogout(engine, ring, 'logout_challenge', flow);
  const { logoutUrl } = engine.config;
  const separator = logoutUrl.includes('?') ? '&' : '?';
  return redirectTo(`${logoutUrl}${separator}logout_challenge=${challenge}`);
}

/** The login with this id while it lives. */
async function liveSession(
  engine: Engine,
  sessionId: string | undefined,
  client: Client | undefined,
): Promise<Session | undefined> {
  if (sessionId === undefined) return undefined;
  const outcome = await resumeSession(engine.database, sessionId, client?.clientId ?? '');
  return outcome.kind === 'live' ? outcome.session : undefined;
}

/** Back from the logout app. */
async function finish(
  engine: Engine,
  c: Ctx,
  ring: Keyring,
  verifier: string,
  cookieSession: string | undefined,
): Promise<Response | Refusal> {
  const flow = await openLogout(engine, ring, 'logout_verifier', verifier);
  if (isRefusal(flow)) return flow;
  // Rejected after it was accepted: the later word counts.
  if (await isTombstone(engine.database, flow.id)) {
    return refuse('flow_invalid', 'This logout request was rejected.');
  }
  return signOut(engine, c, flow, cookieSession === flow.sessionId);
}

async function signOut(
  engine: Engine,
  c: Ctx,
  flow: LogoutFlow,
  forget: boolean,
): Promise<Response> {
  const trail = trailOf(c, 'session.sign_out', { kind: 'subject', id: flow.subject });
  const revoke = (target: string) =>
    engine.writes.revoke({
      kind: 'sign_out',
      target,
      reason: 'signed_out',
      expiresAt: null,
      trail,
    });
  const ids = [flow.sessionId, flow.hintedSessionId].filter((id) => id !== '');
  await Promise.all(ids.map(revoke));
  await engine.feed.acknowledged();
  const cookies = forget ? [forgetSession(engine)] : [];
  return redirectTo(flow.returnTo || engine.config.postLogoutUrl, cookies);
}

/** The client of the hint, or the one named; both must agree (§2). */
async function clientOf(
  engine: Engine,
  form: Parameters,
  hint: IdTokenHint | undefined,
): Promise<Client | undefined | Refusal> {
  const named = form.get('client_id');
  if (named !== undefined && hint !== undefined && named !== hint.clientId) {
    return refuse('hint_invalid', 'client_id is not the one that the id_token_hint was issued to.');
  }
  const clientId = hint?.clientId ?? named;
  if (clientId === undefined) return undefined;
  return (await engine.clients.get(clientId)) ?? refuse('unknown_client', 'The app is unknown.');
}

/** Where to go at the end, with `state`; byte for byte as registered (§3.1). '' where nothing is asked. */
function returnAddress(form: Parameters, client: Client | undefined): string | Refusal {
  const uri = form.get('post_logout_redirect_uri');
  if (uri === undefined) return '';
  if (client === undefined) {
    const hint = 'post_logout_redirect_uri needs an id_token_hint or a client_id.';
    return refuse('post_logout_mismatch', hint);
  }
  if (!client.postLogoutRedirectUris.includes(uri)) return refuse('post_logout_mismatch');
  const state = form.get('state');
  if (state === undefined) return uri;
  const address = `${uri}${uri.includes('?') ? '&' : '?'}state=${encodeURIComponent(state)}`;
  if (address.length <= returnCharsMax) return address;
  return refuse('body_too_large', 'The state is too long.');
}

/** Seals a logout for its next hop. */
export function sealLogout(
  engine: Engine,
  ring: Keyring,
  purpose: LogoutPurpose,
  flow: LogoutFlow,
): Promise<string> {
  return sealForUrl(engine, ring, purpose, encodeLogout(flow), {
    charsMax: urlSealedCharsMax,
    lifetimeSeconds: engine.config.flowSeconds,
  });
}

/** The logout of a hop, if it was sealed here for it and has not expired. */
export async function openLogout(
  engine: Engine,
  ring: Keyring,
  purpose: LogoutPurpose,
  text: string,
): Promise<LogoutFlow | Refusal> {
  const bytes = await openFromUrl(engine, ring, purpose, text);
  const flow = bytes === undefined ? undefined : decodeLogout(bytes);
  if (flow === undefined || flow.expiresAt * 1000 <= engine.feed.nowMs()) {
    return refuse(purpose === 'logout_challenge' ? 'challenge_unknown' : 'flow_invalid');
  }
  return flow;
}
