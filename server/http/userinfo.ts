import { Hono } from 'hono';
import { isRefusal, type Refusal, refusals, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { readClaimsOf } from '#server/store/chain.ts';
import { type AccessToken, openAccessToken } from '#tokens/access-token.ts';
import { signJws } from '#tokens/jws.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { type Ctx, type Env, json, noStore, refusalAnswer, requestHeader } from './frame/answer.ts';
import { formBytesMax, isFormType, readForm } from './frame/body.ts';
import { permitOrigin } from './frame/cors.ts';
import { limited } from './frame/limits.ts';
import { readChainClaims } from './token/chain-claims.ts';
import { checkAccessToken, readJwtAccessToken } from './token-check.ts';

/** The userinfo endpoint (OIDC Core §5.3), by GET and POST. */
export function userinfoRoutes(engine: Engine): Hono<Env> {
  const handle = (c: Ctx) => userinfo(engine, c);
  return new Hono<Env>().get('/userinfo', handle).post('/userinfo', handle);
}

async function userinfo(engine: Engine, c: Ctx): Promise<Response> {
  permitOrigin(c, engine.config);
  const slowed = limited(engine, c, 'userinfo', undefined);
  if (slowed !== undefined) return slowed;
  const text = await presentedToken(c);
  if (isRefusal(text)) return challenge(text);
  await engine.feed.fresh();
  const ring = engine.keys.current();
  const token = await checkAccessToken(engine, ring, text);
  if (token === undefined) {
    await permitOwner(engine, c, ring, text);
    return challenge(refuse('token_inactive'));
  }
  const client = await engine.clients.get(token.clientId);
  permitOrigin(c, engine.config, client);
  // Client credentials have no person, and without `openid` nobody agreed to say who it is.
  if (token.chainId === '') return challenge(refuse('token_inactive'));
  if (!token.scope.includes('openid')) return challenge(refuse('scope_insufficient'), 'openid');

  const claims = await claimsFor(engine, token);
  if (client?.userinfoAlg === undefined) return json(200, claims);
  const key = ring.signingKey('id_token', client.userinfoAlg);
  if (key === undefined) throw new Error(`no active ${client.userinfoAlg} key signs userinfo`);
  const signed = { ...claims, iss: engine.config.issuer, aud: [client.clientId] };
  const jwt = await signJws(key, { typ: 'userinfo+jwt' }, signed);
  return new Response(jwt, { headers: { 'content-type': 'application/jwt', ...noStore } });
}

/** The app that a dead token was issued to may read in its page that it is dead, to get another. */
async function permitOwner(engine: Engine, c: Ctx, ring: Keyring, text: string): Promise<void> {
  if (requestHeader(c, 'origin') === undefined) return;
  const token = openAccessToken(ring, text) ?? readJwtAccessToken(engine, ring, text);
  if (token === undefined) return;
  permitOrigin(c, engine.config, await engine.clients.get(token.clientId));
}

async function claimsFor(
  engine: Engine,
  token: AccessToken,
): Promise<Readonly<Record<string, unknown>>> {
  const text = token.userinfoByReference ? await storedClaims(engine, token) : token.userinfo;
  const extra: Readonly<Record<string, unknown>> = text === undefined ? {} : JSON.parse(text);
  const { sub: _ignored, ...others } = extra;
  return { ...others, sub: token.obfuscatedSubject || token.subject };
}

/** Claims that did not fit into the token, or would be seen in it, being a JWT. */
async function storedClaims(engine: Engine, token: AccessToken): Promise<string | undefined> {
  return readChainClaims(await readClaimsOf(engine.database, token.chainId)).idToken;
}

/** The token of the Authorization header, or of the form of a POST (RFC 6750 §2); never of the URL. */
async function presentedToken(c: Ctx): Promise<string | Refusal> {
  const header = requestHeader(c, 'authorization');
  if (c.req.query('access_token') !== undefined) {
    return refuse('token_missing', 'An access token must not be sent in the URL.');
  }
  if (header !== undefined) {
    const match = /^bearer +(\S+)$/i.exec(header);
    const inHeader = match?.[1] ?? refuse('token_missing');
    // RFC 6750 §2: one way at a time
    const inBody = await tokenInBody(c);
    if (inBody === undefined || isRefusal(inBody)) return inBody ?? inHeader;
    return refuse('malformed_request', 'Send one access token.');
  }
  return (await tokenInBody(c)) ?? refuse('token_missing');
}

/** A body of another type is no way to send a token (RFC 6750 §2.2), and is not looked at. */
async function tokenInBody(c: Ctx): Promise<string | Refusal | undefined> {
  if (c.req.method !== 'POST' || !isFormType(requestHeader(c, 'content-type'))) return undefined;
  const form = await readForm(c, formBytesMax);
  return isRefusal(form) ? form : form.get('access_token');
}

/** 400, 401 and 403 carry a Bearer challenge (RFC 6750 §3, §3.1). */
function challenge(refusal: Refusal, scope?: string): Response {
  const { error, status, description } = refusals[refusal.refused];
  if (status !== 400 && status !== 401 && status !== 403) return refusalAnswer(refusal);
  const parts = ['Bearer realm="gatehouse"'];
  if (refusal.refused !== 'token_missing') {
    parts.push(`error="${error}"`, `error_description="${description}"`);
  }
  if (scope !== undefined) parts.push(`scope="${scope}"`);
  return refusalAnswer(refusal, { headers: { 'www-authenticate': parts.join(', ') } });
}
