import { Hono } from 'hono';
import { isRefusal, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { readClaimsOf, readLiveChain } from '#server/store/chain.ts';
import { subjectFor } from '#server/subject.ts';
import type { AccessToken } from '#tokens/access-token.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { readRefreshToken } from '#tokens/refresh-token.ts';
import { authenticateCaller } from './caller.ts';
import { clientRefusalAnswer } from './client-authentication.ts';
import { type Ctx, type Env, json, refusalAnswer } from './frame/answer.ts';
import { formBytesMax, readForm } from './frame/body.ts';
import { readChainClaims } from './token/chain-claims.ts';
import { checkAccessToken } from './token-check.ts';

/** The one answer for whatever is not alive, in constant shape (RFC 7662 §2.2; security 19). */
const inactive = { active: false } as const;

type Shown = Readonly<Record<string, unknown>>;

/** Hydra's door for administrators: any token, with an admin credential. */
export function adminIntrospectionRoutes(engine: Engine): Hono<Env> {
  return new Hono<Env>().post('/admin/oauth2/introspect', async (c) => {
    const form = await readForm(c, formBytesMax);
    if (isRefusal(form)) return refusalAnswer(form, { admin: true });
    const token = form.get('token');
    if (token === undefined) {
      return refusalAnswer(refuse('missing_parameter', 'token is missing.'), { admin: true });
    }
    await engine.feed.fresh();
    const shown = await introspect(engine, engine.keys.current(), token);
    return json(200, withinScope(shown, form.get('scope')));
  });
}

/**
 * The public door (RFC 7662) for resource servers that authenticate as clients: a token is shown to
 * the client it was issued to and to those it is for; to others it is inactive (security 43).
 */
export function introspectionRoutes(engine: Engine): Hono<Env> {
  return new Hono<Env>().post('/oauth2/introspect', (c) => publicDoor(engine, c));
}

async function publicDoor(engine: Engine, c: Ctx): Promise<Response> {
  const form = await readForm(c, formBytesMax);
  if (isRefusal(form)) return refusalAnswer(form);
  await engine.feed.fresh();
  const ring = engine.keys.current();
  const caller = await authenticateCaller(engine, c, ring, form, 'introspect');
  if (caller instanceof Response) return caller;
  // Who cannot prove who it is could fish for live tokens (RFC 7662 §4).
  if (caller.method === 'none') return clientRefusalAnswer(refuse('unknown_client'));
  const token = form.get('token');
  if (token === undefined) return refusalAnswer(refuse('missing_parameter', 'token is missing.'));
  const shown = await introspect(engine, ring, token);
  return json(200, isFor(shown, caller.client.clientId) ? asSeenByClients(shown) : inactive);
}

/** Its own token, or one whose `aud` names it: a resource server is registered by its own URI. */
function isFor(shown: Shown, clientId: string): boolean {
  if (shown.client_id === clientId) return true;
  return Array.isArray(shown.aud) && shown.aud.includes(clientId);
}

/** A client that sees pairwise subjects must not learn the real one here (OIDC Core §8.1). */
function asSeenByClients({ obfuscated_subject, ...shown }: Shown): Shown {
  return obfuscated_subject === undefined ? shown : { ...shown, sub: obfuscated_subject };
}

async function introspect(engine: Engine, ring: Keyring, text: string): Promise<Shown> {
  const access = await checkAccessToken(engine, ring, text);
  if (access !== undefined) return showAccessToken(engine, access);
  const refresh = readRefreshToken(ring, text);
  if (refresh === undefined) return inactive;
  return showRefreshToken(engine, refresh.chainId, refresh.generation);
}

async function showAccessToken(engine: Engine, token: AccessToken): Promise<Shown> {
  const ext = token.extByReference
    ? readChainClaims(await readClaimsOf(engine.database, token.chainId)).accessToken
    : token.ext;
  return {
    active: true,
    ...(token.scope.length === 0 ? {} : { scope: token.scope.join(' ') }),
    client_id: token.clientId,
    sub: token.subject,
    ...(token.obfuscatedSubject === '' ? {} : { obfuscated_subject: token.obfuscatedSubject }),
    exp: token.expiresAt,
    iat: token.issuedAt,
    nbf: token.issuedAt,
    aud: token.audience,
    iss: engine.config.issuer,
    jti: token.id,
    token_type: 'Bearer',
    token_use: 'access_token',
    ...(ext === undefined ? {} : { ext: JSON.parse(ext) }),
  };
}

/** Reads the chain's row: what hangs from a refresh token is true only there. */
async function showRefreshToken(
  engine: Engine,
  chainId: string,
  generation: number,
): Promise<Shown> {
  await engine.feed.fresh();
  const chain = await readLiveChain(engine.database, chainId, generation);
  if (chain === undefined) return inactive;
  const client = await engine.clients.get(chain.clientId);
  if (client === undefined || client.disabled) return inactive;
  const claims = readChainClaims(chain.claims);
  const sub = subjectFor(client, chain.subject, claims.forcedSubject, engine.pairwiseSalt);
  return {
    active: true,
    ...(chain.scope.length === 0 ? {} : { scope: chain.scope.join(' ') }),
    client_id: chain.clientId,
    sub: chain.subject,
    ...(sub === chain.subject ? {} : { obfuscated_subject: sub }),
    exp: chain.expiresAt,
    iat: chain.createdAt,
    nbf: chain.createdAt,
    aud: [...chain.audience, ...chain.resource],
    iss: engine.config.issuer,
    token_use: 'refresh_token',
    ...(claims.accessToken === undefined ? {} : { ext: JSON.parse(claims.accessToken) }),
  };
}

/** Hydra's `scope` parameter: a token without all of these scopes is shown as inactive. */
function withinScope(shown: Shown, scope: string | undefined): Shown {
  if (scope === undefined || shown.active !== true) return shown;
  const held = new Set(String(shown.scope ?? '').split(' '));
  return scope.split(' ').every((one) => one === '' || held.has(one)) ? shown : inactive;
}
