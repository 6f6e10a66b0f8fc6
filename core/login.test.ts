import { describe, expect, test } from 'vitest';
import { type AuthorizationRequest, parseAuthorizationRequest } from './authorization-request.ts';
import { clientOf } from './client-metadata.ts';
import { decideConsent, decideLogin, judgeLogin } from './login.ts';
import { isRefusal } from './refusal.ts';

const app = clientOf({
  client_id: 'app',
  redirect_uris: ['https://app.example/cb'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  scope: 'openid profile email',
  audience: ['https://api.example'],
  token_endpoint_auth_method: 'client_secret_basic',
});
const nativeApp = clientOf({ ...app.metadata, token_endpoint_auth_method: 'none' });
const trustedApp = clientOf({ ...app.metadata, skip_consent: true });
const cb = 'https://app.example/cb';

function request(fields: Record<string, string> = {}): AuthorizationRequest {
  const all = new URLSearchParams({
    response_type: 'code',
    scope: 'openid',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
    ...fields,
  });
  const parsed = parseAuthorizationRequest(app, {
    get: (name) => all.get(name) ?? undefined,
    all: (name) => all.getAll(name),
  });
  if (isRefusal(parsed)) throw new Error(`${parsed.refused} ${parsed.hint}`);
  return parsed;
}

const ann = { subject: 'ann', authenticatedAt: 1000, acr: '' };
const now = 1100;

describe('OIDC Core §3.1.2.3: who is signed in need not sign in again', () => {
  test('nobody is signed in: the login app asks', () => {
    expect(decideLogin(request(), undefined, undefined, now)).toBe('ask');
  });

  test('somebody is: the login is skipped', () => {
    expect(decideLogin(request(), ann, undefined, now)).toBe('skip');
    expect(decideLogin(request({ prompt: 'none' }), ann, undefined, now)).toBe('skip');
    expect(decideLogin(request({ prompt: 'consent' }), ann, undefined, now)).toBe('skip');
  });

  test.each(['login', 'select_account', 'registration', 'create', 'login consent'])(
    'prompt=%s asks all the same',
    (prompt) => {
      expect(decideLogin(request({ prompt }), ann, undefined, now)).toBe('ask');
    },
  );
});

describe('OIDC Core §3.1.2.1: max_age', () => {
  test.each([
    ['100', 'skip'],
    ['99', 'ask'],
    ['0', 'ask'],
    ['9999999999', 'skip'],
  ])('max_age=%s for a login of 100 seconds ago: %s', (max_age, decision) => {
    expect(decideLogin(request({ max_age }), ann, undefined, now)).toBe(decision);
  });
});

describe('OIDC Core §3.1.2.6: prompt=none never asks', () => {
  const none = (fields: Record<string, string> = {}) => request({ prompt: 'none', ...fields });

  test('nobody is signed in, too long ago, or another than hinted: login_required', () => {
    const required = { refused: 'login_required' };
    expect(decideLogin(none(), undefined, undefined, now)).toEqual(required);
    expect(decideLogin(none({ max_age: '10' }), ann, undefined, now)).toEqual(required);
    expect(decideLogin(none(), ann, 'bob', now)).toEqual(required);
    const claims = JSON.stringify({ id_token: { sub: { value: 'bob' } } });
    expect(decideLogin(none({ claims }), ann, undefined, now)).toEqual(required);
  });

  test('the hinted person is signed in: skipped', () => {
    expect(decideLogin(none(), ann, 'ann', now)).toBe('skip');
  });
});

test('id_token_hint or claims name another person: the login app asks', () => {
  expect(decideLogin(request(), ann, 'bob', now)).toBe('ask');
  expect(decideLogin(request(), ann, 'ann', now)).toBe('skip');
  const claims = JSON.stringify({ id_token: { sub: { value: 'bob' } } });
  expect(decideLogin(request({ claims }), ann, undefined, now)).toBe('ask');
});

describe('the login that was made must be the one asked for', () => {
  const made = { ...ann, acr: 'silver' };

  test('OIDC Core §3.1.2.2: another person than hinted or claimed is refused', () => {
    expect(judgeLogin(request(), made, undefined)).toBeUndefined();
    expect(judgeLogin(request(), made, 'ann')).toBeUndefined();
    expect(judgeLogin(request(), made, 'bob')).toMatchObject({ refused: 'login_required' });
    const claims = JSON.stringify({ userinfo: { sub: { value: 'bob' } } });
    expect(judgeLogin(request({ claims }), made, undefined)).toMatchObject({
      refused: 'login_required',
    });
  });

  test('OIDC Core §5.5.1.1: an essential acr that was not reached is refused', () => {
    const acr = (values: string[], essential = true) =>
      request({ claims: JSON.stringify({ id_token: { acr: { essential, values } } }) });
    expect(judgeLogin(acr(['gold', 'silver']), made, undefined)).toBeUndefined();
    expect(judgeLogin(acr(['gold']), made, undefined)).toEqual({
      refused: 'unmet_authentication_requirements',
    });
    expect(judgeLogin(acr(['gold'], false), made, undefined)).toBeUndefined();
  });
});

describe('what was allowed before and remembered is not asked for again', () => {
  const all = { scope: ['openid', 'profile'], audience: ['https://api.example'] };

  test('all of it was: skipped', () => {
    expect(decideConsent(request(), app, cb, all)).toBe('skip');
    const more = request({ scope: 'openid profile', audience: 'https://api.example' });
    expect(decideConsent(more, app, cb, all)).toBe('skip');
  });

  test('nothing, or not all of it: asked', () => {
    expect(decideConsent(request(), app, cb, undefined)).toBe('ask');
    expect(decideConsent(request({ scope: 'openid email' }), app, cb, all)).toBe('ask');
    const resource = request({ resource: 'https://other.example' });
    expect(decideConsent(resource, app, cb, all)).toBe('ask');
    const audience = request({ audience: 'https://api.example' });
    expect(decideConsent(audience, app, cb, { ...all, audience: [] })).toBe('ask');
  });

  test('OIDC Core §3.1.2.1: prompt=consent asks', () => {
    expect(decideConsent(request({ prompt: 'consent' }), app, cb, all)).toBe('ask');
  });

  test('RFC 8252 §8.6: a public client whose redirect proves nothing is always asked for', () => {
    expect(decideConsent(request(), nativeApp, 'http://127.0.0.1:5000/cb', all)).toBe('ask');
    expect(decideConsent(request(), nativeApp, 'com.example.app:/cb', all)).toBe('ask');
    expect(decideConsent(request(), nativeApp, cb, all)).toBe('skip');
  });

  test('OIDC Core §3.1.2.6: prompt=none and not remembered is consent_required', () => {
    const none = request({ prompt: 'none' });
    expect(decideConsent(none, app, cb, undefined)).toEqual({ refused: 'consent_required' });
    expect(decideConsent(none, app, cb, all)).toBe('skip');
  });

  test("Hydra's skip_consent: the consent app still decides, also at prompt=none", () => {
    expect(decideConsent(request({ prompt: 'none' }), trustedApp, cb, undefined)).toBe('ask');
    expect(decideConsent(request(), trustedApp, cb, undefined)).toBe('ask');
  });
});
