import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyRoutes } from '#server/http/admin/keys.ts';
import { discoveryRoutes } from '#server/http/discovery.ts';
import { accessTokenSet, idTokenSet } from '#server/keys/slots.ts';
import type { Node } from '#server/node.ts';
import { openTestNode, type TestNode } from '#server/testing/node.ts';

const env = { GATEHOUSE_ISSUER: 'https://id.example/tenant' };
let first: TestNode;
let second: TestNode;
let node: Node;
let other: Node;

beforeAll(async () => {
  first = await openTestNode({ env });
  second = await openTestNode({ env, beside: first });
  node = first.node;
  other = second.node;
});

afterAll(async () => {
  await second.close();
  await first.close();
});

type Json = Record<string, unknown>;
type Jwk = Record<string, string>;

async function jwksOf(part: Node): Promise<readonly Jwk[]> {
  const response = await discoveryRoutes(part).request('/.well-known/jwks.json');
  expect(response.status).toBe(200);
  const { keys } = (await response.json()) as { keys: Jwk[] };
  return keys;
}

async function admin(method: string, path: string, body?: unknown) {
  const response = await keyRoutes(node).request(`/admin/keys/${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const text = await response.text();
  const answer: Json = text === '' ? {} : JSON.parse(text);
  return { status: response.status, answer, keys: (answer.keys ?? []) as Jwk[] };
}

describe('metadata', () => {
  const paths = [
    '/.well-known/openid-configuration',
    '/.well-known/openid-configuration/tenant',
    '/.well-known/oauth-authorization-server',
    '/.well-known/oauth-authorization-server/tenant',
  ];
  const get = async (path: string): Promise<Json> => {
    const response = await discoveryRoutes(node).request(path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('cache-control')).toMatch(/^public, max-age=\d+$/);
    return (await response.json()) as Json;
  };

  test('RFC 8414 §3: both documents say the same, with the path of the issuer and without', async () => {
    const documents = await Promise.all(paths.map(get));
    for (const document of documents) expect(document).toEqual(documents[0]);
  });

  test('every endpoint is under the issuer, and the issuer is as it was set', async () => {
    const document = await get('/.well-known/openid-configuration');
    expect(document.issuer).toBe('https://id.example/tenant');
    const endpoints = Object.entries(document).filter(([name]) => /_endpoint$|_uri$/.test(name));
    expect(endpoints.map(([name]) => name).sort()).toEqual([
      'authorization_endpoint',
      'end_session_endpoint',
      'introspection_endpoint',
      'jwks_uri',
      'revocation_endpoint',
      'token_endpoint',
      'userinfo_endpoint',
    ]);
    for (const [, url] of endpoints) expect(url).toMatch(/^https:\/\/id\.example\/tenant\/[a-z.]/);
  });

  test('S256 is the only PKCE method, and nothing is null or empty', async () => {
    const document = await get('/.well-known/openid-configuration');
    expect(document.code_challenge_methods_supported).toEqual(['S256']);
    expect(document.id_token_signing_alg_values_supported).toContain('RS256');
    for (const value of Object.values(document)) {
      expect(value).not.toBeNull();
      expect(value).not.toBe('');
      if (Array.isArray(value)) expect(value.length).toBeGreaterThan(0);
    }
  });
});

describe('JWKS and the key doors', () => {
  test('security 53: the JWKS and every answer of the doors have public members only', async () => {
    const publicMembers = ['alg', 'crv', 'e', 'kid', 'kty', 'n', 'use', 'x', 'y'];
    const answers = [
      await jwksOf(node),
      (await admin('GET', idTokenSet)).keys,
      (await admin('POST', 'mine', { alg: 'RS256', use: 'enc', kid: '' })).keys,
      (await admin('GET', 'mine')).keys,
    ];
    for (const keys of answers) {
      expect(keys.length).toBeGreaterThan(0);
      for (const key of keys) {
        expect(publicMembers).toEqual(expect.arrayContaining(Object.keys(key)));
        expect(key.kid).toBeTypeOf('string');
        expect(key.use).toBeTypeOf('string');
        expect(key.alg).toBeTypeOf('string');
      }
    }
    for (const name of ['pepper', 'gatehouse.code', 'gatehouse.refresh', 'unknown-set']) {
      expect((await admin('GET', name)).status).toBe(404);
    }
    // control: the first three sets do have keys
    expect(node.keys.current().pepperKid).toMatch(/^[0-9a-f]{8}$/);
  });

  test('a new key signs at once, the old one stays published, and every node knows', async () => {
    const before = node.keys.current().signingKey('id_token', 'RS256')?.kid;
    const made = await admin('POST', idTokenSet, { alg: 'RS256', use: 'sig', kid: 'spring' });
    expect(made.status).toBe(201);
    expect(made.keys).toHaveLength(1);
    expect(made.keys[0]).toMatchObject({ kid: 'spring', alg: 'RS256', use: 'sig', kty: 'RSA' });
    expect(node.keys.current().signingKey('id_token', 'RS256')?.kid).toBe('spring');
    for (const part of [node, other]) {
      const kids = (await jwksOf(part)).map((key) => key.kid);
      expect(kids).toContain('spring');
      expect(kids).toContain(before);
    }
    expect(other.keys.current().signingKey('id_token', 'RS256')?.kid).toBe('spring');
    expect(
      (await admin('POST', idTokenSet, { alg: 'RS256', use: 'sig', kid: 'spring' })).status,
    ).toBe(409);
    expect(
      (await admin('POST', accessTokenSet, { alg: 'ES256', use: 'sig', kid: 'spring' })).status,
    ).toBe(409);
  });

  test.each([
    ['HS256', { alg: 'HS256', use: 'sig', kid: '' }, /one of RS256, PS256, ES256, EdDSA/],
    ['ES512', { alg: 'ES512', use: 'sig', kid: '' }, /one of/],
    ['no alg', { use: 'sig', kid: '' }, /alg, use/],
    ['another use', { alg: 'ES256', use: 'mac', kid: '' }, /alg, use/],
    ['use enc in a set that signs', { alg: 'ES256', use: 'enc', kid: '' }, /use must be sig/],
    ['a kid with spaces', { alg: 'ES256', use: 'sig', kid: 'a b' }, /kid/],
    ['a list', [], /alg, use/],
  ])('generating is refused for %s', async (_, body, reason) => {
    const { status, answer } = await admin('POST', idTokenSet, body);
    expect(status).toBe(400);
    expect(answer.error).toBe('invalid_request');
    expect(answer.error_description).toMatch(reason);
    expect(answer.status_code).toBe(400);
  });

  test('JWT access tokens are ES256, so their set takes nothing else', async () => {
    const body = { alg: 'RS256', use: 'sig', kid: '' };
    expect((await admin('POST', accessTokenSet, body)).status).toBe(400);
    expect((await admin('POST', accessTokenSet, { ...body, alg: 'ES256' })).status).toBe(201);
  });

  test('sets of Gatehouse itself take nothing and lose nothing', async () => {
    const body = { alg: 'ES256', use: 'sig', kid: '' };
    expect((await admin('POST', 'pepper', body)).status).toBe(409);
    expect((await admin('DELETE', 'gatehouse.code')).status).toBe(404);
    expect((await admin('DELETE', `pepper/${node.keys.current().pepperKid}`)).status).toBe(409);
  });

  test('the last key that signs cannot be deleted, one of two can', async () => {
    const alone = node.keys.current().signingKey('id_token', 'PS256')?.kid ?? '';
    const refused = await admin('DELETE', `${idTokenSet}/${alone}`);
    expect(refused.status).toBe(409);
    expect(refused.answer.error_description).toMatch(/make a new one first/);
    expect((await admin('DELETE', idTokenSet)).status).toBe(409);
    expect((await admin('POST', idTokenSet, { alg: 'PS256', use: 'sig', kid: 'two' })).status).toBe(
      201,
    );
    expect((await admin('DELETE', `${idTokenSet}/${alone}`)).status).toBe(204);
    expect((await jwksOf(other)).map((key) => key.kid)).not.toContain(alone);
    expect(other.keys.current().signingKey('id_token', 'PS256')?.kid).toBe('two');
    expect((await admin('DELETE', `${idTokenSet}/two`)).status).toBe(409);
  });

  test('a set of somebody’s own is made, read by kid, and deleted', async () => {
    const made = await admin('POST', 'own', { alg: 'EdDSA', use: 'sig', kid: 'one' });
    expect(made.status).toBe(201);
    expect((await admin('GET', 'own/one')).keys).toEqual(made.keys);
    expect((await admin('GET', 'own/two')).status).toBe(404);
    expect((await jwksOf(node)).map((key) => key.kid)).not.toContain('one');
    expect((await admin('DELETE', 'own')).status).toBe(204);
    expect((await admin('GET', 'own')).status).toBe(404);
  });

  test('security 53: no private key was logged', () => {
    expect(first.logged()).toMatch(/admin_key_made/);
    expect(first.logged()).not.toMatch(/PRIVATE|"d"/);
  });
});
