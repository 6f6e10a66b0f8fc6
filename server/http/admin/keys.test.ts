import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keyRoutes } from '#server/http/admin/keys.ts';
import { idTokenSet } from '#server/keys/slots.ts';
import type { Node } from '#server/node.ts';
import { openTestNode, type TestNode } from '#server/testing/node.ts';
import { signJws, verifyJws } from '#tokens/jws.ts';

let opened: TestNode;
let node: Node;

beforeAll(async () => {
  opened = await openTestNode();
  node = opened.node;
});

afterAll(() => opened.close());

async function put(path: string, body: unknown) {
  const response = await keyRoutes(node).request(`/admin/keys/${path}`, {
    method: 'PUT',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  const answer = (await response.json()) as Record<string, unknown>;
  return { status: response.status, answer };
}

function jwkOf(
  key: KeyObject,
  members: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return { ...key.export({ format: 'jwk' }), use: 'sig', ...members };
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });

test('an imported set signs in the place of the earlier one; other algorithms get new keys', async () => {
  const before = node.keys.current();
  const second = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { status, answer } = await put(idTokenSet, {
    keys: [
      jwkOf(rsa.privateKey, { alg: 'RS256', kid: 'first' }),
      jwkOf(second.privateKey, { alg: 'RS256', kid: 'second' }),
    ],
  });
  expect(status).toBe(200);
  expect(answer).toMatchObject({ keys: [{ kid: 'first' }, { kid: 'second' }] });
  expect(JSON.stringify(answer)).not.toContain('"d"');
  const after = node.keys.current();
  const key = after.signingKey('id_token', 'RS256');
  expect(key?.kid).toBe('first');
  const gone = before.signingKey('id_token', 'RS256')?.kid ?? '';
  expect(after.verificationKey(gone)).toBeUndefined();
  expect(after.signingKey('id_token', 'ES256')).toBeDefined();
  if (key === undefined) return;
  const token = await signJws(key, { typ: 'JWT' }, { sub: 'ana' });
  expect(verifyJws(after.verificationKey, token, { typ: 'JWT' })).toEqual({ sub: 'ana' });
});

test('one imported key joins its set under the kid of its body, and can be put again', async () => {
  const jwk = jwkOf(ec.privateKey, { alg: 'ES256', kid: 'mine' });
  for (let round = 0; round < 2; round += 1) {
    const { status, answer } = await put(`${idTokenSet}/ignored`, jwk);
    expect(status).toBe(200);
    expect(answer).toMatchObject({ kid: 'mine', kty: 'EC', crv: 'P-256', use: 'sig' });
    expect(answer).not.toHaveProperty('d');
  }
  expect(node.keys.current().signingKey('id_token', 'ES256')?.kid).toBe('mine');
  expect(node.keys.current().signingKey('id_token', 'RS256')?.kid).toBe('first');
});

const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
const cheap = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 });
const other = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });

test.each([
  ['a public key', jwkOf(rsa.publicKey, { alg: 'RS256' }), /private JWK/],
  ['a symmetric key', { kty: 'oct', k: 'c2VjcmV0', alg: 'HS256', kid: 'x' }, /private JWK/],
  ['an unknown alg', jwkOf(rsa.privateKey, { alg: 'RS1' }), /alg must be one of/],
  ['no alg', jwkOf(rsa.privateKey, {}), /private JWK/],
  ['the alg of another kind', jwkOf(rsa.privateKey, { alg: 'ES256' }), /not one that ES256/],
  ['1024 bits', jwkOf(weak.privateKey, { alg: 'RS256' }), /2048 to 4096/],
  ['the exponent 3', jwkOf(cheap.privateKey, { alg: 'RS256' }), /2048 to 4096/],
  ['P-384', jwkOf(other.privateKey, { alg: 'ES256' }), /not one that ES256/],
  [
    'halves of two keys',
    jwkOf(stranger.privateKey, { alg: 'ES256', d: ec.privateKey.export({ format: 'jwk' }).d }),
    /not a valid private key|refuses/,
  ],
  [
    'a damaged RSA key',
    jwkOf(rsa.privateKey, { alg: 'RS256', dp: 'AQAB', p: 'AQAB', q: 'AQAB' }),
    /not a valid private key|refuses|2048/,
  ],
  ['text', 'secret', /private JWK/],
  ['null', null, /private JWK/],
])('importing is refused for %s', async (_, jwk, reason) => {
  const { status, answer } = await put(`${idTokenSet}/x`, jwk);
  expect(status).toBe(400);
  expect(answer.error_description).toMatch(reason);
  expect((await put(idTokenSet, { keys: [jwk] })).status).toBe(400);
});

test.each([
  ['no keys', { keys: [] }],
  [
    'one kid twice',
    { keys: ['RS256', 'PS256'].map((alg) => jwkOf(rsa.privateKey, { alg, kid: 'k' })) },
  ],
  ['21 keys', { keys: Array.from({ length: 21 }, () => ({})) }],
  ['nothing', null],
])('a set with %s is refused', async (_, body) => {
  expect((await put('own', body)).status).toBe(400);
});
