import { createHmac, type KeyObject } from 'node:crypto';
import type { SigningAlg } from '#core/client.ts';
import { publicJwk, signingAlgs } from '#tokens/jws.ts';
import type { Keyring, SealPurpose, SigningKey, VerificationKey } from '#tokens/keyring.ts';
import { type AssociatedData, associatedData, type DataKey, type Sealer } from '#tokens/seal.ts';

/** Purposes that share data keys, because what they protect lives equally long. */
export type SealGroup = 'flow' | 'code' | 'access_token' | 'session_cookie';

export const sealGroups: Readonly<Record<SealPurpose, SealGroup>> = {
  login_challenge: 'flow',
  login_verifier: 'flow',
  consent_challenge: 'flow',
  consent_verifier: 'flow',
  logout_challenge: 'flow',
  logout_verifier: 'flow',
  page: 'flow',
  code: 'code',
  access_token: 'access_token',
  session_cookie: 'session_cookie',
};

/** From when a key may be used for new things, and until when it is known at all; database time. */
interface Span {
  readonly activeAtMs: number;
  /** undefined: no end set yet. */
  readonly expiresAtMs: number | undefined;
}

/** A secret of 32 bytes; `kid` is 8 lower-case hex characters. */
export interface SecretKey extends DataKey, Span {}

export interface GroupKey extends SecretKey {
  readonly group: SealGroup;
}

export interface PublishedKey extends SigningKey, Span {
  readonly set: 'id_token' | 'access_token';
  readonly publicKey: KeyObject;
}

/** Everything that a Keyring is made of. */
export interface KeyMaterial {
  readonly issuer: string;
  readonly dataKeys: readonly GroupKey[];
  readonly refreshMacKeys: readonly SecretKey[];
  readonly peppers: readonly SecretKey[];
  readonly signingKeys: readonly PublishedKey[];
}

const refreshMacBytes = 16;

/**
 * The keys in force at the moment `nowMs` (database time). Seals, signs and hashes with the newest
 * active key of its kind; opens and verifies with every one that has not expired, published ahead
 * of use included. `unknownKid` is told when something names a key that is not here; it must bound
 * what it does by itself, since anybody can write a kid. Throws RangeError where no key is active.
 */
export function createKeyring(
  material: KeyMaterial,
  nowMs: number,
  sealer: Sealer,
  unknownKid: () => void = () => {},
): Keyring {
  const known = <K extends Span>(keys: readonly K[]) =>
    keys.filter((key) => key.expiresAtMs === undefined || key.expiresAtMs > nowMs);
  const groupKeys = known(material.dataKeys);
  const dataKeys = new Map(groupKeys.map((key) => [Number.parseInt(key.kid, 16), key]));
  const macs = known(material.refreshMacKeys);
  const macKeys = new Map(macs.map((key) => [key.kid, key.secret]));
  const peppers = known(material.peppers);
  const pepperKeys = new Map(peppers.map((key) => [key.kid, key.secret]));
  const published = newestFirst(known(material.signingKeys));
  const publishedKeys = new Map<string, VerificationKey>(published.map((key) => [key.kid, key]));
  const active = published.filter((key) => key.activeAtMs <= nowMs);
  const signing = new Map<string, SigningKey>();
  for (const key of [...active].reverse()) signing.set(`${key.set} ${key.alg}`, key);
  const purposes = purposeTable(material.issuer, groupKeys, dataKeys, nowMs, unknownKid);

  return {
    seal(purpose, plaintext) {
      const { data, sealWith } = purposes[purpose];
      return sealer.seal(sealWith, data, plaintext);
    },
    open(purpose, text) {
      const { data, keyOf } = purposes[purpose];
      return sealer.open(keyOf, data, text);
    },
    refreshMacKid: newestActive(macs, nowMs, 'refresh MAC').kid,
    refreshMac(kid, bytes) {
      return hmac(macKeys.get(kid), bytes, unknownKid)?.subarray(0, refreshMacBytes);
    },
    pepperKid: newestActive(peppers, nowMs, 'pepper').kid,
    pepper: (kid, bytes) => hmac(pepperKeys.get(kid), bytes, unknownKid),
    signingKey: (set: 'id_token' | 'access_token', alg: SigningAlg) => signing.get(`${set} ${alg}`),
    verificationKey(kid) {
      const key = publishedKeys.get(kid);
      if (key === undefined) unknownKid();
      return key;
    },
    jwks: JSON.stringify({ keys: inOrder(published).map((key) => publicJwk(key)) }),
  };
}

interface PurposeKeys {
  readonly data: AssociatedData;
  readonly sealWith: DataKey;
  readonly keyOf: (kid: number) => DataKey | undefined;
}

function purposeTable(
  issuer: string,
  keys: readonly GroupKey[],
  byKid: ReadonlyMap<number, GroupKey>,
  nowMs: number,
  unknownKid: () => void,
): Readonly<Record<SealPurpose, PurposeKeys>> {
  const of = (purpose: SealPurpose): PurposeKeys => {
    const group = sealGroups[purpose];
    const ofGroup = keys.filter((key) => key.group === group);
    return {
      data: associatedData(purpose, issuer),
      sealWith: newestActive(ofGroup, nowMs, group),
      keyOf(kid) {
        const key = byKid.get(kid);
        if (key === undefined) unknownKid();
        return key?.group === group ? key : undefined;
      },
    };
  };
  return {
    login_challenge: of('login_challenge'),
    login_verifier: of('login_verifier'),
    consent_challenge: of('consent_challenge'),
    consent_verifier: of('consent_verifier'),
    logout_challenge: of('logout_challenge'),
    logout_verifier: of('logout_verifier'),
    page: of('page'),
    code: of('code'),
    access_token: of('access_token'),
    session_cookie: of('session_cookie'),
  };
}

function hmac(
  key: KeyObject | undefined,
  bytes: Uint8Array,
  unknownKid: () => void,
): Buffer | undefined {
  if (key === undefined) {
    unknownKid();
    return undefined;
  }
  return createHmac('sha256', key).update(bytes).digest();
}

// Relying parties that choose by kty alone take the first: of the RSA keys that is RS256.
function inOrder(keys: readonly PublishedKey[]): PublishedKey[] {
  return signingAlgs.flatMap((alg) => keys.filter((key) => key.alg === alg));
}

// The kid breaks ties, so that every node picks the same key.
function newestFirst<K extends Span & { readonly kid: string }>(keys: readonly K[]): K[] {
  return [...keys].sort((a, b) => b.activeAtMs - a.activeAtMs || (a.kid < b.kid ? 1 : -1));
}

function newestActive<K extends Span & { readonly kid: string }>(
  keys: readonly K[],
  nowMs: number,
  what: string,
): K {
  const [newest] = newestFirst(keys.filter((key) => key.activeAtMs <= nowMs));
  if (newest === undefined) throw new RangeError(`no active ${what} key`);
  return newest;
}
