import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Answer,
  basic,
  call,
  type Deployment,
  deploy,
  type Json,
  type RegisteredClient,
} from './deployment.ts';
import { signIn } from './login-app.ts';

const documents = [
  '/.well-known/openid-configuration',
  '/.well-known/oauth-authorization-server',
] as const;

describe('discovery', () => {
  let deployment: Deployment;
  let client: RegisteredClient;
  let metadata: Json;

  beforeAll(async () => {
    deployment = await deploy();
    client = await deployment.register();
    metadata = (await call(deployment.server.publicUrl + documents[0])).body;
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const listOf = (name: string): readonly string[] => {
    const value = metadata[name];
    // What is left out has a default that says something else (RFC 8414 §2).
    if (!Array.isArray(value) || value.length === 0) throw new Error(`${name} is not advertised`);
    return value.map(String);
  };
  const token = (form: Readonly<Record<string, string>>) =>
    deployment.post('/oauth2/token', form, basic(client));

  test('OIDC Discovery §3, RFC 8414 §2: two documents, equal to the byte', async () => {
    const [first, second] = await Promise.all(
      documents.map((path) => call(deployment.server.publicUrl + path)),
    );
    expect(first?.text).toBe(second?.text);
    for (const answer of [first, second]) {
      expect(answer?.status).toBe(200);
      expect(answer?.headers.get('content-type')).toBe('application/json');
      expect(answer?.headers.get('cache-control')).toMatch(/max-age=\d+/);
    }
    expect(metadata.issuer).toBe(deployment.issuer);
  });

  test('nothing in it is null or empty, and what clients look for is there', () => {
    for (const [name, value] of Object.entries(metadata)) {
      expect(value, name).not.toBeNull();
      expect(value, name).not.toBe('');
      expect(value, name).not.toEqual([]);
    }
    for (const name of [
      'subject_types_supported',
      'id_token_signing_alg_values_supported',
      'response_types_supported',
      'code_challenge_methods_supported',
      'authorization_response_iss_parameter_supported',
    ]) {
      expect(metadata).toHaveProperty(name);
    }
    expect(metadata).not.toHaveProperty('registration_endpoint');
  });

  test('every endpoint that is advertised answers', async () => {
    const endpoints = Object.entries(metadata).filter(([name]) => /_(endpoint|uri)$/.test(name));
    expect(endpoints.map(([name]) => name).toSorted()).toEqual([
      'authorization_endpoint',
      'end_session_endpoint',
      'introspection_endpoint',
      'jwks_uri',
      'revocation_endpoint',
      'token_endpoint',
      'userinfo_endpoint',
    ]);
    for (const [name, url] of endpoints) {
      const tries = [await call(String(url)), await call(String(url), { method: 'POST' })];
      expect(
        tries.some((answer) => answer.status !== 404),
        name,
      ).toBe(true);
    }
  });

  test('doors of Hydra that are not built are not there, and not advertised', async () => {
    for (const [method, path] of [
      ['POST', '/oauth2/device/auth'],
      ['GET', '/oauth2/device/verify'],
      ['POST', '/oauth2/register'],
      ['POST', '/credentials'],
    ] as const) {
      const answer = await call(deployment.server.publicUrl + path, { method });
      expect(answer.status, path).toBe(404);
    }
  });

  test('every grant type that is advertised is known, every other is not', async () => {
    for (const grant_type of listOf('grant_types_supported')) {
      expect((await token({ grant_type })).body.error, grant_type).not.toBe(
        'unsupported_grant_type',
      );
    }
    for (const grant_type of [
      'password',
      'implicit',
      'urn:ietf:params:oauth:grant-type:device_code',
      'urn:ietf:params:oauth:grant-type:jwt-bearer',
      'urn:ietf:params:oauth:grant-type:token-exchange',
      'urn:openid:params:grant-type:ciba',
    ]) {
      expect((await token({ grant_type })).body.error).toBe('unsupported_grant_type');
    }
  });

  test('every response type and mode that is advertised works, every other is refused', async () => {
    const ask = (parameters: Readonly<Record<string, string>>) =>
      signIn(deployment, client, { parameters });
    expect(listOf('response_types_supported')).toEqual(['code']);
    for (const response_mode of listOf('response_modes_supported')) {
      expect((await ask({ response_mode })).code, response_mode).not.toBe('');
    }
    for (const response_type of ['token', 'id_token', 'code token', 'code id_token', 'none']) {
      expect((await ask({ response_type })).returned.get('error')).toBe(
        'unsupported_response_type',
      );
    }
    for (const response_mode of ['form_post', 'jwt', 'web_message']) {
      expect((await ask({ response_mode })).returned.get('error')).toBe('invalid_request');
    }
    expect(listOf('code_challenge_methods_supported')).toEqual(['S256']);
  });

  test('request objects and registration in the request are refused by name', async () => {
    const error = async (parameters: Readonly<Record<string, string>>) =>
      (await signIn(deployment, client, { parameters })).returned.get('error');
    expect(metadata.request_parameter_supported).toBe(false);
    expect(await error({ request: 'ey.ey.' })).toBe('request_not_supported');
    expect(metadata.request_uri_parameter_supported).toBe(false);
    expect(await error({ request_uri: 'https://app.example/r' })).toBe('request_uri_not_supported');
    expect(await error({ registration: '{}' })).toBe('registration_not_supported');
  });

  test('every signing algorithm that is advertised can be registered and has a published key', async () => {
    const { body } = await call(String(metadata.jwks_uri));
    const keys: readonly Json[] = Array.isArray(body.keys) ? body.keys : [];
    for (const alg of listOf('id_token_signing_alg_values_supported')) {
      expect(
        keys.some((key) => key.alg === alg),
        alg,
      ).toBe(true);
      const registered = await deployment.register({ id_token_signed_response_alg: alg });
      expect(registered.document.id_token_signed_response_alg).toBe(alg);
    }
    const kids = keys.map((key) => key.kid);
    expect(new Set(kids).size).toBe(keys.length);
    for (const key of keys) {
      expect(key).toMatchObject({ use: 'sig', kid: expect.any(String), alg: expect.any(String) });
    }
    for (const id_token_signed_response_alg of ['none', 'HS256', 'RS512']) {
      const refused = await deployment.admin('POST', '/admin/clients', {
        id_token_signed_response_alg,
      });
      expect(refused.status).toBe(400);
    }
  });

  test('every authentication method that is advertised can be registered, no other', async () => {
    for (const method of listOf('token_endpoint_auth_methods_supported')) {
      const made = await deployment.register({ token_endpoint_auth_method: method });
      expect(made.method).toBe(method);
    }
    for (const token_endpoint_auth_method of [
      'private_key_jwt',
      'client_secret_jwt',
      'tls_client_auth',
    ]) {
      const refused: Answer = await deployment.admin('POST', '/admin/clients', {
        token_endpoint_auth_method,
      });
      expect(refused.status).toBe(400);
      expect(refused.body.error).toBe('invalid_client_metadata');
    }
  });

  test('prompt: the values that are advertised are taken, others are refused', async () => {
    for (const prompt of listOf('prompt_values_supported')) {
      const { returned } = await signIn(deployment, client, { parameters: { prompt } });
      expect(returned.get('error') ?? '', prompt).not.toBe('invalid_request');
    }
    const odd = await signIn(deployment, client, { parameters: { prompt: 'nonsense' } });
    expect(odd.returned.get('error')).toBe('invalid_request');
  });

  test('an issuer with a path is served at both well-known places (RFC 8414 §3)', async () => {
    const issuer = 'https://id.example/tenant';
    const other = await deploy({ env: { GATEHOUSE_ISSUER: issuer } });
    try {
      for (const path of documents) {
        const answer = await call(`${other.server.publicUrl}${path}/tenant`);
        expect(answer.body.issuer).toBe(issuer);
        expect(answer.body.token_endpoint).toBe(`${issuer}/oauth2/token`);
      }
    } finally {
      await other.close();
    }
  });
});
