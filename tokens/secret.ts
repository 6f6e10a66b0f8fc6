import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Keyring } from './keyring.ts';

export type SecretScheme = 'hmac' | 'argon2id';

/** How one client secret is stored: never the secret. */
export interface SecretHash {
  readonly scheme: SecretScheme;
  /** The pepper under which an `hmac` was made; undefined for argon2id. */
  readonly pepperKid: string | undefined;
  /** 32 bytes for `hmac`; the encoded argon2id text for `argon2id`. */
  readonly hash: Buffer;
}

/** A slow hash for secrets that people chose; the server brings argon2id (server/argon2.ts). */
export interface SlowHash {
  /** The encoded hash with its salt and parameters, as bytes. */
  hash(secret: string): Promise<Buffer>;
  verify(encoded: Buffer, secret: string): Promise<boolean>;
}

/** What a check found. `busy`: too many slow checks are under way, nothing was decided. */
export type SecretVerdict = 'right' | 'wrong' | 'busy';

/** Checks client secrets of one process; see {@link createSecretVerifier}. */
export interface SecretVerifier {
  /** True at once, or in time where a slow hash is new to this process. Constant-time compares. */
  verify(
    ring: Keyring,
    clientId: string,
    hashes: readonly SecretHash[],
    secret: string,
  ): SecretVerdict | Promise<SecretVerdict>;
}

/** Shortest and longest client secret that may be chosen, in characters. Six is Hydra's bound. */
export const clientSecretCharsMin = 6;
export const clientSecretCharsMax = 512;
/** From this length on a secret is taken to be random, and hashed fast (hot path 11). */
const randomSecretCharsMin = 32;

/** Slow checks in flight in one process: each takes 19 MiB and a thread for some 20 ms. */
export const slowChecksInFlightMax = 2;
/** Slow checks that may wait for their turn; over it the answer is `busy`. */
export const slowChecksWaitingMax = 32;
/** Slow checks of one client at a time: guessing at one leaves places for all others. */
export const slowChecksPerClientMax = 4;
/** Slow checks whose success is remembered. */
const rememberedMax = 10_000;

/** A new client secret: `gh_cs_` and 256 random bits. */
export function newClientSecret(): string {
  return `gh_cs_${randomBytes(32).toString('base64url')}`;
}

/** A new admin credential: `gh_ad_` and 256 random bits. */
export function newAdminSecret(): string {
  return `gh_ad_${randomBytes(32).toString('base64url')}`;
}

/** SHA-256 of an admin credential: it is random, so a fast hash without pepper hides it. */
export function adminSecretHash(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** What is wrong with a chosen client secret, as a sentence's end, or undefined. */
export function secretFault(secret: unknown): string | undefined {
  if (typeof secret !== 'string') return 'must be a string';
  if (secret.length < clientSecretCharsMin || secret.length > clientSecretCharsMax) {
    return `must have ${clientSecretCharsMin} to ${clientSecretCharsMax} characters`;
  }
  return secret.isWellFormed() && !/\p{Cc}/u.test(secret)
    ? undefined
    : 'must not have control or broken characters';
}

/**
 * Hashes a client secret for storage: HMAC-SHA-256 under the pepper in force for random ones, bound
 * to the client so that rows cannot be swapped; the slow hash for shorter ones.
 */
export async function hashSecret(
  ring: Keyring,
  clientId: string,
  secret: string,
  slowHash: SlowHash,
): Promise<SecretHash> {
  if (secret.length < randomSecretCharsMin) {
    return { scheme: 'argon2id', pepperKid: undefined, hash: await slowHash.hash(secret) };
  }
  const mac = ring.pepper(ring.pepperKid, secretBytes(clientId, secret));
  if (mac === undefined) throw new Error('the pepper in force is not in the keyring');
  return { scheme: 'hmac', pepperKid: ring.pepperKid, hash: mac };
}

/**
 * Makes the verifier of a process. A slow hash is checked once per secret and then remembered by
 * an HMAC under a key of this process over client, secret and hash, so a removed secret is
 * forgotten with its row. The same check is never run twice at a time. No hashes at all (an
 * unknown client) costs what one fast hash costs.
 */
export function createSecretVerifier(slowHash: SlowHash): SecretVerifier {
  const memoryKey = randomBytes(32);
  const remembered = new Set<string>();
  const underWay = new Map<string, Promise<SecretVerdict>>();
  const perClient = new Map<string, number>();
  const slow = slowLane();

  function remember(key: string): void {
    if (remembered.size >= rememberedMax) {
      const [oldest] = remembered;
      if (oldest !== undefined) remembered.delete(oldest);
    }
    remembered.add(key);
  }

  function checkSlowly(
    clientId: string,
    key: string,
    encoded: Buffer,
    secret: string,
  ): Promise<SecretVerdict> {
    const running = underWay.get(key);
    if (running !== undefined) return running;
    const others = perClient.get(clientId) ?? 0;
    if (others >= slowChecksPerClientMax) return Promise.resolve('busy');
    perClient.set(clientId, others + 1);
    const check = slow(() => slowHash.verify(encoded, secret)).then((verdict) => {
      if (verdict === 'right') remember(key);
      return verdict;
    });
    underWay.set(key, check);
    const done = () => {
      underWay.delete(key);
      const left = (perClient.get(clientId) ?? 1) - 1;
      if (left === 0) perClient.delete(clientId);
      else perClient.set(clientId, left);
    };
    check.then(done, done);
    return check;
  }

  async function anySlowly(
    clientId: string,
    hashes: readonly SecretHash[],
    secret: string,
  ): Promise<SecretVerdict> {
    let busy = false;
    for (const one of hashes) {
      const key = createHmac('sha256', memoryKey)
        .update(secretBytes(clientId, secret))
        .update(one.hash)
        .digest('base64');
      if (remembered.has(key)) return 'right';
      const verdict = await checkSlowly(clientId, key, one.hash, secret);
      if (verdict === 'right') return 'right';
      busy ||= verdict === 'busy';
    }
    return busy ? 'busy' : 'wrong';
  }

  return {
    verify(ring, clientId, hashes, secret) {
      if (secret === '' || secret.length > clientSecretCharsMax) return 'wrong';
      if (anyFast(ring, clientId, hashes, secret)) return 'right';
      const slowHashes = hashes.filter((one) => one.scheme === 'argon2id');
      return slowHashes.length === 0 ? 'wrong' : anySlowly(clientId, slowHashes, secret);
    },
  };
}

const noHash = Buffer.alloc(32);

/** Compares with all of them, without stopping at the first that fits. */
function anyFast(
  ring: Keyring,
  clientId: string,
  hashes: readonly SecretHash[],
  secret: string,
): boolean {
  const data = secretBytes(clientId, secret);
  let kid = ring.pepperKid;
  let mac = ring.pepper(kid, data);
  let right = false;
  for (const one of hashes) {
    if (one.scheme !== 'hmac') continue;
    if (one.pepperKid !== undefined && one.pepperKid !== kid) {
      kid = one.pepperKid;
      mac = ring.pepper(kid, data);
    }
    if (equalBytes(mac, one.hash)) right = true;
  }
  // An unknown client is compared too, so that it takes as long as a known one.
  if (hashes.length === 0) equalBytes(mac, noHash);
  return right;
}

function equalBytes(a: Buffer | undefined, b: Buffer): boolean {
  return a !== undefined && a.length === b.length && timingSafeEqual(a, b);
}

function secretBytes(clientId: string, secret: string): Buffer {
  return Buffer.from(`${clientId}\0${secret}`);
}

/** Runs a bounded number of checks at a time, queues a bounded number, and is busy above that. */
function slowLane(): (check: () => Promise<boolean>) => Promise<SecretVerdict> {
  const waiting: (() => void)[] = [];
  let inFlight = 0;
  return async (check) => {
    if (inFlight >= slowChecksInFlightMax) {
      if (waiting.length >= slowChecksWaitingMax) return 'busy';
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else inFlight += 1;
    try {
      return (await check()) ? 'right' : 'wrong';
    } finally {
      // The place is handed on; the count falls only when nobody waits for it.
      const next = waiting.shift();
      if (next === undefined) inFlight -= 1;
      else next();
    }
  };
}
