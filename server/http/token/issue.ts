import type { Client, SigningAlg } from '#core/client.ts';
import { idTokenClaims } from '#core/id-token.ts';
import { type IssueLifetimes, type IssuingGrant, issueLifetimes } from '#core/lifetime.ts';
import { scopeAllowed } from '#core/scope.ts';
import type { Engine } from '#server/engine.ts';
import { newId } from '#server/identifiers.ts';
import { subjectFor } from '#server/subject.ts';
import { type AccessToken, sealAccessToken, sealSubject } from '#tokens/access-token.ts';
import { halfHash, signJws } from '#tokens/jws.ts';
import type { Keyring, SigningKey } from '#tokens/keyring.ts';
import { type ChainClaims, claimsCarriedMax } from './chain-claims.ts';

/** Whose tokens are made, and what they hang from. */
export interface Issuance {
  readonly client: Client;
  readonly lifetimes: IssueLifetimes;
  readonly subject: string;
  readonly chainId: string;
  readonly grantId: string;
  readonly grantVersion: number;
  readonly sessionId: string;
  readonly online: boolean;
  readonly loginBorn: number;
  readonly grantBorn: number;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  /** Seconds since the epoch. */
  readonly authenticatedAt: number;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly nonce: string | undefined;
  readonly claims: ChainClaims;
  readonly refreshToken: string | undefined;
  /** Seconds since the epoch, taken before the statement: a pause afterwards lengthens nothing. */
  readonly issuedAt: number;
}

/**
 * The lifetimes of what a grant issues, once access tokens may live so long. Asked before the
 * statement that the tokens come from: what was revoked before a lifetime rose is remembered for the
 * shorter one only, so it must be seen in the rows.
 */
export async function permittedLifetimes(
  engine: Engine,
  client: Client,
  grantType: IssuingGrant,
): Promise<IssueLifetimes> {
  const lifetimes = issueLifetimes(client, grantType, engine.config);
  const unpermitted = engine.lever.permit(lifetimes.accessTokenSeconds);
  if (unpermitted !== undefined) await unpermitted;
  return lifetimes;
}

/**
 * The token endpoint's success (RFC 6749 §5.1): what is absent is left out. `scope` is said even
 * where nothing was granted: an answer without it means all that was asked.
 * Signs outside of any transaction. An ID token is made where `openid` was granted.
 */
export async function issueTokens(
  engine: Engine,
  ring: Keyring,
  granted: Issuance,
): Promise<Readonly<Record<string, unknown>>> {
  const { client, lifetimes } = granted;
  // A scope that was taken from the registration is in no new token, and comes back with it.
  const scope = granted.scope.filter((one) => scopeAllowed(client.scope, one));
  const issuance = { ...granted, scope };
  const now = issuance.issuedAt;
  const forced = issuance.claims.forcedSubject;
  // A client that speaks for itself is no person whose name must be hidden (RFC 9068 §2.2).
  const sub =
    issuance.chainId === ''
      ? issuance.subject
      : subjectFor(client, issuance.subject, forced, engine.pairwiseSalt);
  const token = accessTokenOf(issuance, sub, now, lifetimes.accessTokenSeconds);
  const access_token = await writeAccessToken(engine, ring, client, token);
  const openid = issuance.chainId !== '' && scope.includes('openid');
  return {
    access_token,
    expires_in: lifetimes.accessTokenSeconds,
    ...(openid
      ? {
          id_token: await writeIdToken(engine, ring, issuance, {
            sub,
            access_token,
            now,
            expiresAt: now + lifetimes.idTokenSeconds,
          }),
        }
      : {}),
    ...(issuance.refreshToken === undefined ? {} : { refresh_token: issuance.refreshToken }),
    scope: scope.join(' '),
    token_type: 'bearer',
  };
}

function octets(text: string | undefined): number {
  return text === undefined ? 0 : Buffer.byteLength(text);
}

function accessTokenOf(
  issuance: Issuance,
  sub: string,
  now: number,
  lifetimeSeconds: number,
): AccessToken {
  const { accessToken, idToken } = issuance.claims;
  const carried = octets(accessToken) + octets(idToken) <= claimsCarriedMax;
  return {
    id: newId(now * 1000),
    chainId: issuance.chainId,
    grantId: issuance.grantId,
    grantVersion: issuance.grantVersion,
    sessionId: issuance.sessionId,
    online: issuance.online,
    loginBorn: issuance.loginBorn,
    grantBorn: issuance.grantBorn,
    issuedAt: now,
    expiresAt: now + lifetimeSeconds,
    clientId: issuance.client.clientId,
    subject: issuance.subject,
    obfuscatedSubject: sub === issuance.subject ? '' : sub,
    scope: issuance.scope,
    audience: issuance.audience,
    ext: carried ? accessToken : undefined,
    extByReference: !carried && accessToken !== undefined,
    userinfo: carried ? idToken : undefined,
    userinfoByReference: !carried && idToken !== undefined,
  };
}

async function writeAccessToken(
  engine: Engine,
  ring: Keyring,
  client: Client,
  token: AccessToken,
): Promise<string> {
  const strategy = client.accessTokenStrategy ?? engine.config.accessTokenStrategy;
  if (strategy !== 'jwt') return sealAccessToken(ring, token);
  const key = requireKey(ring, 'access_token', 'ES256');
  return signJws(key, { typ: 'at+jwt' }, jwtClaims(ring, engine.config.issuer, token));
}

/** RFC 9068 §2.2, Hydra's `scp` and `ext`, and `gh`: what a fact can kill (core/mortal). */
function jwtClaims(
  ring: Keyring,
  issuer: string,
  token: AccessToken,
): Readonly<Record<string, unknown>> {
  return {
    iss: issuer,
    sub: token.obfuscatedSubject || token.subject,
    aud: token.audience.length === 0 ? [issuer] : token.audience,
    client_id: token.clientId,
    iat: token.issuedAt,
    nbf: token.issuedAt,
    exp: token.expiresAt,
    jti: token.id,
    scope: token.scope.join(' '),
    scp: token.scope,
    ...(token.ext === undefined ? {} : { ext: JSON.parse(token.ext) }),
    gh: {
      chain: token.chainId,
      grant: token.grantId,
      version: token.grantVersion,
      session: token.sessionId,
      online: token.online,
      born: [token.loginBorn, token.grantBorn],
      ...(token.extByReference ? { ext: true } : {}),
      // A JWT shows its claims to anybody, so those of userinfo stay in the chain's row.
      ...(token.userinfoByReference || token.userinfo !== undefined ? { userinfo: true } : {}),
      // whom a fact about the subject speaks of, for us alone
      ...(token.obfuscatedSubject === '' ? {} : { sub: sealSubject(ring, token.subject) }),
    },
  };
}

async function writeIdToken(
  engine: Engine,
  ring: Keyring,
  issuance: Issuance,
  made: {
    readonly sub: string;
    readonly access_token: string;
    readonly now: number;
    readonly expiresAt: number;
  },
): Promise<string> {
  const alg = issuance.client.idTokenAlg ?? engine.config.idTokenAlg;
  const extra = issuance.claims.idToken;
  const claims = idTokenClaims({
    issuer: engine.config.issuer,
    subject: made.sub,
    clientId: issuance.client.clientId,
    issuedAt: made.now,
    expiresAt: made.expiresAt,
    authenticatedAt: issuance.authenticatedAt,
    nonce: issuance.nonce,
    atHash: halfHash(alg, made.access_token),
    acr: issuance.acr,
    amr: issuance.amr,
    sessionId: issuance.sessionId,
    tokenId: newId(made.now * 1000),
    extra: extra === undefined ? {} : JSON.parse(extra),
  });
  return signJws(requireKey(ring, 'id_token', alg), { typ: 'JWT' }, claims);
}

function requireKey(ring: Keyring, set: 'id_token' | 'access_token', alg: SigningAlg): SigningKey {
  const key = ring.signingKey(set, alg);
  if (key === undefined) throw new Error(`no active ${alg} key in the set ${set}`);
  return key;
}
