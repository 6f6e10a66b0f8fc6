import type { Engine } from '#server/engine.ts';
import type { Mortal } from '#server/store/feed.ts';
import { type AccessToken, openAccessToken, openSubject } from '#tokens/access-token.ts';
import { verifyJws } from '#tokens/jws.ts';
import type { Keyring } from '#tokens/keyring.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * The access token in this text if it is ours, has not expired and nothing has killed it; else
 * undefined, whatever is wrong. `ring` was taken from a fresh node. No statement: opened and looked
 * up in memory, which is fresh within 50 ms or the request ends with 503 (hot path 6).
 */
export async function checkAccessToken(
  engine: Engine,
  ring: Keyring,
  text: string,
): Promise<AccessToken | undefined> {
  const token = openAccessToken(ring, text) ?? readJwtAccessToken(engine, ring, text);
  if (token === undefined) return undefined;
  const stale = engine.feed.fresh();
  if (stale !== undefined) await stale;
  if (token.expiresAt * 1000 <= engine.feed.nowMs()) return undefined;
  const mortal = mortalOf(token);
  const dead = engine.feed.isDead(mortal);
  if (typeof dead === 'boolean' ? dead : await dead) return undefined;
  const client = await engine.clients.get(token.clientId);
  return client === undefined || client.disabled ? undefined : token;
}

function mortalOf(token: AccessToken): Mortal {
  return { ...token, tokenId: token.id };
}

/** Reads a JWT access token (RFC 9068 §4) back into what it was made of. */
export function readJwtAccessToken(
  engine: Engine,
  ring: Keyring,
  text: string,
): AccessToken | undefined {
  if (!text.startsWith('ey')) return undefined;
  const claims = verifyJws((kid) => ring.verificationKey(kid), text, { typ: 'at+jwt' });
  if (claims === undefined || claims.iss !== engine.config.issuer) return undefined;
  const { gh } = claims;
  if (typeof gh !== 'object' || gh === null || typeof claims.jti !== 'string') return undefined;
  // Signed by us, so the shape is ours; it is checked all the same, since a key set can be imported.
  const bound: ReadonlyMap<string, unknown> = new Map(Object.entries(gh));
  const born = bound.get('born');
  const [loginBorn, grantBorn] = Array.isArray(born) ? born.map(Number) : [];
  const ids = ['chain', 'grant', 'session'].map((name) => String(bound.get(name) ?? ''));
  const sealed = bound.get('sub');
  const subject = typeof sealed === 'string' ? openSubject(ring, sealed) : String(claims.sub);
  if (loginBorn === undefined || grantBorn === undefined || subject === undefined) return undefined;
  if (!uuid.test(claims.jti) || !ids.every((id) => id === '' || uuid.test(id))) return undefined;
  return {
    id: claims.jti,
    chainId: ids[0] ?? '',
    grantId: ids[1] ?? '',
    grantVersion: Number(bound.get('version') ?? 0),
    sessionId: ids[2] ?? '',
    online: bound.get('online') === true,
    loginBorn,
    grantBorn,
    issuedAt: Number(claims.iat),
    expiresAt: Number(claims.exp),
    clientId: String(claims.client_id),
    subject,
    obfuscatedSubject: subject === claims.sub ? '' : String(claims.sub),
    scope: textList(claims.scp),
    audience: textList(claims.aud).filter((one) => one !== engine.config.issuer),
    ext: claims.ext === undefined ? undefined : JSON.stringify(claims.ext),
    extByReference: bound.get('ext') === true,
    userinfo: undefined,
    userinfoByReference: bound.get('userinfo') === true,
  };
}

function textList(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
