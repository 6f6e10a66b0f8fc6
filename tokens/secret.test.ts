import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { argon2id } from '#server/argon2.ts';
import type { Keyring } from './keyring.ts';
import {
  adminSecretHash,
  clientSecretCharsMax,
  createSecretVerifier,
  hashSecret,
  newAdminSecret,
  newClientSecret,
  type SecretHash,
  secretFault,
  slowChecksInFlightMax,
  slowChecksWaitingMax,
} from './secret.ts';

/** A ring as far as secrets go: two peppers, the second in force. */
function ringOf(...kids: readonly string[]): Keyring {
  const nothing = () => undefined;
  return {
    seal: () => '',
    open: nothing,
    refreshMacKid: '',
    refreshMac: nothing,
    pepperKid: kids.at(-1) ?? '',
    pepper: (kid, data) =>
      kids.includes(kid) ? createHmac('sha256', kid).update(data).digest() : undefined,
    signingKey: nothing,
    verificationKey: nothing,
    jwks: '',
  };
}
const ring = ringOf('old', 'new');

test('secrets that we make are 256 random bits and say what they are', () => {
  expect(newClientSecret()).toMatch(/^gh_cs_[\w-]{43}$/);
  expect(newAdminSecret()).toMatch(/^gh_ad_[\w-]{43}$/);
  expect(newClientSecret()).not.toBe(newClientSecret());
  expect(adminSecretHash('x')).toHaveLength(32);
});

test.each<[unknown, string | undefined]>([
  ['six666', undefined],
  ['pässwörd ok', undefined],
  ['five5', '6 to 512'],
  ['', '6 to 512'],
  ['x'.repeat(clientSecretCharsMax + 1), '6 to 512'],
  ['with\nline', 'control'],
  ['with\0nul', 'control'],
  [`with ${String.fromCharCode(0xd800)}`, 'broken'],
  [123456, 'string'],
])('the chosen secret %j: %s', (secret, fault) => {
  if (fault === undefined) expect(secretFault(secret)).toBeUndefined();
  else expect(secretFault(secret)).toContain(fault);
});

describe('a random secret', () => {
  test('is hashed fast under the pepper in force, bound to its client', async () => {
    const verifier = createSecretVerifier(argon2id);
    const secret = newClientSecret();
    const hash = await hashSecret(ring, 'app', secret, argon2id);
    expect(hash).toMatchObject({ scheme: 'hmac', pepperKid: 'new' });
    expect(hash.hash).toHaveLength(32);
    expect(verifier.verify(ring, 'app', [hash], secret)).toBe('right');
    expect(verifier.verify(ring, 'other', [hash], secret)).toBe('wrong');
    expect(verifier.verify(ring, 'app', [hash], `${secret}x`)).toBe('wrong');
    expect(verifier.verify(ring, 'app', [hash], secret.slice(0, -1))).toBe('wrong');
    expect(verifier.verify(ring, 'app', [], secret)).toBe('wrong');
    expect(verifier.verify(ringOf('else'), 'app', [hash], secret)).toBe('wrong');
  });

  test('of an older pepper, or rotated, is still right', async () => {
    const secrets = [newClientSecret(), newClientSecret()] as const;
    const hashes = [
      await hashSecret(ring, 'app', secrets[0], argon2id),
      await hashSecret(ringOf('old'), 'app', secrets[1], argon2id),
    ];
    const verifier = createSecretVerifier(argon2id);
    for (const secret of secrets) {
      expect(verifier.verify(ring, 'app', hashes, secret)).toBe('right');
    }
  });

  test('security 32: a blank or endless one is wrong, whatever is stored', async () => {
    const verifier = createSecretVerifier(argon2id);
    const blank: SecretHash = await hashSecret(ring, 'app', '', argon2id);
    expect(await verifier.verify(ring, 'app', [blank], '')).toBe('wrong');
    expect(verifier.verify(ring, 'app', [], 'x'.repeat(clientSecretCharsMax + 1))).toBe('wrong');
  });
});

describe('a short chosen secret', () => {
  test('is hashed slowly, and remembered once it was right', async () => {
    const verifier = createSecretVerifier(argon2id);
    const hash = await hashSecret(ring, 'app', 'correct horse', argon2id);
    expect(hash.hash.toString()).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(hash.scheme).toBe('argon2id');
    expect(await verifier.verify(ring, 'app', [hash], 'wrong horse')).toBe('wrong');
    expect(await verifier.verify(ring, 'app', [hash], 'correct horse')).toBe('right');
    // The second time no slow check is needed: it still answers when all lanes are taken.
    const flood = floodOf(verifier, hash);
    expect(await verifier.verify(ring, 'app', [hash], 'correct horse')).toBe('right');
    await flood;
  });

  test('of a hash that is gone is forgotten with it', async () => {
    const verifier = createSecretVerifier(argon2id);
    const first = await hashSecret(ring, 'app', 'correct horse', argon2id);
    expect(await verifier.verify(ring, 'app', [first], 'correct horse')).toBe('right');
    const second = await hashSecret(ring, 'app', 'other horse', argon2id);
    expect(await verifier.verify(ring, 'app', [second], 'correct horse')).toBe('wrong');
  });

  test('security 34: slow checks are bounded in number, above that nothing is decided', async () => {
    const verifier = createSecretVerifier(argon2id);
    const hash = await hashSecret(ring, 'app', 'correct horse', argon2id);
    const verdicts = await floodOf(verifier, hash);
    expect(verdicts.filter((verdict) => verdict === 'right')).toEqual([]);
    expect(verdicts.filter((verdict) => verdict === 'busy')).toHaveLength(5);
  });

  test('security 35: who guesses at one client holds up no other', async () => {
    const verifier = createSecretVerifier(argon2id);
    const hash = await hashSecret(ring, 'app', 'correct horse', argon2id);
    const mine = await hashSecret(ring, 'mine', 'battery staple', argon2id);
    const guesses = Array.from({ length: 60 }, (_, n) =>
      verifier.verify(ring, 'app', [hash], `guess-${n}`),
    );
    expect(await verifier.verify(ring, 'mine', [mine], 'battery staple')).toBe('right');
    expect((await Promise.all(guesses)).filter((one) => one === 'wrong')).toHaveLength(4);
  });

  test('the same check runs once, however many ask for it', async () => {
    const verifier = createSecretVerifier(argon2id);
    const hash = await hashSecret(ring, 'app', 'correct horse', argon2id);
    const verdicts = await Promise.all(
      Array.from({ length: 200 }, () => verifier.verify(ring, 'app', [hash], 'correct horse')),
    );
    expect(new Set(verdicts)).toEqual(new Set(['right']));
  });
});

function floodOf(verifier: ReturnType<typeof createSecretVerifier>, hash: SecretHash) {
  const count = slowChecksInFlightMax + slowChecksWaitingMax + 5;
  return Promise.all(
    Array.from({ length: count }, (_, n) =>
      verifier.verify(ring, `app-${n}`, [hash], `guess-${n}`),
    ),
  );
}
