import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { randomKeyMaterial } from './material.ts';
import { makeRefreshToken, readRefreshToken, refreshTokenPrefix } from './refresh-token.ts';
import { createKeyring } from './ring.ts';
import { createSealer } from './seal.ts';

const material = randomKeyMaterial('https://op.example', 1000);
const ring = createKeyring(material, 2000, createSealer());
const stranger = createKeyring(randomKeyMaterial('https://op.example', 1000), 2000, createSealer());
const macKid = ring.refreshMacKid;
const token = fc.record({
  chainId: fc.uuid(),
  generation: fc.integer({ min: 0, max: 0xffff_ffff }),
  macKid: fc.constant(macKid),
});

function made(given: { chainId: string; generation: number; macKid: string }): string {
  const text = makeRefreshToken(ring, given);
  if (text === undefined) throw new Error('the MAC key is not known');
  return text;
}

test('what was made is read back, and the same token is made again (hot path 4)', () => {
  fc.assert(
    fc.property(token, (given) => {
      const text = made(given);
      expect(readRefreshToken(ring, text)).toEqual(given);
      expect(made(given)).toBe(text);
    }),
  );
});

test('two generations of one chain have nothing but the chain in common', () => {
  const chainId = crypto.randomUUID();
  expect(made({ chainId, generation: 1, macKid })).not.toBe(
    made({ chainId, generation: 2, macKid }),
  );
});

test('it is short: under 80 characters', () => {
  const text = made({ chainId: crypto.randomUUID(), generation: 7, macKid });
  expect(text.length).toBeLessThan(80);
  expect(text.startsWith(refreshTokenPrefix)).toBe(true);
});

describe('security 19: what was not made here is no refresh token', () => {
  const right = made({ chainId: crypto.randomUUID(), generation: 3, macKid });

  test('any single bit flipped', () => {
    const bytes = Buffer.from(right.slice(refreshTokenPrefix.length), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const text = refreshTokenPrefix + flipped.toString('base64url');
      expect(readRefreshToken(ring, text), `bit ${bit}`).toBeUndefined();
    }
  });

  test('truncated, extended, re-encoded or without its prefix', () => {
    for (let length = 0; length < right.length; length++) {
      expect(readRefreshToken(ring, right.slice(0, length))).toBeUndefined();
    }
    for (const more of ['A', '=', '==', ' ', '\n', '.', right]) {
      expect(readRefreshToken(ring, right + more), more).toBeUndefined();
    }
    expect(readRefreshToken(ring, right.slice(refreshTokenPrefix.length))).toBeUndefined();
    expect(readRefreshToken(ring, `gh_at_${right.slice(6)}`)).toBeUndefined();
    expect(readRefreshToken(ring, right)).toBeDefined();
  });

  test('made by another deployment', () => {
    expect(readRefreshToken(stranger, right)).toBeUndefined();
  });

  test('arbitrary text and arbitrary bytes, without ever throwing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(readRefreshToken(ring, text)).toBeUndefined();
        expect(readRefreshToken(ring, refreshTokenPrefix + text)).toBeUndefined();
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = refreshTokenPrefix + Buffer.from(bytes).toString('base64url');
        expect(readRefreshToken(ring, text)).toBeUndefined();
      }),
    );
  });
});

test('after a rotation of the MAC key an old token is read, and its successor is made as before', () => {
  const [first] = material.refreshMacKeys;
  if (first === undefined) throw new Error('no MAC key');
  const [other] = randomKeyMaterial('https://op.example', 1500).refreshMacKeys;
  if (other === undefined) throw new Error('no MAC key');
  const rotated = createKeyring(
    { ...material, refreshMacKeys: [first, other] },
    2000,
    createSealer(),
  );
  expect(rotated.refreshMacKid).toBe(other.kid);
  const old = { chainId: crypto.randomUUID(), generation: 1, macKid: first.kid };
  expect(makeRefreshToken(rotated, old)).toBe(made(old));
  expect(readRefreshToken(rotated, made(old))).toEqual(old);
  const gone = createKeyring({ ...material, refreshMacKeys: [other] }, 2000, createSealer());
  expect(readRefreshToken(gone, made(old))).toBeUndefined();
  expect(makeRefreshToken(gone, old)).toBeUndefined();
});
