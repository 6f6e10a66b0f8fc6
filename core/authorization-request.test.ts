import { describe, expect, test } from 'vitest';
import {
  nonceCharsMax,
  parseAuthorizationRequest,
  stateCharsMax,
  verifyRedirect,
} from './authorization-request.ts';
import { clientOf } from './client-metadata.ts';
import { isRefusal, refusals } from './refusal.ts';

const metadata = {
  client_id: 'app',
  redirect_uris: ['https://app.example/cb'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  scope: 'openid profile files.*',
  audience: ['https://api.example', 'https://b.example'],
};
const app = clientOf(metadata);
const twoUris = clientOf({
  ...metadata,
  redirect_uris: ['https://app.example/cb', 'https://app.example/other'],
});
const exempt = clientOf({ ...metadata, insecure_no_pkce: true });

type Fields = Record<string, string | readonly string[] | undefined>;

/** Parameters as the HTTP edge hands them over: an empty value counts as absent. */
function parameters(fields: Fields) {
  const lists = new Map(
    Object.entries(fields).map(([name, value]) => [
      name,
      [value ?? ''].flat().filter((one) => one !== ''),
    ]),
  );
  return {
    get: (name: string) => lists.get(name)?.[0],
    all: (name: string) => lists.get(name) ?? [],
  };
}

const right = {
  response_type: 'code',
  scope: 'openid',
  code_challenge: 'x'.repeat(43),
  code_challenge_method: 'S256',
};
const parse = (fields: Fields = {}, client = app) =>
  parseAuthorizationRequest(client, parameters({ ...right, ...fields }));

/** The OAuth error that a request ends in, or `right`. */
function errorOf(fields: Fields, client = app): string {
  const parsed = parse(fields, client);
  return isRefusal(parsed) ? refusals[parsed.refused].error : 'right';
}

describe('RFC 6749 §3.1.2: only a registered redirect_uri is answered to', () => {
  test('the registered one is verified, byte for byte', () => {
    const uri = 'https://app.example/cb';
    expect(verifyRedirect(app, parameters({ redirect_uri: uri }))).toEqual({
      uri,
      given: uri,
      responseMode: 'query',
      state: undefined,
    });
    for (const redirect_uri of [`${uri}/`, `${uri}?x=1`, 'https://APP.example/cb', `${uri}%2f`]) {
      const verdict = verifyRedirect(app, parameters({ redirect_uri }));
      expect(verdict, redirect_uri).toMatchObject({ refused: 'redirect_uri_mismatch' });
    }
  });

  test('§3.1.2.3: it may be left out where just one is registered, and the code remembers that', () => {
    expect(verifyRedirect(app, parameters({}))).toMatchObject({
      uri: 'https://app.example/cb',
      given: '',
    });
    expect(verifyRedirect(twoUris, parameters({}))).toMatchObject({
      refused: 'redirect_uri_mismatch',
    });
  });

  test('state comes back as it was; one that is too long does not', () => {
    const at = (state: string) => verifyRedirect(app, parameters({ state }));
    expect(at('a b+c')).toMatchObject({ state: 'a b+c' });
    expect(at('x'.repeat(stateCharsMax))).toMatchObject({ state: 'x'.repeat(stateCharsMax) });
    expect(at('x'.repeat(stateCharsMax + 1))).toMatchObject({ state: undefined });
  });

  test('response_mode=fragment is taken for the answer, errors included', () => {
    const at = (response_mode: string) => verifyRedirect(app, parameters({ response_mode }));
    expect(at('fragment')).toMatchObject({ responseMode: 'fragment' });
    expect(at('form_post')).toMatchObject({ responseMode: 'query' });
  });
});

describe('security 13: PKCE with S256 for every client', () => {
  test.each<[string, Fields]>([
    ['no challenge', { code_challenge: '', code_challenge_method: '' }],
    ['a method without a challenge', { code_challenge: '' }],
    ['plain', { code_challenge_method: 'plain' }],
    ['a challenge without a method, which means plain', { code_challenge_method: '' }],
    ['an unknown method', { code_challenge_method: 'S512' }],
    ['s256 in lower case', { code_challenge_method: 's256' }],
    ['a challenge that is too short', { code_challenge: 'x'.repeat(42) }],
    ['a challenge with padding', { code_challenge: `${'x'.repeat(42)}=` }],
  ])('%s is refused', (_, fields) => {
    expect(errorOf(fields)).toBe('invalid_request');
  });

  test('S256 with 43 characters is right', () => {
    expect(parse()).toMatchObject({ codeChallenge: 'x'.repeat(43) });
  });

  test('OAuth 2.1 §7.5.1: a client exempted by the setting must send a nonce instead', () => {
    const without = { code_challenge: '', code_challenge_method: '' };
    expect(parse(without, exempt)).toEqual({ refused: 'nonce_missing' });
    expect(parse({ ...without, nonce: 'n' }, exempt)).toMatchObject({
      codeChallenge: undefined,
      nonce: 'n',
    });
    expect(errorOf({ code_challenge_method: 'plain', nonce: 'n' }, exempt)).toBe('invalid_request');
    expect(errorOf({ code_challenge: '', nonce: 'n' }, exempt)).toBe('invalid_request');
  });
});

describe('what is not supported is refused by its own error', () => {
  test.each<[string, Fields]>([
    ['request_not_supported', { request: 'eyJ' }],
    ['request_uri_not_supported', { request_uri: 'https://a.example/r' }],
    ['registration_not_supported', { registration: '{}' }],
    ['unsupported_response_type', { response_type: 'token' }],
    ['unsupported_response_type', { response_type: 'code id_token' }],
    ['invalid_request', { response_type: '' }],
    ['invalid_request', { response_mode: 'form_post' }],
    ['invalid_scope', { scope: 'openid email' }],
    ['invalid_scope', { scope: 'openid "quoted"' }],
    ['invalid_target', { resource: ['no-uri'] }],
    ['invalid_request', { claims: '[' }],
    ['right', { response_mode: 'fragment' }],
    ['right', { scope: 'openid files.read' }],
  ])('%s: %j', (error, fields) => {
    expect(errorOf(fields)).toBe(error);
  });

  test('R21: state and nonce have a longest length', () => {
    const of = (state: number, nonce: number) =>
      errorOf({ state: 'x'.repeat(state), nonce: 'x'.repeat(nonce) });
    expect(of(stateCharsMax, nonceCharsMax)).toBe('right');
    expect(of(stateCharsMax + 1, 1)).toBe('invalid_request');
    expect(of(1, nonceCharsMax + 1)).toBe('invalid_request');
  });

  test('RFC 6749 §4.1.2.1: a client that is not registered for codes gets unauthorized_client', () => {
    const other = clientOf({ ...metadata, grant_types: ['client_credentials'] });
    expect(errorOf({}, other)).toBe('unauthorized_client');
    const none = clientOf({ ...metadata, response_types: ['token'] });
    expect(errorOf({}, none)).toBe('unauthorized_client');
  });
});

describe('OIDC Core §3.1.2.1: prompt and max_age', () => {
  test('prompt is a set of known words, and none stands alone', () => {
    expect(parse({ prompt: 'login consent' })).toMatchObject({
      prompt: new Set(['login', 'consent']),
    });
    expect(parse({ prompt: 'none' })).toMatchObject({ prompt: new Set(['none']) });
    expect(parse()).toMatchObject({ prompt: new Set() });
    expect(errorOf({ prompt: 'none login' })).toBe('invalid_request');
    expect(errorOf({ prompt: 'surprise' })).toBe('invalid_request');
  });

  test.each(['-1', '1.5', 'ten', '1e3', '12345678901', ' 1'])(
    "wire: max_age=%j is the app's mistake, said in words",
    (max_age) => {
      expect(errorOf({ max_age })).toBe('invalid_request');
    },
  );

  test('max_age=0 is not the same as none', () => {
    expect(parse({ max_age: '0' })).toMatchObject({ maxAge: 0 });
    expect(parse()).toMatchObject({ maxAge: undefined });
  });
});

describe("Hydra's audience: registered values, by exact match", () => {
  test('spaces separate and the parameter repeats; doubles count once', () => {
    const audience = ['https://b.example https://api.example', 'https://b.example'];
    expect(parse({ audience })).toMatchObject({
      audience: ['https://b.example', 'https://api.example'],
    });
  });

  test('one that is not registered is refused', () => {
    expect(errorOf({ audience: 'https://api.example/' })).toBe('invalid_request');
    // None is left out without a word.
    const many = Array.from({ length: 20 }, () => 'https://api.example').join(' ');
    expect(errorOf({ audience: `${many} https://api.example/` })).toBe('invalid_request');
  });
});

test('hints are read, and bounded', () => {
  const many = Array.from({ length: 50 }, (_, i) => `l${i}`).join(' ');
  const parsed = parse({
    ui_locales: many,
    acr_values: 'a  b',
    login_hint: 'ann',
    display: 'page',
  });
  if (isRefusal(parsed)) throw new Error(parsed.refused);
  expect(parsed.uiLocales).toHaveLength(20);
  expect(parsed).toMatchObject({ acrValues: ['a', 'b'], loginHint: 'ann', display: 'page' });
});

test('RFC 6749 §3.1: parameters that nobody knows are ignored', () => {
  expect(errorOf({ access_type: 'offline', approval_prompt: 'force' })).toBe('right');
});
