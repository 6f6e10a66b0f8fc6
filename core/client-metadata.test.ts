import { describe, expect, test } from 'vitest';
import {
  clientOf,
  parseClientMetadata,
  patchableDocument,
  withLifespans,
} from './client-metadata.ts';
import { isRefusal, refusals } from './refusal.ts';

const id = 'app-1';

function parsed(fields: Record<string, unknown>) {
  const result = parseClientMetadata(fields, id);
  if (isRefusal(result)) throw new Error(`${result.refused}: ${result.hint}`);
  return result;
}

function hintFor(fields: unknown): string | undefined {
  const result = parseClientMetadata(fields, id);
  return isRefusal(result) ? `${refusals[result.refused].error}: ${result.hint}` : undefined;
}

test('RFC 7591 §3.2.1: a public client is answered without client_credentials', () => {
  const { client } = parsed({
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
  });
  expect(client.grantTypes).toEqual(new Set(['authorization_code', 'refresh_token']));
});

test("Hydra's defaults fill what is not given", () => {
  const { metadata, client } = parsed({});
  expect(metadata).toEqual({
    client_id: id,
    redirect_uris: [],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    scope: 'offline_access offline openid',
    audience: [],
    contacts: [],
    allowed_cors_origins: [],
    subject_type: 'public',
    token_endpoint_auth_method: 'client_secret_basic',
    jwks: {},
    metadata: {},
    skip_consent: false,
  });
  expect(client).toMatchObject({
    clientId: id,
    name: '',
    disabled: false,
    authMethod: 'client_secret_basic',
    scope: ['offline_access', 'offline', 'openid'],
    subjectType: 'public',
    idTokenAlg: undefined,
    refreshGraceSeconds: undefined,
    refreshTokenScopes: undefined,
    insecureNoPkce: false,
    lifespans: { authorizationCode: {}, refreshToken: {}, clientCredentials: {} },
  });
});

test('null, an empty string and an empty list mean "not given", as to Hydra', () => {
  const empty = { client_name: '', client_uri: '', contacts: null, redirect_uris: null, scope: '' };
  expect(parsed({ ...empty, request_uris: [], jwks_uri: null, audience: [] })).toEqual(parsed({}));
});

test('an empty refresh_token_scopes says more than none: always a refresh token', () => {
  expect(parsed({ refresh_token_scopes: [] }).client.refreshTokenScopes).toEqual([]);
});

test('unknown fields are ignored, and what we answer can be sent back', () => {
  const { metadata } = parsed({ surprise: { a: 1 }, client_name: 'x' });
  expect(metadata).not.toHaveProperty('surprise');
  const answer = { ...metadata, created_at: 'x', updated_at: 'x', client_secret_expires_at: 0 };
  expect(parsed(answer).metadata).toEqual(metadata);
});

test('every field arrives in the client', () => {
  const { client } = parsed({
    client_name: 'Übung 名',
    redirect_uris: ['https://app.example/cb'],
    post_logout_redirect_uris: ['https://app.example/out'],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    scope: 'openid  api.* openid',
    audience: ['https://api.example'],
    resources: ['https://api.example/v1'],
    token_endpoint_auth_method: 'client_secret_post',
    subject_type: 'pairwise',
    id_token_signed_response_alg: 'EdDSA',
    userinfo_signed_response_alg: 'ES256',
    access_token_strategy: 'jwt',
    skip_consent: true,
    skip_logout_consent: true,
    allowed_cors_origins: ['https://app.example'],
    refresh_grace_seconds: 0,
    refresh_token_scopes: ['offline_access'],
    insecure_no_pkce: true,
    disabled: true,
    authorization_code_grant_access_token_lifespan: '90m',
    refresh_token_grant_refresh_token_lifespan: '720h',
    client_credentials_grant_access_token_lifespan: '1.5s',
  });
  expect(client).toMatchObject({
    name: 'Übung 名',
    disabled: true,
    authMethod: 'client_secret_post',
    redirectUris: ['https://app.example/cb'],
    postLogoutRedirectUris: ['https://app.example/out'],
    scope: ['openid', 'api.*'],
    audience: ['https://api.example'],
    resources: ['https://api.example/v1'],
    subjectType: 'pairwise',
    sectorIdentifier: 'app.example',
    idTokenAlg: 'EdDSA',
    userinfoAlg: 'ES256',
    accessTokenStrategy: 'jwt',
    skipConsent: true,
    skipLogoutConsent: true,
    allowedCorsOrigins: ['https://app.example'],
    refreshGraceSeconds: 0,
    refreshTokenScopes: ['offline_access'],
    insecureNoPkce: true,
    lifespans: {
      authorizationCode: { accessTokenSeconds: 5400 },
      refreshToken: { refreshTokenSeconds: 2_592_000 },
      clientCredentials: { accessTokenSeconds: 1 },
    },
  });
  expect(client.grantTypes).toEqual(
    new Set(['authorization_code', 'refresh_token', 'client_credentials']),
  );
  expect(client.metadata.authorization_code_grant_access_token_lifespan).toBe('1h30m0s');
  expect(clientOf(client.metadata)).toEqual(client);
});

const lone = String.fromCharCode(0xd800);
describe('RFC 7591 §3.2.2: what is wrong is refused by the name of its field', () => {
  test.each<[unknown, string]>([
    [undefined, 'JSON object'],
    [[], 'JSON object'],
    [{ client_name: 7 }, 'client_name must be a string'],
    [{ client_name: 'a'.repeat(256) }, 'client_name must have at most 255'],
    [{ contacts: 'a@b.example' }, 'contacts must be a list'],
    [{ contacts: Array(51).fill('a') }, 'contacts must have at most 50'],
    [
      { redirect_uris: ['https://a.example', 'http://a.example'] },
      'redirect_uris[1] must use https',
    ],
    [{ redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
    [{ redirect_uris: Array(101).fill('https://a.example') }, 'at most 100'],
    [{ post_logout_redirect_uris: ['data:,'] }, 'post_logout_redirect_uris[0]'],
    [{ grant_types: ['implicit'] }, 'authorization_code, refresh_token or client_credentials'],
    [
      { grant_types: ['urn:ietf:params:oauth:grant-type:device_code'] },
      'nothing else is supported',
    ],
    [{ response_types: ['token'] }, 'response_types[0] must be code'],
    [{ response_types: ['code id_token'] }, 'response_types[0] must be code'],
    [{ scope: 'a"b' }, 'scope is malformed'],
    [{ scope: ['openid'] }, 'scope must be a string'],
    [
      { token_endpoint_auth_method: 'private_key_jwt' },
      'client_secret_basic, client_secret_post or none',
    ],
    [{ token_endpoint_auth_signing_alg: 'RS256' }, 'private_key_jwt, which is not supported'],
    [{ subject_type: 'other' }, 'subject_type must be public or pairwise'],
    [{ sector_identifier_uri: 'https://a.example/s' }, 'sector_identifier_uri is not supported'],
    [{ id_token_signed_response_alg: 'HS256' }, 'RS256, PS256, ES256 or EdDSA'],
    [{ id_token_signed_response_alg: 'none' }, 'RS256, PS256, ES256 or EdDSA'],
    [{ request_object_signing_alg: 'RS256' }, 'request objects are not'],
    [{ request_uris: ['https://a.example/r'] }, 'request_uris is not supported'],
    [{ access_token_strategy: 'paseto' }, 'opaque or jwt'],
    [{ allowed_cors_origins: ['https://a.example/'] }, 'allowed_cors_origins[0] must be an origin'],
    [{ allowed_cors_origins: ['*'] }, 'allowed_cors_origins[0] must be an origin'],
    [{ logo_uri: 'javascript:alert(1)' }, 'logo_uri must be an absolute https URL'],
    [{ client_uri: 'https://a@b.example' }, 'client_uri must not have user information'],
    [{ tos_uri: '/tos' }, 'tos_uri must be an absolute'],
    [{ audience: ['a b'] }, 'audience[0] must be text without white space'],
    [{ resources: ['https://api.example/#x'] }, 'resources[0] must be an absolute URI'],
    [{ resources: ['api'] }, 'resources[0] must be an absolute URI'],
    [{ skip_consent: 'yes' }, 'skip_consent must be true or false'],
    [{ disabled: 1 }, 'disabled must be true or false'],
    [{ refresh_grace_seconds: -1 }, 'refresh_grace_seconds must be a whole number'],
    [{ refresh_grace_seconds: 1.5 }, 'refresh_grace_seconds must be a whole number'],
    [{ refresh_token_scopes: ['a b'] }, 'refresh_token_scopes[0] must be one scope'],
    [{ metadata: [1] }, 'metadata must be a JSON object'],
    [{ metadata: { a: '\0' } }, 'metadata must not have U+0000'],
    [{ metadata: { a: lone } }, 'lone surrogate'],
    [{ metadata: { [lone]: 1 } }, 'lone surrogate'],
    [{ metadata: { a: 'x'.repeat(16_384) } }, 'metadata must have at most'],
    [{ jwks: { keys: [{ kty: 'EC', d: 'x' }] } }, 'jwks has a private or symmetric key'],
    [{ jwks: { keys: 1 } }, 'jwks must have a list'],
    [
      { jwks: { keys: [{ kty: 'EC' }] }, jwks_uri: 'https://a.example/k' },
      'must not be given together',
    ],
    [
      { implicit_grant_id_token_lifespan: 'soon' },
      'implicit_grant_id_token_lifespan must be a duration',
    ],
    [{ client_credentials_grant_access_token_lifespan: '0s' }, 'must be a duration between 1s'],
    [
      { client_credentials_grant_access_token_lifespan: '100000h' },
      'must be a duration between 1s',
    ],
    [{ client_credentials_grant_access_token_lifespan: 3600 }, 'must be a duration'],
    [{ token_endpoint_auth_method: 'none', grant_types: ['client_credentials'] }, 'public client'],
    [{ token_endpoint_auth_method: 'none', insecure_no_pkce: true }, 'insecure_no_pkce is for'],
    [{ insecure_no_pkce: true, scope: 'api' }, 'insecure_no_pkce is for'],
    [{ subject_type: 'pairwise' }, 'exactly one http or https host'],
    [
      { subject_type: 'pairwise', redirect_uris: ['https://a.example', 'https://b.example'] },
      'exactly one http or https host',
    ],
    [{ created_at: 5 }, 'created_at must be a string'],
  ])('%j', (fields, words) => {
    expect(hintFor(fields)).toContain(words);
  });

  test.each(['a b', '', 'ä', 'a\nb', 'a'.repeat(256)])('client_id %j', (clientId) => {
    const result = parseClientMetadata({}, clientId);
    expect(isRefusal(result) || result.client.clientId === '').toBe(true);
  });
});

describe('security 42: names that deceive are refused', () => {
  test.each([
    '\u202eevil',
    'a\u200bb',
    'a\u2066b',
    'a\0b',
    'a\u001bb',
    '\ufeffa',
    'a\u{e0041}',
    lone,
  ])('%j', (client_name) => {
    expect(hintFor({ client_name })).toContain('client_name must not have control');
  });
  test.each(['Ünïcode', '日本語', 'עברית', '👩‍👩‍👧 family', '<b>bold</b>'])(
    '%j is fine',
    (client_name) => {
      expect(parsed({ client_name }).client.name).toBe(client_name);
    },
  );
});

test('a pairwise client of one host has that host as its sector, whatever the ports', () => {
  const redirect_uris = ['https://a.example/cb', 'https://A.example:8443/other'];
  const { client } = parsed({ subject_type: 'pairwise', redirect_uris });
  expect(client.sectorIdentifier).toBe('a.example');
});

test('a written backslash-u is text, not the character it names', () => {
  const metadata = { a: '\\u0000', b: '\\\\ud800', 'c\\u0000': 1 };
  expect(parsed({ metadata }).metadata.metadata).toEqual(metadata);
});

test('lifespans replace all lifespans and nothing else', () => {
  const { metadata } = parsed({
    client_name: 'x',
    jwt_bearer_grant_access_token_lifespan: '1h',
    implicit_grant_access_token_lifespan: '1h',
  });
  const next = withLifespans(metadata, {
    implicit_grant_access_token_lifespan: '2h',
    client_name: 'y',
  });
  expect(isRefusal(next) ? next : next.metadata).toEqual({
    ...parsed({ client_name: 'x' }).metadata,
    implicit_grant_access_token_lifespan: '2h0m0s',
  });
});

test('the document that a patch works on has every field, and parses back to itself', () => {
  const { metadata } = parsed({ client_name: 'x' });
  const document = patchableDocument(metadata);
  expect(document).toMatchObject({ client_uri: null, post_logout_redirect_uris: [] });
  expect(parsed(document).metadata).toEqual(metadata);
});

test('names from Object.prototype are not taken for fields', () => {
  const input = Object.create({ client_name: 'inherited' });
  expect(parsed(input).metadata).not.toHaveProperty('client_name');
});
