import {
  hash,
  type KeyObject,
  constants as rsa,
  type SignKeyObjectInput,
  sign,
  type VerifyKeyObjectInput,
  verify,
} from 'node:crypto';
import type { SigningAlg } from '#core/client.ts';
import { decodeBase64url } from '#tokens/base64url.ts';
import type { SigningKey, VerificationKey } from '#tokens/keyring.ts';

/** Longest compact JWS that is looked at, in characters. */
export const jwsCharsMax = 65_536;
/** Longest `kid` that is looked up. */
const kidCharsMax = 255;
const headerCharsMax = 2_048;

interface AlgFacts {
  /** What JWKS says: RFC 7518 §6.1, RFC 8037 §2. */
  readonly kty: 'RSA' | 'EC' | 'OKP';
  readonly crv?: string;
  readonly keyType: 'rsa' | 'ec' | 'ed25519';
  /** The hash of the signature; null: part of the algorithm (Ed25519). */
  readonly digest: 'sha256' | null;
  /** The hash whose left half is `at_hash` (OIDC Core §3.1.3.6). */
  readonly halfOf: 'sha256' | 'sha512';
  readonly options: Omit<SignKeyObjectInput & VerifyKeyObjectInput, 'key'>;
  /** True: signed on the thread pool. */
  readonly async: boolean;
}

/**
 * All knowledge of algorithms. Measured (Node 24, CPU us a signature, 2048-bit RSA): RS256 and
 * PS256 270 in the loop and 320-350 on the thread pool, ES256 55, EdDSA 50. RSA goes to the pool
 * all the same: in the loop it would hold up every other request (4.4 ms with 4096 bits), and the
 * pool uses the other cores. The curves would pay more for the hand-over than they take. Verifying:
 * RS256 42, ES256 98, EdDSA 125.
 */
const algorithms: Readonly<Record<SigningAlg, AlgFacts>> = {
  RS256: {
    kty: 'RSA',
    keyType: 'rsa',
    digest: 'sha256',
    halfOf: 'sha256',
    options: { padding: rsa.RSA_PKCS1_PADDING },
    async: true,
  },
  PS256: {
    kty: 'RSA',
    keyType: 'rsa',
    digest: 'sha256',
    halfOf: 'sha256',
    // RFC 7518 §3.5: the salt is as long as the hash
    options: { padding: rsa.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
    async: true,
  },
  ES256: {
    kty: 'EC',
    crv: 'P-256',
    keyType: 'ec',
    digest: 'sha256',
    halfOf: 'sha256',
    options: { dsaEncoding: 'ieee-p1363' },
    async: false,
  },
  EdDSA: {
    kty: 'OKP',
    crv: 'Ed25519',
    keyType: 'ed25519',
    digest: null,
    halfOf: 'sha512',
    options: {},
    async: false,
  },
};

export const signingAlgs: readonly SigningAlg[] = ['RS256', 'PS256', 'ES256', 'EdDSA'];

export function isSigningAlg(value: unknown): value is SigningAlg {
  return typeof value === 'string' && Object.hasOwn(algorithms, value);
}

/**
 * A compact JWS (RFC 7515 §7.1) over `payload`, with `alg`, `kid` and the given `typ` in its
 * header. A promise for RSA, which is signed on the thread pool; `await` takes both. The header is
 * made each time, 0.7 us: a cache per key would save 1 % of the cheapest signature.
 */
export function signJws(
  key: SigningKey,
  header: { readonly typ: string },
  payload: Readonly<Record<string, unknown>>,
): string | Promise<string> {
  const facts = algorithms[key.alg];
  const head = base64urlJson({ alg: key.alg, typ: header.typ, kid: key.kid });
  const input = `${head}.${base64urlJson(payload)}`;
  const keyInput = { ...facts.options, key: key.privateKey };
  if (!facts.async) {
    return `${input}.${sign(facts.digest, Buffer.from(input), keyInput).toString('base64url')}`;
  }
  return new Promise((resolve, reject) => {
    sign(facts.digest, Buffer.from(input), keyInput, (error, signature) => {
      if (error) reject(error);
      else resolve(`${input}.${signature.toString('base64url')}`);
    });
  });
}

/**
 * The payload of a compact JWS that a published key signed and whose `typ` is the one asked for
 * (RFC 8725 §3.11), else undefined; claims such as `exp` and `iss` are the caller's to judge.
 * The algorithm is the key's and the header must agree (RFC 8725 §3.1); keys in or named by the
 * header (`jwk`, `jku`, `x5c`, `x5u`) are ignored, `crit` and `b64` refuse (RFC 7515 §4.1.11).
 * Never throws.
 */
export function verifyJws(
  verificationKey: (kid: string) => VerificationKey | undefined,
  token: string,
  expected: { readonly typ: string },
): Readonly<Record<string, unknown>> | undefined {
  if (token.length > jwsCharsMax) return undefined;
  const headEnd = token.indexOf('.');
  const bodyEnd = token.indexOf('.', headEnd + 1);
  if (headEnd < 1 || headEnd > headerCharsMax || bodyEnd < 0) return undefined;
  const header = objectOf(token.slice(0, headEnd));
  if (header === undefined || typeof header.kid !== 'string') return undefined;
  if (header.kid === '' || header.kid.length > kidCharsMax) return undefined;
  if ('crit' in header || 'b64' in header) return undefined;
  if (mediaType(header.typ) !== mediaType(expected.typ)) return undefined;
  const key = verificationKey(header.kid);
  if (key === undefined || header.alg !== key.alg) return undefined;
  const signature = decodeBase64url(token.slice(bodyEnd + 1));
  if (signature === undefined) return undefined;
  const { digest, options } = algorithms[key.alg];
  const signed = Buffer.from(token.slice(0, bodyEnd));
  if (!verifies(digest, signed, { ...options, key: key.publicKey }, signature)) return undefined;
  return objectOf(token.slice(headEnd + 1, bodyEnd));
}

/**
 * The left half of the hash that belongs to the ID token's `alg`, base64url: `at_hash` and
 * `c_hash` (OIDC Core §3.1.3.6, §3.3.2.11). SHA-256, for EdDSA SHA-512.
 */
export function halfHash(alg: SigningAlg, text: string): string {
  const digest = hash(algorithms[alg].halfOf, text, 'buffer');
  return digest.subarray(0, digest.length / 2).toString('base64url');
}

/**
 * The public key as JWKS shows it, with `kid`, `use` and `alg` (RFC 7517 §4). Members are named one
 * by one, so that no private one can slip through (security 53).
 */
export function publicJwk(
  key: VerificationKey,
  use: 'sig' | 'enc' = 'sig',
): Readonly<Record<string, unknown>> {
  const { kty, crv, x, y, n, e } = key.publicKey.export({ format: 'jwk' });
  const members = { kty, kid: key.kid, use, alg: key.alg, crv, x, y, n, e };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** Whether a key object is of the kind that `alg` signs with. */
export function fitsAlgorithm(key: KeyObject, alg: SigningAlg): boolean {
  const facts = algorithms[alg];
  if (key.asymmetricKeyType !== facts.keyType) return false;
  return facts.keyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** Whether the two belong together and work: a signature of one verifies with the other. */
export function isWorkingPair(
  privateKey: KeyObject,
  publicKey: KeyObject,
  alg: SigningAlg,
): boolean {
  const { digest, options } = algorithms[alg];
  const probe = Buffer.from('gatehouse');
  try {
    const signature = sign(digest, probe, { ...options, key: privateKey });
    return verify(digest, probe, { ...options, key: publicKey }, signature);
  } catch {
    return false;
  }
}

function verifies(
  digest: 'sha256' | null,
  signed: Buffer,
  key: VerifyKeyObjectInput,
  signature: Buffer,
): boolean {
  try {
    return verify(digest, signed, key, signature);
  } catch {
    // a signature of a length that the algorithm cannot have
    return false;
  }
}

/** `typ` compared as RFC 7515 §4.1.9 says: without case, `application/` left out. */
function mediaType(typ: unknown): string | undefined {
  if (typeof typ !== 'string') return undefined;
  const lower = typ.toLowerCase();
  return lower.startsWith('application/') ? lower.slice('application/'.length) : lower;
}

function base64urlJson(value: Readonly<Record<string, unknown>>): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function objectOf(part: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = decodeBase64url(part);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
