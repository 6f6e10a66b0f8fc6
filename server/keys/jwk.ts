import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import type { PrivateKey } from '#server/keys/rotation.ts';
import { fitsAlgorithm, isSigningAlg, isWorkingPair, signingAlgs } from '#tokens/jws.ts';
import { thumbprint } from '#tokens/material.ts';

const rsaBitsMin = 2048;
/** 4.4 ms a signature; larger ones would only cost. */
const rsaBitsMax = 4096;
const rsaExponentMin = 65_537n;
const rsaExponentMax = 2n ** 32n;
const keysPerPutMax = 20;

const rsaTooWeak =
  `RSA keys must have ${rsaBitsMin} to ${rsaBitsMax} bits ` +
  `and an exponent of ${rsaExponentMin} or more.`;

/** Printable and without spaces: it goes into headers, URLs and logs. */
const keyName = /^[\x21-\x7e]{1,255}$/;

/*
 * Lengths are said here (`meta`) and checked below: Zod's own length checks run on whatever has a
 * `length`, also where the type is wrong, and `{"kid":{"length":{"toString":{}}}}` makes them throw.
 */

/** The body that makes a key. */
export const generateBody = z.object({
  alg: z.string(),
  use: z.enum(['sig', 'enc']),
  kid: z.string().meta({ maxLength: 255 }).optional(),
});

/** Members that an import reads; others (RFC 7517 §4) are left aside. */
export const importedJwk = z.object({
  kty: z.enum(['RSA', 'EC', 'OKP']),
  alg: z.string(),
  use: z.enum(['sig', 'enc']).optional(),
  kid: z.string().meta({ maxLength: 255 }).optional(),
  crv: z.string().optional(),
  x: z.string().optional(),
  y: z.string().optional(),
  n: z.string().optional(),
  e: z.string().optional(),
  d: z.string(),
  p: z.string().optional(),
  q: z.string().optional(),
  dp: z.string().optional(),
  dq: z.string().optional(),
  qi: z.string().optional(),
});
/** The body that replaces a set; its keys are judged one by one. */
export const importedSet = z.object({
  keys: z.array(z.unknown()).meta({ minItems: 1, maxItems: keysPerPutMax }),
});

/** True for a name that a set or a key may have. */
export function isKeyName(name: string): boolean {
  return keyName.test(name);
}

/** What Hydra's createJsonWebKeySet asks for; an empty `kid` means that we choose one. */
export function generationOf(
  body: unknown,
): Refusal | (Pick<PrivateKey, 'alg' | 'use'> & { readonly kid: string | undefined }) {
  const parsed = generateBody.safeParse(body);
  if (!parsed.success) {
    return refuse('malformed_request', 'Send JSON with alg, use (sig or enc) and kid.');
  }
  const { alg, use, kid = '' } = parsed.data;
  if (!isSigningAlg(alg)) return unknownAlg();
  if (kid !== '' && !isKeyName(kid)) return badKid();
  return { alg, use, kid: kid === '' ? undefined : kid };
}

/** The private keys of a JWK set that is to be imported; each kid once. */
export function importSet(setName: string, body: unknown): Refusal | readonly PrivateKey[] {
  const parsed = importedSet.safeParse(body);
  const count = parsed.data?.keys.length ?? 0;
  if (!parsed.success || count === 0 || count > keysPerPutMax) {
    return refuse('malformed_request', `Send {"keys": [...]} with 1 to ${keysPerPutMax} keys.`);
  }
  const keys: PrivateKey[] = [];
  for (const jwk of parsed.data.keys) {
    const key = importJwk(setName, jwk, undefined);
    if (isRefusal(key)) return key;
    if (keys.some((other) => other.kid === key.kid)) {
      return refuse('malformed_request', 'Two keys of the set have the same kid.');
    }
    keys.push(key);
  }
  return keys;
}

/**
 * A private key from its JWK (RFC 7518 §6, RFC 8037 §2), proven to work by one signature. Refuses
 * public and symmetric keys, other algorithms than ours, RSA outside 2048 to 4096 bits and other
 * curves than P-256 and Ed25519. The kid is the JWK's, else `kid`, else the thumbprint (RFC 7638).
 */
export function importJwk(
  setName: string,
  value: unknown,
  kid: string | undefined,
): Refusal | PrivateKey {
  const parsed = importedJwk.safeParse(value);
  if (!parsed.success) {
    return refuse(
      'malformed_request',
      'A key must be a private JWK: kty RSA, EC or OKP, with alg and all private members.',
    );
  }
  const { alg, use = 'sig', kid: named = kid, ...members } = parsed.data;
  if (!isSigningAlg(alg)) return unknownAlg();
  const privateKey = privateKeyOf(members);
  if (privateKey === undefined) {
    return refuse('malformed_request', 'The JWK is not a valid private key.');
  }
  if (!fitsAlgorithm(privateKey, alg)) {
    return refuse('malformed_request', `The key is not one that ${alg} signs with.`);
  }
  if (!isStrongEnough(privateKey)) {
    return refuse('malformed_request', rsaTooWeak);
  }
  if (!isWorkingPair(privateKey, createPublicKey(privateKey), alg)) {
    return refuse('malformed_request', 'What the private key signs, its public key refuses.');
  }
  const chosen = named === undefined || named === '' ? thumbprint(privateKey) : named;
  return isKeyName(chosen) ? { setName, kid: chosen, alg, use, privateKey } : badKid();
}

function privateKeyOf(jwk: Readonly<Record<string, string | undefined>>): KeyObject | undefined {
  try {
    return createPrivateKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function isStrongEnough(key: KeyObject): boolean {
  if (key.asymmetricKeyType !== 'rsa') return true;
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (publicExponent < rsaExponentMin || publicExponent >= rsaExponentMax) return false;
  return modulusLength >= rsaBitsMin && modulusLength <= rsaBitsMax;
}

function unknownAlg(): Refusal {
  return refuse('malformed_request', `alg must be one of ${signingAlgs.join(', ')}.`);
}

function badKid(): Refusal {
  return refuse('malformed_request', 'kid must be 1 to 255 printable ASCII characters.');
}
