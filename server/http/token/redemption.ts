import { createHash, timingSafeEqual } from 'node:crypto';
import { earnsRefreshToken, isOffline, replaySeconds } from '#core/lifetime.ts';
import { validCodeVerifier } from '#core/pkce.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { openFromUrl } from '#server/http/authorization/sealed.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import { trailOf } from '#server/http/frame/trail.ts';
import { newId } from '#server/identifiers.ts';
import { type Code, codePrefix, decodeCode } from '#tokens/code.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { makeRefreshToken } from '#tokens/refresh-token.ts';
import { readChainClaims } from './chain-claims.ts';
import { type Issuance, issueTokens, permittedLifetimes } from './issue.ts';
import { narrowAudience } from './narrow.ts';
import type { TokenRequest } from './token-request.ts';

/**
 * Redeems a code (RFC 6749 §4.1.3) in one statement. Client and PKCE verifier are right before
 * anything is written, so a stranger neither burns the code nor revokes what it issued. A replay by
 * the client itself revokes the chain (§4.1.2).
 */
export async function redeemCode(
  engine: Engine,
  { c, ring, form, client }: TokenRequest,
): Promise<Readonly<Record<string, unknown>> | Refusal> {
  const presented = form.get('code');
  if (presented === undefined) return refuse('missing_parameter', 'code is missing.');
  const code = await openCode(engine, ring, presented);
  const now = engine.feed.nowMs() / 1000;
  if (code === undefined || code.expiresAt <= now) return refuse('code_invalid');
  const misfit = misfitOf(code, client.clientId, form);
  if (misfit !== undefined) {
    tellStray(engine, c, code, client.clientId, misfit);
    return misfit;
  }
  const audience = narrowAudience(client, form.all('resource'), code);
  if (isRefusal(audience)) return audience;

  const to = { client, lifetimes: await permittedLifetimes(engine, client, 'authorizationCode') };
  const { chainId, refreshToken, outcome } = await writeChain(engine, ring, code, to);
  if (outcome === 'replayed') return revokeReplayed(engine, c, chainId, client.clientId);
  if (outcome === 'dead') return refuse('grant_dead');
  return issueTokens(engine, ring, {
    ...to,
    ...code,
    chainId,
    online: !isOffline(code.scope),
    audience,
    claims: readChainClaims(code.claims),
    refreshToken,
    issuedAt: Math.floor(now),
  });
}

async function openCode(
  engine: Engine,
  ring: Keyring,
  presented: string,
): Promise<Code | undefined> {
  if (!presented.startsWith(codePrefix)) return undefined;
  const bytes = await openFromUrl(engine, ring, 'code', presented.slice(codePrefix.length));
  return bytes === undefined ? undefined : decodeCode(bytes);
}

/** Why a code of ours is not for whoever brings it; undefined where it is. */
function misfitOf(code: Code, clientId: string, form: TokenRequest['form']): Refusal | undefined {
  if (code.clientId !== clientId) return refuse('code_invalid');
  if ((form.get('redirect_uri') ?? '') !== code.redirectUri) return refuse('code_redirect_uri');
  return verifierFault(code, form.get('code_verifier'));
}

/** A code in other hands than it was made for (RFC 9700 §4.5), or an app with a mistake. */
function tellStray(engine: Engine, c: Ctx, code: Code, clientId: string, { refused }: Refusal) {
  const trail = trailOf(c, 'code.stray', { kind: 'client', id: clientId });
  engine.audit.count({ ...trail, target: { kind: 'chain', id: code.id }, reason: refused });
}

/** A verifier without a challenge is refused as well as none or a wrong one (RFC 9700 §4.8). */
function verifierFault(code: Code, verifier: string | undefined): Refusal | undefined {
  if (code.challenge.length === 0) {
    if (verifier === undefined) return undefined;
    return refuse('code_verifier', 'A code_verifier is given, but there was no code_challenge.');
  }
  if (verifier === undefined) return refuse('code_verifier', 'code_verifier is missing.');
  if (!validCodeVerifier(verifier)) {
    return refuse('code_verifier', 'code_verifier must have 43 to 128 unreserved characters.');
  }
  const hash = createHash('sha256').update(verifier).digest();
  return timingSafeEqual(hash, code.challenge) ? undefined : refuse('code_verifier');
}

async function writeChain(
  engine: Engine,
  ring: Keyring,
  code: Code,
  { client, lifetimes }: Pick<Issuance, 'client' | 'lifetimes'>,
) {
  const { config } = engine;
  const refreshable = earnsRefreshToken(client, code.scope, config.refreshTokenScopes);
  // The row stays until a replay of the verifier, of the code that it would yield, and the last
  // access token would be refused anyway.
  const replayable = config.flowSeconds + config.codeSeconds + replaySeconds;
  const keepSeconds = Math.max(replayable, lifetimes.accessTokenSeconds);
  const macKid = ring.refreshMacKid;
  const outcome = await engine.writes.redeem({
    id: code.id,
    attempt: newId(),
    clientId: code.clientId,
    subject: code.subject,
    grantId: code.grantId,
    sessionId: code.sessionId,
    online: !isOffline(code.scope),
    refreshable,
    macKid,
    scope: code.scope,
    audience: code.audience,
    resource: code.resource,
    cnf: null,
    loginBorn: code.loginBorn,
    grantBorn: code.grantBorn,
    authenticatedAt: code.authenticatedAt,
    acr: code.acr,
    amr: code.amr,
    claims: code.claims ?? null,
    idleSeconds: refreshable ? lifetimes.refreshTokenSeconds : keepSeconds,
    absoluteSeconds: config.refreshTokenAbsoluteSeconds ?? null,
    keepSeconds,
  });
  const refreshToken = refreshable
    ? makeRefreshToken(ring, { chainId: code.id, generation: 0, macKid })
    : undefined;
  return { chainId: code.id, refreshToken, outcome };
}

/** Answers only when no node can accept what the first redemption issued. */
async function revokeReplayed(
  engine: Engine,
  c: Ctx,
  chainId: string,
  clientId: string,
): Promise<Refusal> {
  engine.metrics.event('code_replay');
  engine.log.warn('code_replayed', { chain: chainId });
  await engine.writes.revoke({
    kind: 'chain',
    target: chainId,
    reason: 'code_replayed',
    expiresAt: null,
    trail: trailOf(c, 'code.replay', { kind: 'client', id: clientId }),
  });
  await engine.feed.acknowledged();
  return refuse('code_replayed');
}
