import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { type Answer, type Connection, header } from './connection.ts';
import { get } from './message.ts';

/** What an ID token must say. */
export interface Expected {
  readonly clientId: string;
  readonly alg: string;
  /** Absent where the answer needs none (a refresh). */
  readonly nonce?: string;
  readonly subject?: string;
}

/** Checks ID tokens against the keys that a server publishes. */
export interface IdTokenJudge {
  /** Throws where the token does not verify, is somebody else's or is over. Gives its subject. */
  check(token: string, expected: Expected): Promise<string>;
}

interface PublishedKey {
  readonly alg: string;
  readonly key: KeyObject;
}

/** Makes a judge; it reads the keys again when a token names one that it does not know. */
export function createIdTokenJudge(
  issuer: string,
  jwksPath: string,
  connection: Connection,
): IdTokenJudge {
  let keys = new Map<string, PublishedKey>();
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    keys = publishedKeys(await connection.send(get(jwksPath)));
  }

  async function keyOf(kid: string): Promise<PublishedKey> {
    if (!keys.has(kid)) {
      reading ??= read().finally(() => {
        reading = undefined;
      });
      await reading;
    }
    const found = keys.get(kid);
    if (found === undefined) throw new Error(`the key ${kid} of an ID token is not published`);
    return found;
  }

  return {
    async check(token, expected) {
      const [head = '', payload = '', signature = ''] = token.split('.');
      const { alg, kid } = object(Buffer.from(head, 'base64url').toString());
      const { key, alg: keyAlg } = await keyOf(String(kid));
      if (alg !== expected.alg || alg !== keyAlg) throw new Error(`an ID token has alg ${alg}`);
      const signed = Buffer.from(`${head}.${payload}`);
      const isTrue = verify(
        'sha256',
        signed,
        alg === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key,
        Buffer.from(signature, 'base64url'),
      );
      if (!isTrue) throw new Error('the signature of an ID token does not verify');
      const claims = object(Buffer.from(payload, 'base64url').toString());
      const audience = Array.isArray(claims.aud) ? claims.aud[0] : claims.aud;
      const isWrong =
        claims.iss !== issuer ||
        audience !== expected.clientId ||
        (expected.nonce !== undefined && claims.nonce !== expected.nonce) ||
        (expected.subject !== undefined && claims.sub !== expected.subject) ||
        Number(claims.exp) * 1000 < Date.now();
      if (isWrong) throw new Error(`an ID token says ${JSON.stringify(claims)}`);
      return String(claims.sub);
    },
  };
}

function publishedKeys(answer: Answer): Map<string, PublishedKey> {
  if (answer.status !== 200) {
    throw new Error(`no keys: ${answer.status} ${header(answer, 'location') ?? answer.body}`);
  }
  const { keys } = object(answer.body);
  const found = new Map<string, PublishedKey>();
  for (const jwk of Array.isArray(keys) ? keys : []) {
    if (jwk.use !== undefined && jwk.use !== 'sig') continue;
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    const alg = jwk.alg ?? (jwk.kty === 'EC' ? 'ES256' : 'RS256');
    found.set(String(jwk.kid), { alg: String(alg), key });
  }
  return found;
}

/** The members of a JSON object; of anything else none. */
export function object(text: string): Record<string, unknown> {
  const parsed: unknown = JSON.parse(text);
  return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
}
