import { Hono } from 'hono';
import { isRefusal, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { readChainClient } from '#server/store/chain.ts';
import type { NewRevocation } from '#server/store/revocation.ts';
import { openAccessToken } from '#tokens/access-token.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { readRefreshToken } from '#tokens/refresh-token.ts';
import { authenticateCaller } from './caller.ts';
import { type Ctx, type Env, json, refusalAnswer } from './frame/answer.ts';
import { formBytesMax, readForm } from './frame/body.ts';
import { permitOrigin } from './frame/cors.ts';
import { trailOf } from './frame/trail.ts';
import { readJwtAccessToken } from './token-check.ts';

/** The revocation endpoint (RFC 7009): 200 for its own tokens and for unknown ones, after it holds. */
export function revocationRoutes(engine: Engine): Hono<Env> {
  return new Hono<Env>().post('/oauth2/revoke', (c) => revoke(engine, c));
}

async function revoke(engine: Engine, c: Ctx): Promise<Response> {
  permitOrigin(c, engine.config);
  const form = await readForm(c, formBytesMax);
  if (isRefusal(form)) return refusalAnswer(form);
  await engine.feed.fresh();
  const ring = engine.keys.current();
  const caller = await authenticateCaller(engine, c, ring, form, 'revoke');
  if (caller instanceof Response) return caller;
  const token = form.get('token');
  if (token === undefined) return refusalAnswer(refuse('missing_parameter', 'token is missing.'));

  const found = await findToken(engine, ring, token);
  // §2.1: a token of another client is refused without a word on whether it lives; nothing dies.
  if (found === undefined || found.clientId !== caller.client.clientId) return json(200, {});
  const trail = trailOf(c, 'token.revoke', { kind: 'client', id: found.clientId });
  await engine.writes.revoke({ ...found.revocation, trail });
  await engine.feed.acknowledged();
  return json(200, {});
}

/** What this token's revocation kills: an access token dies alone, a refresh token's chain whole. */
export async function findToken(
  engine: Engine,
  ring: Keyring,
  text: string,
): Promise<{ readonly clientId: string; readonly revocation: NewRevocation } | undefined> {
  const reason = 'token_revoked';
  const access = openAccessToken(ring, text) ?? readJwtAccessToken(engine, ring, text);
  if (access !== undefined) {
    const { clientId, id, expiresAt } = access;
    return { clientId, revocation: { kind: 'token', target: id, reason, expiresAt } };
  }
  const refresh = readRefreshToken(ring, text);
  if (refresh === undefined) return undefined;
  const clientId = await readChainClient(engine.database, refresh.chainId);
  if (clientId === undefined) return undefined;
  const target = refresh.chainId;
  return { clientId, revocation: { kind: 'chain', target, reason, expiresAt: null } };
}
