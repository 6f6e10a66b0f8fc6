import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Answer,
  call,
  type Deployment,
  deploy,
  formOf,
  openBrowser,
  type Parameters,
  type RegisteredClient,
} from './deployment.ts';
import { authorizationParameters, authorizationUrl, newPkce, signIn } from './login-app.ts';

/** Redirects and the front channel: what attackers try (SECURITY.md), each beside what is right. */
describe('security: redirects', () => {
  let deployment: Deployment;
  let client: RegisteredClient;
  const registered = 'https://app.example/callback';

  beforeAll(async () => {
    deployment = await deploy();
    client = await deployment.register();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const ask = (parameters: Parameters, by = client) =>
    call(authorizationUrl(deployment, authorizationParameters(by, newPkce(), parameters)));

  /** A page of ours, and nothing that leads away. */
  function expectLocalPage(answer: Answer, what: string): void {
    expect(answer.status, what).toBe(400);
    expect(answer.headers.get('location'), what).toBeNull();
    expect(answer.headers.get('refresh'), what).toBeNull();
    expect(answer.headers.get('content-type'), what).toContain('text/html');
  }

  function expectLogin(answer: Answer, what = ''): void {
    expect(answer.status, what).toBe(303);
    expect(answer.headers.get('location'), what).toContain('login_challenge=');
  }

  test.each([
    [
      'security 1: prefixes, suffixes, subdomains',
      [
        'https://app.example/callback/',
        'https://app.example/callbackx',
        'https://app.example/callback?x=1',
        'https://app.example/callback#x',
        'https://app.example/callbac',
        'https://app.example/',
        'https://app.example',
        'https://app.example.evil.example/callback',
        'https://evil.app.example/callback',
        'https://app.example:443/callback',
        'http://app.example/callback',
        'https://evil.example/https://app.example/callback',
      ],
    ],
    [
      'security 2: nothing is decoded or normalised',
      [
        'https://app.example/x/../callback',
        'https://app.example/x/..%2fcallback',
        'https://app.example/x/%252e%252e/callback',
        'https://app.example/x/..;/callback',
        'https://app.example/%63allback',
        'https://app.example//callback',
        'https://app.example/./callback',
        'https://app.example\\callback',
        'https://app.example/callback%00',
        'https://app.example/callback\t',
        ' https://app.example/callback',
        'https://app.example/callback%20',
      ],
    ],
    [
      'security 3: user information before the host',
      [
        'https://app.example@evil.example/callback',
        'https://app.example:pass@evil.example/callback',
        'http://localhost:80@evil.example/callback',
        'https://evil.example\\@app.example/callback',
      ],
    ],
    [
      'security 4: case variants and patterns',
      [
        'HTTPS://app.example/callback',
        'https://APP.example/callback',
        'https://app.example/Callback',
        'https://app.example/*',
        'https://*.example/callback',
        '.*',
        'https://app.example/callbac.',
      ],
    ],
    [
      'security 6: schemes that run code',
      [
        'javascript:alert(1)',
        'javascript://app.example/callback',
        'data:text/html,<script>alert(1)</script>',
        'vbscript:msgbox(1)',
        'file:///etc/passwd',
        'blob:https://app.example/callback',
      ],
    ],
  ])('%s: a page of ours, never a redirect', async (_name, attempts) => {
    for (const attempt of attempts) {
      expectLocalPage(await ask({ redirect_uri: attempt }), attempt);
      // An error of the request itself must not redirect there either.
      expectLocalPage(await ask({ redirect_uri: attempt, response_type: 'token' }), attempt);
    }
    expectLogin(await ask({ redirect_uri: registered }));
  });

  test('an app that is unknown, disabled or not named: a page of ours, never a redirect', async () => {
    const disabled = await deployment.register({ disabled: true });
    for (const client_id of ['nobody', '', undefined, disabled.id]) {
      expectLocalPage(await ask({ client_id }), String(client_id));
    }
    expectLogin(await ask({}));
  });

  test('security 3: redirect URIs with user information cannot be registered', async () => {
    const wrong = [
      'https://app.example@evil.example/callback',
      'http://localhost:80@evil.example/callback',
    ];
    for (const uri of wrong) expect((await registering(uri)).status, uri).toBe(400);
    expect((await registering('https://app.example/other')).status).toBe(201);
  });

  test('security 4: patterns cannot be registered', async () => {
    for (const uri of ['https://app.example/*', 'https://*.example/callback', 'https://*']) {
      expect((await registering(uri)).body.error, uri).toBe('invalid_redirect_uri');
    }
    expect((await registering('https://app.example/star')).status).toBe(201);
  });

  test('security 5: of a loopback redirect only the port varies (RFC 8252 §7.3)', async () => {
    const native = await deployment.register({
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]:7000/callback'],
    });
    const right = [
      'http://127.0.0.1/callback',
      'http://127.0.0.1:51004/callback',
      'http://[::1]/callback',
      'http://[::1]:8123/callback',
    ];
    for (const uri of right) expectLogin(await ask({ redirect_uri: uri }, native), uri);
    const wrong = [
      'http://localhost:51004/callback',
      'http://127.0.0.2:51004/callback',
      'http://127.0.0.1.evil.example:51004/callback',
      'http://127.0.0.1:51004@evil.example/callback',
      'http://127.0.0.1:51004/callback/',
      'http://127.0.0.1:51004/other',
      'http://127.0.0.1:51004/callback?x=1',
      'http://127.0.0.1:99999/callback',
      'http://127.0.0.1:/callback',
      'http://127.0.0.1:0/callback',
      'https://127.0.0.1:51004/callback',
      'http://127.1:51004/callback',
      'http://2130706433:51004/callback',
    ];
    for (const uri of wrong) expectLocalPage(await ask({ redirect_uri: uri }, native), uri);
    const named = await deployment.register({
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://localhost:7000/callback'],
    });
    expectLogin(await ask({ redirect_uri: 'http://localhost:7000/callback' }, named));
    expectLocalPage(await ask({ redirect_uri: 'http://localhost:7001/callback' }, named), 'port');
  });

  test('security 6: schemes that run code cannot be registered, private-use ones can', async () => {
    const wrong = [
      'javascript:alert(1)',
      'javascript:/callback',
      'data:text/html,x',
      'vbscript:x',
      'file:///x',
      'about:blank',
      'http://app.example/callback',
      'myapp:/callback',
    ];
    for (const uri of wrong) {
      expect((await registering(uri)).body.error, uri).toBe('invalid_redirect_uri');
    }
    expect((await registering('com.example.app:/callback')).status).toBe(201);
  });

  test('security 7: a parameter given twice is refused (RFC 6749 §3.1)', async () => {
    const base = authorizationParameters(client, newPkce());
    for (const name of ['client_id', 'redirect_uri', 'state', 'scope', 'code_challenge']) {
      const query = formOf({ ...base, [name]: [String(base[name]), String(base[name])] });
      const url = `${deployment.server.publicUrl}/oauth2/auth`;
      expectLocalPage(await call(`${url}?${query}`), name);
      expectLocalPage(await call(url, { method: 'POST', body: query }), `POST ${name}`);
    }
    expectLogin(await ask({ resource: ['https://a.example/', 'https://b.example/'] }));
  });

  test('security 9: every redirect is a 303, so nothing replays a POST', async () => {
    const browser = openBrowser();
    const parameters = authorizationParameters(client, newPkce());
    const posted = await browser.post(`${deployment.server.publicUrl}/oauth2/auth`, parameters);
    expect(posted.status).toBe(303);
    const { answer } = await signIn(deployment, client);
    expect(answer.status).toBe(303);
    const logout = await browser.post(`${deployment.server.publicUrl}/oauth2/sessions/logout`, {});
    expect(logout.status).toBe(303);
  });

  test('security 10: an error page encodes what it shows, under a strict policy', async () => {
    const hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>';
    const page = await ask({ redirect_uri: `https://evil.example/${hostile}` });
    expectLocalPage(page, 'page');
    expect(page.text).not.toContain('<script>alert');
    expect(page.text).not.toContain('<img src=x');
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("base-uri 'none'");
    expect(policy).not.toContain('unsafe-inline');
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
    // The control: a plain one is shown, so the page does say what is wrong.
    const plain = await ask({ redirect_uri: 'https://evil.example/plain' });
    expect(plain.text).toContain('https://evil.example/plain');
    const direct = `${deployment.server.publicUrl}/ui/error?${formOf({
      error: hostile,
      error_description: hostile,
    })}`;
    expect((await call(direct)).text).not.toContain('<script>alert');
  });

  test('security 10: error parameters for the app hold only characters of RFC 6749 §4.1.2.1', async () => {
    const { returned, callback } = await signIn(deployment, client, {
      rejectConsent: { error: 'a"b\\c', error_description: 'x\r\nset-cookie: a=b\u2028é' },
    });
    expect(callback?.origin).toBe('https://app.example');
    for (const name of ['error', 'error_description']) {
      expect(returned.get(name)).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    }
    const control = await signIn(deployment, client, {
      rejectConsent: { error: 'access_denied', error_description: 'Not today.' },
    });
    expect(control.returned.get('error_description')).toBe('Not today.');
  });

  test('security 11: no page may be framed, no redirect tells where it came from', async () => {
    const redirect = await ask({});
    expectLogin(redirect);
    expect(redirect.headers.get('referrer-policy')).toBe('no-referrer');
    const login = await call(redirect.headers.get('location') ?? '');
    const pages = [login, await ask({ redirect_uri: 'https://evil.example/' })];
    for (const page of pages) {
      expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
      expect(page.headers.get('referrer-policy')).toBe('no-referrer');
      expect(page.headers.get('cache-control')).toContain('no-store');
    }
    expect(login.status).toBe(200);
    expect(login.text).toContain('id="login"');
  });

  test('security 12: iss in every authorization response, errors included (RFC 9207)', async () => {
    const answers = [
      await signIn(deployment, client),
      await signIn(deployment, client, { parameters: { response_mode: 'fragment' } }),
      await signIn(deployment, client, { parameters: { prompt: 'none' } }),
      await signIn(deployment, client, { parameters: { response_type: 'token' } }),
      await signIn(deployment, client, { parameters: { code_challenge: undefined } }),
      await signIn(deployment, client, { parameters: { scope: 'not.registered' } }),
      await signIn(deployment, client, { rejectLogin: {} }),
      await signIn(deployment, client, { rejectConsent: {} }),
    ];
    expect(answers[0]?.code).not.toBe('');
    expect(answers[1]?.callback?.hash).toContain('code=');
    for (const { returned } of answers) {
      expect(returned.getAll('iss')).toEqual([deployment.issuer]);
      expect(returned.getAll('state')).toEqual(['state-of-the-test-app']);
    }
  });

  test('security 48: a login that began elsewhere is not continued here (login CSRF)', async () => {
    const attacker = openBrowser();
    const begun = await signIn(deployment, client, { browser: attacker });
    const verifier = begun.hops.find((hop) => hop.includes('login_verifier=')) ?? '';
    const victim = openBrowser();
    const answer = await victim.get(verifier);
    expect(answer.status).toBe(403);
    expect(victim.cookies.size).toBe(0);
    // The same address in the browser that began it goes on.
    expect((await attacker.get(verifier)).status).toBe(303);
  });

  test('security 48: signing in again gives a new session, and an old cookie never names it', async () => {
    const login = { subject: 'alice', remember: true };
    const first = await signIn(deployment, client, { login });
    const planted = new Map(first.browser.cookies);
    const again = await signIn(deployment, client, {
      browser: openBrowser(planted),
      parameters: { prompt: 'login' },
      login: { subject: 'bob', remember: true },
    });
    const [before, after] = [first, again].map((one) => one.consentRequest?.login_session_id);
    expect(after).not.toBe(before);
    // Whoever kept the planted cookie is still alice, and nobody else.
    const keeper = await signIn(deployment, client, { browser: first.browser });
    expect(keeper.loginRequest).toMatchObject({ skip: true, subject: 'alice' });
    const owner = await signIn(deployment, client, { browser: again.browser });
    expect(owner.loginRequest).toMatchObject({ skip: true, subject: 'bob' });
  });

  test('security 48: a cancelled prompt=login signs nobody in', async () => {
    const browser = openBrowser();
    const parameters = { prompt: 'login' };
    const cancelled = await signIn(deployment, client, { browser, parameters, rejectLogin: {} });
    expect(cancelled.returned.has('code')).toBe(false);
    const silent = await signIn(deployment, client, { browser, parameters: { prompt: 'none' } });
    expect(silent.returned.get('error')).toBe('login_required');
    const done = await signIn(deployment, client, { browser, parameters });
    expect(done.code).not.toBe('');
  });

  function registering(uri: string): Promise<Answer> {
    return deployment.admin('POST', '/admin/clients', { redirect_uris: [uri] });
  }
});
