import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openFeed } from '#server/feed.ts';
import { keyRoutes } from '#server/http/admin/keys.ts';
import { openKeys } from '#server/keys/keys.ts';
import { idTokenSet } from '#server/keys/slots.ts';
import type { Node } from '#server/node.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { openDatabase } from '#server/store/database.ts';
import { createTestDatabase } from '#server/testing/harness.ts';
import { signJws, verifyJws } from '#tokens/jws.ts';

let node: Pick<Node, 'database' | 'feed' | 'keys' | 'log'>;
let cleanUp: () => Promise<void>;

beforeAll(async () => {
  const testDatabase = await createTestDatabase();
  const dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-keys-'));
  const url = testDatabase.urls.server;
  const log = createLog({ level: 'silent' });
  const metrics = createMetrics();
  const database = openDatabase({
    url,
    applicationName: 'gatehouse-pool',
    connectionsMax: 4,
    connectMsMax: 2000,
    statementMsMax: 10_000,
  });
  const config = {
    issuer: 'https://issuer.example',
    dataDir,
    keyRotationDays: 90,
    flowSeconds: 1800,
    codeSeconds: 600,
    accessTokenSeconds: 3600,
    idTokenSeconds: 3600,
    refreshTokenSeconds: 2_592_000,
  };
  const keys = await openKeys({ database, config, log, metrics });
  const feed = await openFeed({
    url,
    database,
    factsMax: 1000,
    log,
    metrics,
    onClientChanged: () => {},
    onKeysChanged: () => void keys.reload(),
  });
  node = { database, feed, keys, log };
  cleanUp = async () => {
    keys.close();
    await feed.close();
    await database.close();
    await testDatabase.close();
    await rm(dataDir, { recursive: true, force: true });
  };
});

afterAll(() => cleanUp());

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
