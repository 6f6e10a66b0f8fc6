import { createSecretKey, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Keyring, SealPurpose } from '#tokens/keyring.ts';
import { newSecret, newSecretKid, randomKeyMaterial } from '#tokens/material.ts';
import { createKeyring, type KeyMaterial, sealGroups } from '#tokens/ring.ts';
import { createSealer } from '#tokens/seal.ts';

const issuer = 'https://issuer.example';
const material = randomKeyMaterial(issuer, 1000);
const sealer = createSealer();
const ring = createKeyring(material, 1000, sealer);
const purposes = Object.keys(sealGroups).filter((name): name is SealPurpose => name in sealGroups);
const plaintext = Buffer.from('decided');

/** The same keys with one more data key for codes. */
function withCodeKey(activeAtMs: number, expiresAtMs?: number): KeyMaterial {
  const added = {
    kid: newSecretKid(),
    secret: newSecret(),
    group: 'code',
    activeAtMs,
    expiresAtMs,
  } as const;
  return { ...material, dataKeys: [...material.dataKeys, added] };
}

function sealedKid(of: Keyring): string {
  return Buffer.from(of.seal('code', plaintext), 'base64url').toString('hex', 1, 5);
}

describe('keyring', () => {
  test('security 19: what is sealed for one purpose opens for no other', () => {
    for (const purpose of purposes) {
      const text = ring.seal(purpose, plaintext);
      expect(ring.open(purpose, text)).toEqual(plaintext);
      for (const other of purposes.filter((name) => name !== purpose)) {
        expect(ring.open(other, text)).toBeUndefined();
      }
    }
  });

  test('another issuer with the same keys opens nothing', () => {
    const other = createKeyring({ ...material, issuer: 'https://b.example' }, 1000, sealer);
    expect(other.open('code', ring.seal('code', plaintext))).toBeUndefined();
  });

  test('a key published ahead opens before it seals; the earlier one opens until it expires', () => {
    const rotated = withCodeKey(5000);
    const added = rotated.dataKeys.at(-1)?.kid;
    const before = createKeyring(rotated, 4999, sealer);
    const after = createKeyring(rotated, 5000, sealer);
    expect(sealedKid(before)).not.toBe(added);
    expect(sealedKid(after)).toBe(added);
    expect(before.open('code', after.seal('code', plaintext))).toEqual(plaintext);
    expect(after.open('code', before.seal('code', plaintext))).toEqual(plaintext);
    expect(ring.open('code', after.seal('code', plaintext))).toBeUndefined();
  });

  test('an expired key neither seals nor opens', () => {
    const rotated = withCodeKey(2000, 3000);
    const text = createKeyring(rotated, 2500, sealer).seal('code', plaintext);
    expect(createKeyring(rotated, 2999, sealer).open('code', text)).toEqual(plaintext);
    expect(createKeyring(rotated, 3000, sealer).open('code', text)).toBeUndefined();
  });

  test('without an active key of a kind there is no ring', () => {
    expect(() => createKeyring(material, 999, sealer)).toThrow(RangeError);
  });

  test('whoever is told of unknown kids hears of them, and not of known ones', () => {
    const heard: string[] = [];
    const listening = createKeyring(material, 1000, sealer, () => heard.push('unknown'));
    listening.open('code', ring.seal('code', plaintext));
    listening.refreshMac(listening.refreshMacKid, plaintext);
    listening.open('code', 'not sealed at all');
    expect(heard).toEqual([]);
    const foreign = createKeyring(randomKeyMaterial(issuer, 1000), 1000, createSealer());
    listening.open('code', foreign.seal('code', plaintext));
    listening.verificationKey('nobody');
    listening.refreshMac('nobody', plaintext);
    listening.pepper('nobody', plaintext);
    expect(heard).toHaveLength(4);
  });

  test('MACs and peppers are under keys of their own, cut to 16 and left at 32 bytes', () => {
    const mac = ring.refreshMac(ring.refreshMacKid, plaintext);
    const pepper = ring.pepper(ring.pepperKid, plaintext);
    expect(mac).toHaveLength(16);
    expect(pepper).toHaveLength(32);
    expect(ring.refreshMac(ring.refreshMacKid, plaintext)).toEqual(mac);
    expect(ring.refreshMac(ring.pepperKid, plaintext)).toBeUndefined();
    expect(ring.pepper(ring.refreshMacKid, plaintext)).toBeUndefined();
  });

  test('a MAC key expires by kid', () => {
    const old = { kid: '0badcafe', secret: createSecretKey(randomBytes(32)), activeAtMs: 0 };
    const rotated = {
      ...material,
      refreshMacKeys: [...material.refreshMacKeys, { ...old, expiresAtMs: 2000 }],
    };
    const mac = (nowMs: number) =>
      createKeyring(rotated, nowMs, sealer).refreshMac(old.kid, plaintext);
    expect(mac(1999)).toHaveLength(16);
    expect(mac(2000)).toBeUndefined();
  });

  test('signing keys are chosen by set and algorithm', () => {
    expect(ring.signingKey('id_token', 'RS256')?.alg).toBe('RS256');
    expect(ring.signingKey('access_token', 'RS256')).toBeUndefined();
    const ids = [ring.signingKey('id_token', 'ES256'), ring.signingKey('access_token', 'ES256')];
    expect(new Set(ids.map((key) => key?.kid)).size).toBe(2);
  });

  test('security 53: the JWKS has public members only, and kid, use and alg on every key', () => {
    const { keys } = JSON.parse(ring.jwks) as { keys: Record<string, string>[] };
    expect(keys).toHaveLength(material.signingKeys.length);
    expect(keys[0]?.alg).toBe('RS256');
    const members = new Set(keys.flatMap((key) => Object.keys(key)));
    expect([...members].sort()).toEqual(
      ['alg', 'crv', 'e', 'kid', 'kty', 'n', 'use', 'x', 'y'].sort(),
    );
    for (const key of keys) {
      expect(key.use).toBe('sig');
      expect(ring.verificationKey(key.kid ?? '')?.alg).toBe(key.alg);
    }
    // control: the private members exist, in the key objects
    expect(material.signingKeys[0]?.privateKey.export({ format: 'jwk' }).d).toBeTypeOf('string');
  });
});
