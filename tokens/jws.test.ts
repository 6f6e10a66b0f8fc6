import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import fc from 'fast-check';
import { compactVerify, createLocalJWKSet, exportJWK, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { halfHash, jwsCharsMax, signingAlgs, signJws, verifyJws } from '#tokens/jws.ts';
import type { SigningKey } from '#tokens/keyring.ts';
import { randomKeyMaterial } from '#tokens/material.ts';
import { createKeyring } from '#tokens/ring.ts';
import { createSealer } from '#tokens/seal.ts';

const ring = createKeyring(randomKeyMaterial('https://issuer.example', 0), 0, createSealer());
const claims = { iss: 'https://issuer.example', sub: 'ana', iat: 1700000000 };
const verify = (token: string, typ = 'JWT') => verifyJws(ring.verificationKey, token, { typ });

function keyFor(alg: SigningKey['alg']): SigningKey {
  const key = ring.signingKey('id_token', alg);
  if (key === undefined) throw new Error(`no key for ${alg}`);
  return key;
}

/** A token whose header says what it likes, signed with the ES256 key as it should be. */
function withHeader(header: Readonly<Record<string, unknown>>, payload: unknown = claims): string {
  const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const input = `${encode(header)}.${encode(payload)}`;
  const { privateKey } = keyFor('ES256');
  const options = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${input}.${sign('sha256', Buffer.from(input), options).toString('base64url')}`;
}

const good = { alg: 'ES256', typ: 'JWT', kid: keyFor('ES256').kid };

describe.each(signingAlgs)('%s', (alg) => {
  test('what is signed verifies here and with jose', async () => {
    const token = await signJws(keyFor(alg), { typ: 'JWT' }, claims);
    expect(verify(token)).toEqual(claims);
    const { protectedHeader } = await compactVerify(
      token,
      createLocalJWKSet(JSON.parse(ring.jwks)),
    );
    expect(protectedHeader).toEqual({ alg, typ: 'JWT', kid: keyFor(alg).kid });
  });

  test('what jose signs verifies here', async () => {
    const { kid, privateKey } = keyFor(alg);
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg, kid, typ: 'application/jwt' })
      .sign(privateKey);
    expect(verify(token)).toEqual(claims);
  });

  test('security 19: no flipped bit, cut or added character verifies', async () => {
    const token = await signJws(keyFor(alg), { typ: 'JWT' }, claims);
    expect(verify(token)).toEqual(claims);
    for (let at = 0; at < token.length; at += 7) {
      const other = token[at] === 'A' ? 'B' : 'A';
      expect(verify(token.slice(0, at) + other + token.slice(at + 1))).toBeUndefined();
    }
    // the last character holds padding bits that a lenient decoder would not see
    for (const last of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
      if (last !== token.at(-1)) expect(verify(token.slice(0, -1) + last)).toBeUndefined();
    }
    for (const extra of ['=', '.', '.AAAA', ' ', '\n', 'A']) {
      expect(verify(token + extra)).toBeUndefined();
      expect(verify(extra + token)).toBeUndefined();
    }
  });
});

test('control: a header made by hand verifies if it is right', () => {
  expect(verify(withHeader(good))).toEqual(claims);
});

test('security 28: alg none, RS to HS, a public key used as HMAC key, another alg of the key', () => {
  const [head, body] = withHeader({ ...good, alg: 'none' }).split('.');
  expect(verify(`${head}.${body}.`)).toBeUndefined();
  for (const alg of ['none', 'HS256', 'RS256', 'PS256', 'ES384', 'EdDSA', '', undefined, 7]) {
    expect(verify(withHeader({ ...good, alg }))).toBeUndefined();
  }
  const rsa = keyFor('RS256');
  const publicKey = ring.verificationKey(rsa.kid)?.publicKey;
  const spki = publicKey?.export({ format: 'pem', type: 'spki' }) ?? '';
  const input = [{ alg: 'HS256', typ: 'JWT', kid: rsa.kid }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const mac = createHmac('sha256', spki).update(input).digest('base64url');
  expect(verify(`${input}.${mac}`)).toBeUndefined();
});

test('security 28: a PS256 signature by an RS256 key is refused', async () => {
  const { kid, privateKey } = keyFor('RS256');
  const header = (alg: string) => new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'JWT' });
  expect(verify(await header('RS256').sign(privateKey))).toEqual(claims);
  expect(verify(await header('PS256').sign(privateKey))).toBeUndefined();
});

test('security 29: jku, x5u, x5c and an embedded jwk are ignored', async () => {
  const named = { jku: 'https://evil.example/jwks', x5u: 'https://evil.example/x5u', x5c: ['AA'] };
  expect(verify(withHeader({ ...good, ...named }))).toEqual(claims);
  const evil = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = await exportJWK(evil.publicKey);
  const forged = (kid: string) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid, jwk })
      .sign(evil.privateKey);
  expect(verify(await forged(good.kid))).toBeUndefined();
  expect(verify(await forged('evil'))).toBeUndefined();
});

test.each([
  ['missing', undefined],
  ['unknown', 'nobody'],
  ['empty', ''],
  ['a number', 7],
  ['null', null],
  ['an array', [good.kid]],
  ['an object', { kid: good.kid }],
  ['a path', '../../keys'],
  ['__proto__', '__proto__'],
  ['very long', 'k'.repeat(256)],
])('security 29: a kid that is %s is refused', (_, kid) => {
  expect(verify(withHeader({ ...good, kid }))).toBeUndefined();
});

test('RFC 7515 §4.1.11: crit, and b64 with it, are refused', () => {
  expect(verify(withHeader({ ...good, crit: ['exp'], exp: 1 }))).toBeUndefined();
  expect(verify(withHeader({ ...good, crit: ['b64'], b64: true }))).toBeUndefined();
  expect(verify(withHeader({ ...good, b64: true }))).toBeUndefined();
});

test('security 30: typ decides', () => {
  expect(verify(withHeader({ ...good, typ: 'at+jwt' }), 'at+jwt')).toEqual(claims);
  expect(verify(withHeader({ ...good, typ: 'application/AT+JWT' }), 'at+jwt')).toEqual(claims);
  for (const typ of ['JWT', 'logout+jwt', 'at+jwt ', 'at', '', undefined, null, 7, ['at+jwt']]) {
    expect(verify(withHeader({ ...good, typ }), 'at+jwt')).toBeUndefined();
  }
  expect(verify(withHeader({ ...good, typ: 'at+jwt' }), 'JWT')).toBeUndefined();
});

test('a payload that is not a JSON object is refused', () => {
  for (const payload of [null, 7, 'text', [claims]]) {
    expect(verify(withHeader(good, payload))).toBeUndefined();
  }
});

test('arbitrary text never throws, and length is bounded', () => {
  fc.assert(
    fc.property(fc.array(fc.base64String(), { maxLength: 5 }), (parts) => {
      expect(verify(parts.join('.'))).toBeUndefined();
    }),
  );
  expect(verify(withHeader(good, { text: 'a'.repeat(40_000) }))).toBeDefined();
  expect(verify(withHeader(good, { text: 'a'.repeat(jwsCharsMax) }))).toBeUndefined();
});

test('OIDC Core §3.1.3.6: at_hash is the left half of the hash of the algorithm', () => {
  // OIDC Core appendix A.3 shows this pair
  expect(halfHash('RS256', 'jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y')).toBe(
    '77QmUPtjPfzWtF2AnpK9RQ',
  );
  expect(Buffer.from(halfHash('EdDSA', 'token'), 'base64url')).toHaveLength(32);
});
