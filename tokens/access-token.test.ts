import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AccessToken,
  accessTokenPrefix,
  openAccessToken,
  sealAccessToken,
} from './access-token.ts';
import { randomKeyMaterial } from './material.ts';
import { createKeyring } from './ring.ts';
import { createSealer } from './seal.ts';

const ring = createKeyring(randomKeyMaterial('https://op.example', 1000), 2000, createSealer());

const text = fc.string({ unit: 'binary', maxLength: 100 });
const id = fc.oneof(fc.uuid(), fc.constant(''));
const number = fc.maxSafeNat().map((value) => value % 2 ** 48);
const token: fc.Arbitrary<AccessToken> = fc.record({
  id: fc.uuid(),
  chainId: id,
  grantId: id,
  grantVersion: fc.integer({ min: 0, max: 0x7fff_ffff }),
  sessionId: id,
  online: fc.boolean(),
  loginBorn: number,
  grantBorn: number,
  issuedAt: number,
  expiresAt: number,
  clientId: text,
  subject: text,
  obfuscatedSubject: text,
  scope: fc.array(text, { maxLength: 5 }),
  audience: fc.array(text, { maxLength: 5 }),
  ext: fc.option(text, { nil: undefined }),
  extByReference: fc.boolean(),
  userinfo: fc.option(text, { nil: undefined }),
  userinfoByReference: fc.boolean(),
});
const [example] = fc.sample(token, { numRuns: 1, seed: 7 });
if (example === undefined) throw new Error('fast-check gave no token');
const sealed = sealAccessToken(ring, example);

test('what was sealed is opened again, and no two seals of one token are equal', () => {
  fc.assert(
    fc.property(token, (given) => {
      const one = sealAccessToken(ring, given);
      expect(openAccessToken(ring, one)).toEqual(given);
      expect(sealAccessToken(ring, given)).not.toBe(one);
    }),
  );
});

describe('security 19: what was not sealed here as an access token is none', () => {
  test('any single bit flipped', () => {
    const bytes = Buffer.from(sealed.slice(accessTokenPrefix.length), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const one = accessTokenPrefix + flipped.toString('base64url');
      expect(openAccessToken(ring, one), `bit ${bit}`).toBeUndefined();
    }
  });

  test('truncated, extended or without its prefix', () => {
    for (let length = 0; length < sealed.length; length += 3) {
      expect(openAccessToken(ring, sealed.slice(0, length))).toBeUndefined();
    }
    for (const more of ['A', '=', ' ', '.', sealed]) {
      expect(openAccessToken(ring, sealed + more), more).toBeUndefined();
    }
    expect(openAccessToken(ring, sealed.slice(accessTokenPrefix.length))).toBeUndefined();
    expect(openAccessToken(ring, sealed)).toEqual(example);
  });

  test('sealed for another purpose, though by the same ring', () => {
    const bytes = ring.open('access_token', sealed.slice(accessTokenPrefix.length));
    if (bytes === undefined) throw new Error('the token does not open');
    for (const purpose of ['code', 'login_verifier', 'session_cookie'] as const) {
      const swapped = accessTokenPrefix + ring.seal(purpose, bytes);
      expect(openAccessToken(ring, swapped), purpose).toBeUndefined();
    }
    expect(openAccessToken(ring, accessTokenPrefix + ring.seal('access_token', bytes))).toEqual(
      example,
    );
  });

  test('sealed for another issuer, or by another deployment', () => {
    const material = randomKeyMaterial('https://op.example', 1000);
    const here = createKeyring(material, 2000, createSealer());
    const there = createKeyring(
      { ...material, issuer: 'https://other.example' },
      2000,
      createSealer(),
    );
    expect(openAccessToken(there, sealAccessToken(here, example))).toBeUndefined();
    expect(openAccessToken(here, sealed)).toBeUndefined();
  });

  test('arbitrary text, and arbitrary bytes sealed as a token, without ever throwing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (other) => {
        expect(openAccessToken(ring, other)).toBeUndefined();
        expect(openAccessToken(ring, accessTokenPrefix + other)).toBeUndefined();
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const one = accessTokenPrefix + ring.seal('access_token', bytes);
        expect(openAccessToken(ring, one)).toBeUndefined();
      }),
    );
  });
});
