import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type DoorAnswer, openTestPages, type TestPages } from '#server/testing/pages.ts';

const page = '/ui/consent?consent_challenge=chal';
const accept = '/admin/oauth2/auth/requests/consent/accept?consent_challenge=chal';
const client = {
  client_id: 'acme',
  client_name: 'Acme Notes',
  client_uri: 'https://acme.example/about',
  policy_uri: 'https://acme.example/privacy',
  tos_uri: 'javascript:alert(1)',
  logo_uri: 'https://acme.example/logo.png',
  redirect_uris: ['https://acme.example/cb'],
};
const request = {
  client,
  skip: false,
  subject: '0b0f3c1e-0000-4000-8000-000000000001',
  request_url: 'https://issuer.example/oauth2/auth?redirect_uri=https%3A%2F%2Facme.example%2Fcb',
  requested_scope: ['openid', 'profile', 'email', 'offline_access', 'notes.read'],
  requested_access_token_audience: ['https://api.acme.example/'],
  context: { login: 'ada@example.com', name: 'Ada', email_verified: true },
};

let pages: TestPages;
let answer: DoorAnswer;

function asking(over: Readonly<Record<string, unknown>> = {}): DoorAnswer {
  return ({ method }) =>
    method === 'PUT'
      ? { status: 200, json: { redirect_to: 'https://issuer.example/oauth2/auth?go' } }
      : { status: 200, json: { ...request, ...over } };
}

beforeAll(async () => {
  pages = await openTestPages({ door: (call) => answer(call) });
});
afterAll(() => pages.close());
beforeEach(() => {
  answer = asking();
});

describe('the consent page', () => {
  test('says who asks, where it leads, who is signed in and what is asked', async () => {
    const text = await (await pages.get(page)).text();
    for (const shown of [
      'Acme Notes',
      'acme.example',
      'Unverified publisher',
      'ada@example.com',
      'See your email address',
      '<code>notes.read</code>',
      '<code>https://api.acme.example/</code>',
    ]) {
      expect(text).toContain(shown);
    }
    expect(text).toMatch(/id="redirect-host"><bdi>acme\.example<\/bdi>/);
    expect(text).toMatch(/href="https:\/\/acme\.example\/privacy" target="_blank" rel="noopener/);
    expect(text).not.toContain('javascript:');
    expect(text).not.toContain('logo.png');
    for (const scope of request.requested_scope) expect(text).toContain(`id="scope-${scope}"`);
  });

  // Whatever a page reads differently from the engine, an app can use to show another host.
  test.each([
    ['a second question mark', 'x=?&redirect_uri=https%3A%2F%2Fevil.example%2Fcb'],
    ['an empty value first', 'redirect_uri=&redirect_uri=https%3A%2F%2Fevil.example%2Fcb'],
  ])('security 42: shows the host that the engine verified, after %s', async (_what, query) => {
    const redirect_uris = ['https://trusted.example/cb', 'https://evil.example/cb'];
    answer = asking({
      request_url: `https://issuer.example/oauth2/auth?${query}`,
      client: { ...client, redirect_uris },
    });
    const text = await (await pages.get(page)).text();
    expect(text).toMatch(/id="redirect-host"><bdi>evil\.example<\/bdi>/);
    expect(text).not.toContain('trusted.example');
  });

  test('of a login app that hands over no context is shown all the same', async () => {
    const { context: _none, ...bare } = request;
    answer = () => ({ status: 200, json: bare });
    expect((await pages.get(page)).status).toBe(200);
  });

  test('grants what is ticked and was asked, openid always, claims by scope', async () => {
    const token = /name="token" value="([^"]+)"/.exec(await (await pages.get(page)).text())?.[1];
    const form = new URLSearchParams({ token: token ?? '', action: 'accept' });
    for (const scope of ['email', 'notes.read', 'admin']) form.append('scope', scope);
    const response = await pages.post(page, form.toString());
    expect(response.status).toBe(303);
    expect(pages.calls.at(-1)).toEqual({
      method: 'PUT',
      path: accept,
      body: {
        grant_scope: ['openid', 'email', 'notes.read'],
        grant_access_token_audience: ['https://api.acme.example/'],
        remember: true,
        remember_for: 0,
        session: { id_token: { email: 'ada@example.com', email_verified: true } },
      },
    });
    expect(pages.statements).toEqual([]);
  });

  test.each([
    ['what was allowed before', { skip: true }],
    ['an app with skip_consent', { client: { ...client, skip_consent: true } }],
  ])('lets %s pass with all that was asked', async (_what, over) => {
    answer = asking(over);
    expect((await pages.get(page)).status).toBe(303);
    expect(pages.calls.at(-1)).toMatchObject({
      path: accept,
      body: {
        grant_scope: request.requested_scope,
        session: {
          id_token: { name: 'Ada', email: 'ada@example.com', email_verified: true },
        },
      },
    });
  });

  test('denied is refused with access_denied', async () => {
    await pages.submit(page, { action: 'deny' });
    expect(pages.calls.at(-1)).toMatchObject({
      path: '/admin/oauth2/auth/requests/consent/reject?consent_challenge=chal',
      body: { error: 'access_denied' },
    });
  });

  test('grants nothing without a decision, or to the form of another browser', async () => {
    expect((await pages.submit(page, { action: 'perhaps' })).status).toBe(400);
    expect((await pages.submit(page, { action: 'accept', token: 'AAAA' })).status).toBe(403);
    expect((await pages.stranger().submit(page, { token: 'x' })).status).toBe(403);
    expect(pages.calls.at(-1)?.method).toBe('GET');
  });

  test('takes claims from no context but that of our own login page', async () => {
    answer = asking({ skip: true, context: { email: 'somebody@else.example' } });
    await pages.get(page);
    expect(pages.calls.at(-1)?.body).toMatchObject({ session: { id_token: {} } });
  });
});

describe('security 42: an app cannot write into the page', () => {
  test('names, ids, scopes and audiences are text', async () => {
    const nasty = `</title><script>alert(1)</script>"'><form action=//evil>`;
    answer = asking({
      client: { ...client, client_name: `\u202e${nasty}`, client_uri: nasty },
      requested_scope: [nasty],
      requested_access_token_audience: [nasty],
      context: { login: nasty, name: nasty, email_verified: true },
    });
    const text = await (await pages.get(page)).text();
    expect(text).not.toMatch(/<script|<form action|\u202e/);
    expect(text.match(/<form/g)).toHaveLength(1);
  });
});

describe('the pages’ headers', () => {
  test.each([page, '/ui/error?error=x', '/ui/signed-out'])('%s is locked down', async (path) => {
    const { headers } = await pages.get(path);
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
  });

  test('the steps of an authorization let the browser go on to the app', async () => {
    const headersOf = async (path: string) => {
      const { headers } = await pages.get(path);
      const policy = headers.get('content-security-policy') ?? '';
      return [policy.includes('form-action'), headers.has('cross-origin-opener-policy')];
    };
    expect(await headersOf(page)).toEqual([false, false]);
    expect(await headersOf('/ui/error?error=x')).toEqual([true, true]);
  });

  test('the page cookie is HttpOnly and Lax, and under https bound to the host', async () => {
    const cookie = (await pages.stranger().get(page)).headers.get('set-cookie');
    expect(cookie).toMatch(/^gatehouse-page=[\w-]{22}; Path=\/ui; HttpOnly; SameSite=Lax$/);
    const secure = await openTestPages({
      door: asking(),
      env: { GATEHOUSE_ISSUER: 'https://issuer.example' },
    });
    const secureCookie = (await secure.get(page)).headers.get('set-cookie');
    await secure.close();
    expect(secureCookie).toMatch(/^__Host-gatehouse-page=[\w-]{22}; Path=\/; /);
    expect(secureCookie).toContain('Secure');
  });
});

describe('signing out', () => {
  const logoutPage = '/ui/logout?logout_challenge=chal';

  test('asks first, and then accepts without a body', async () => {
    expect(await (await pages.get(logoutPage)).text()).toContain('id="confirm"');
    expect((await pages.submit(logoutPage, {})).status).toBe(303);
    expect(pages.calls.at(-1)).toEqual({
      method: 'PUT',
      path: '/admin/oauth2/auth/requests/logout/accept?logout_challenge=chal',
      body: undefined,
    });
  });

  test('does not happen by another site’s form, nor by staying', async () => {
    expect((await pages.submit(logoutPage, { token: 'x' })).status).toBe(403);
    expect(await (await pages.get(`${logoutPage}&stay`)).text()).toContain('still signed in');
    expect(pages.calls.at(-1)?.method).toBe('GET');
  });

  test('ends on a page that says so', async () => {
    expect(await (await pages.get('/ui/signed-out')).text()).toContain('You are signed out');
  });
});

describe('the error page', () => {
  test('security 10: shows what it was given as text, and bounds it', async () => {
    const said = new URLSearchParams({
      error: 'invalid_request<script>',
      error_description: `<img src=x onerror=alert(1)>${'x'.repeat(5_000)}`,
      request_id: '0199-abc',
    });
    const response = await pages.get(`/ui/error?${said}`);
    const text = await response.text();
    expect(response.status).toBe(400);
    expect(text).toContain('id="error"><bdi>invalid_request&lt;script&gt;');
    expect(text).toContain('id="error-description"><bdi>&lt;img');
    expect(text).toContain('id="request-id"><bdi>0199-abc');
    expect(text).toContain('x'.repeat(500));
    expect(text).not.toContain('x'.repeat(600));
  });

  test('answers 503 when the database is away, and says nothing of it', async () => {
    const broken = await openTestPages({
      door: ({ method }) =>
        method === 'GET'
          ? { status: 200, json: { client, skip: true, subject: request.subject } }
          : { status: 200, json: {} },
      databaseUrl: 'postgresql://127.0.0.1:1/nowhere',
    });
    const response = await broken.get('/ui/login?login_challenge=chal');
    await broken.close();
    expect(response.status).toBe(503);
    expect(await response.text()).not.toMatch(/postgres|ECONN/i);
  });
});
