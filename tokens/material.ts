import {
  createHash,
  createPublicKey,
  createSecretKey,
  generateKeyPair,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { SigningAlg } from '#core/client.ts';
import type { GroupKey, KeyMaterial, PublishedKey, SealGroup, SecretKey } from '#tokens/ring.ts';

const rsaBits = 2048;
const secretBytes = 32;

/** A key id for secrets: 8 lower-case hex characters. */
export function newSecretKid(): string {
  return randomBytes(4).toString('hex');
}

/** A random secret of 32 bytes. */
export function newSecret(): KeyObject {
  return createSecretKey(randomBytes(secretBytes));
}

const generate = promisify(generateKeyPair);

/** A new private key for `alg`, made on the thread pool: RSA takes some 100 ms. */
export async function newPrivateKey(alg: SigningAlg): Promise<KeyObject> {
  switch (alg) {
    case 'RS256':
    case 'PS256':
      return (await generate('rsa', { modulusLength: rsaBits })).privateKey;
    case 'ES256':
      return (await generate('ec', { namedCurve: 'P-256' })).privateKey;
    case 'EdDSA':
      return (await generate('ed25519')).privateKey;
  }
}

/** The JWK thumbprint (RFC 7638 §3): the `kid` of a key that was not given one. */
export function thumbprint(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const { crv, e, kty, n, x, y } = publicKey.export({ format: 'jwk' });
  // required members only, in lexical order; JSON.stringify leaves out the absent ones
  const canonical = JSON.stringify({ crv, e, kty, n, x, y });
  return createHash('sha256').update(canonical).digest('base64url');
}

/**
 * A complete set of random keys, active since `nowMs`, that lives in memory only: for tests and
 * benchmarks of what takes a Keyring.
 */
export function randomKeyMaterial(issuer: string, nowMs: number): KeyMaterial {
  const span = { activeAtMs: nowMs, expiresAtMs: undefined };
  const secret = (): SecretKey => ({ kid: newSecretKid(), secret: newSecret(), ...span });
  const group = (name: SealGroup): GroupKey => ({ ...secret(), group: name });
  const published = (
    set: PublishedKey['set'],
    alg: SigningAlg,
    pair: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  ): PublishedKey => ({ set, alg, kid: `${thumbprint(pair.publicKey)}-${alg}`, ...pair, ...span });
  const rsa = generateKeyPairSync('rsa', { modulusLength: rsaBits });
  const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    issuer,
    dataKeys: [group('flow'), group('code'), group('access_token'), group('session_cookie')],
    refreshMacKeys: [secret()],
    peppers: [secret()],
    signingKeys: [
      published('id_token', 'RS256', rsa),
      published('id_token', 'PS256', rsa),
      published('id_token', 'ES256', ec()),
      published('id_token', 'EdDSA', generateKeyPairSync('ed25519')),
      published('access_token', 'ES256', ec()),
    ],
  };
}
