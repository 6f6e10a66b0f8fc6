import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changeRows } from '#server/testing/rows.ts';
import { type Deployment, deploy, openBrowser, type Parameters } from './deployment.ts';
import { expectShape } from './hydra-shapes.ts';
import {
  authorizationParameters,
  authorizationUrl,
  claimsOf,
  connect,
  door,
  newPkce,
  redeem,
  signIn,
  tokensOf,
  travel,
} from './login-app.ts';

describe('login handshake', () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await deploy();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  /** Sends a browser off and stops at the login app. */
  async function challengeOf(parameters: Parameters = {}, browser = openBrowser()) {
    const client = await deployment.register();
    const all = authorizationParameters(client, newPkce(), parameters);
    const url = authorizationUrl(deployment, all);
    const answer = await browser.get(url);
    const location = new URL(answer.headers.get('location') ?? '');
    return { url, client, browser, challenge: location.searchParams.get('login_challenge') ?? '' };
  }

  const remembered = { login: { subject: 'alice', remember: true } };

  test('GET shows the request in the fields of oAuth2LoginRequest', async () => {
    const { url, client, challenge } = await challengeOf({
      login_hint: 'alice@example.com',
      ui_locales: 'de en',
      acr_values: 'urn:mfa urn:pwd',
      display: 'popup',
      resource: 'https://api.example/',
    });
    const asked = await deployment.admin('GET', door('login', challenge));
    expect(asked.status).toBe(200);
    expectShape(asked.body, 'oAuth2LoginRequest', {
      required: ['challenge', 'skip', 'subject', 'client', 'request_url'],
      maybeEmpty: ['subject', 'session_id'],
    });
    expect(asked.body).toMatchObject({
      challenge,
      skip: false,
      subject: '',
      requested_scope: ['openid', 'offline_access'],
      requested_access_token_audience: ['https://api.example/'],
      request_url: url.replace(deployment.server.publicUrl, deployment.issuer),
      oidc_context: {
        login_hint: 'alice@example.com',
        ui_locales: ['de', 'en'],
        acr_values: ['urn:mfa', 'urn:pwd'],
        display: 'popup',
      },
    });
    expect(asked.body.client).toMatchObject({ client_id: client.id, client_name: 'Test app' });
    expect(asked.text).not.toContain(client.secret);
    expect(challenge.length).toBeLessThanOrEqual(1024);
  });

  test('a challenge that is unknown, changed, missing or of another kind is refused', async () => {
    const { challenge } = await challengeOf();
    const last = challenge.at(-5) === 'A' ? 'B' : 'A';
    const changed = challenge.slice(0, -5) + last + challenge.slice(-4);
    for (const wrong of ['nonsense', changed, challenge.slice(0, -1), `${challenge}A`]) {
      const answer = await deployment.admin('GET', door('login', wrong));
      expect(answer.status).toBe(404);
      expectShape(answer.body, 'errorOAuth2', { required: ['error', 'error_description'] });
    }
    const asConsent = await deployment.admin('GET', door('consent', challenge));
    expect(asConsent.status).toBe(404);
    expect((await deployment.admin('GET', door('login', ''))).status).toBe(400);
    expect((await deployment.admin('GET', door('login', challenge))).status).toBe(200);
  });

  test('challenges are stateless: accepting twice works, GET after use answers 200', async () => {
    const { client, browser, challenge } = await challengeOf();
    const accept = () =>
      deployment.admin('PUT', door('login', challenge, 'accept'), { subject: 'alice' });
    const first = await accept();
    const journey = await travel(
      deployment,
      browser,
      await browser.get(String(first.body.redirect_to)),
    );
    expect(journey.callback?.searchParams.get('code')).toBeTruthy();
    expect((await deployment.admin('GET', door('login', challenge))).status).toBe(200);
    expect((await accept()).status).toBe(200);
    expect(client.id).toBeTruthy();
  });

  test('accept refuses what it cannot use, and says which field', async () => {
    const { challenge } = await challengeOf();
    const wrong = [
      {},
      { subject: '' },
      { subject: 7 },
      { subject: 'a'.repeat(256) },
      { subject: 'alice', remember: 'yes' },
      { subject: 'alice', remember_for: 1.5 },
      { subject: 'alice', amr: 'pwd' },
      { subject: 'alice', context: 'x'.repeat(5000) },
      [],
    ];
    for (const body of wrong) {
      const answer = await deployment.admin('PUT', door('login', challenge, 'accept'), body);
      expect(answer.status, JSON.stringify(body)).toBe(400);
      expect(answer.body.error).toBe('invalid_request');
    }
  });

  test('a rejection without an error sends `login request denied`', async () => {
    const client = await deployment.register();
    const plain = await signIn(deployment, client, { rejectLogin: {} });
    expect(plain.returned.get('error')).toBe('login request denied');
    expect(plain.returned.get('state')).toBe('state-of-the-test-app');
    const own = await signIn(deployment, client, {
      rejectLogin: { error: 'access_denied', error_description: 'Not now', status_code: 403 },
    });
    expect(own.returned.get('error')).toBe('access_denied');
    expect(own.returned.get('error_description')).toBe('Not now');
    expect(own.returned.has('code')).toBe(false);
  });

  test('a remembered login is skipped, with its subject, session, acr, amr and auth_time', async () => {
    const client = await deployment.register();
    const first = await connect(deployment, client, {
      login: { subject: 'alice', remember: true, acr: 'urn:mfa', amr: ['pwd', 'otp'] },
    });
    await sleep(1100);
    const second = await connect(deployment, client, { browser: first.browser });
    expect(second.loginRequest).toMatchObject({ skip: true, subject: 'alice' });
    expect(second.loginRequest?.session_id).toBe(first.consentRequest?.login_session_id);
    expect(second.consentRequest).toMatchObject({ acr: 'urn:mfa', amr: ['pwd', 'otp'] });
    const [before, after] = [claimsOf(first.id), claimsOf(second.id)];
    expect(after).toMatchObject({ acr: 'urn:mfa', amr: ['pwd', 'otp'], sid: before.sid });
    expect(after.auth_time).toBe(before.auth_time);
    expect(Number(after.iat)).toBeGreaterThan(Number(before.iat));
  });

  test('a skipped login cannot become somebody else', async () => {
    const client = await deployment.register();
    const { browser } = await connect(deployment, client, remembered);
    const url = authorizationUrl(deployment, authorizationParameters(client, newPkce()));
    const location = new URL((await browser.get(url)).headers.get('location') ?? '');
    const challenge = location.searchParams.get('login_challenge') ?? '';
    const path = door('login', challenge, 'accept');
    expect((await deployment.admin('PUT', path, { subject: 'mallory' })).status).toBe(400);
    expect((await deployment.admin('PUT', path, { subject: 'alice' })).status).toBe(200);
  });

  test('a login that is not remembered is asked for again', async () => {
    const client = await deployment.register();
    const { browser } = await connect(deployment, client);
    const second = await signIn(deployment, client, { browser });
    expect(second.loginRequest).toMatchObject({ skip: false, subject: '' });
  });

  test('remember_for ends on the server, not by the cookie; extend_session_lifespan prolongs', async () => {
    const client = await deployment.register();
    const short = { subject: 'alice', remember: true, remember_for: 3600 };
    const kept = await connect(deployment, client, { login: short });
    const left = await connect(deployment, client, { login: short });
    // The jars of these browsers keep cookies for ever.
    expect(kept.browser.cookies.size).toBeGreaterThan(0);
    const extended = await connect(deployment, client, {
      browser: kept.browser,
      login: { remember: true, remember_for: 10_800, extend_session_lifespan: true },
    });
    expect(extended.loginRequest?.skip).toBe(true);
    await changeRows(
      deployment.server.database.urls.owner,
      `update session set created_at = created_at - interval '1 hour',
           expires_at = expires_at - interval '1 hour'
         where expires_at < now() + interval '4 hours'`,
    );
    const again = { browser: kept.browser };
    expect((await signIn(deployment, client, again)).loginRequest?.skip).toBe(true);
    const over = { browser: left.browser };
    expect((await signIn(deployment, client, over)).loginRequest?.skip).toBe(false);
  });

  test('a login that is not to be remembered ends what the browser remembered of another', async () => {
    const client = await deployment.register();
    const { browser } = await connect(deployment, client, { ...remembered });
    const known = await signIn(deployment, client, { ...remembered, browser });
    expect(known.loginRequest).toMatchObject({ skip: true, subject: 'alice' });
    const parameters = { prompt: 'login' };
    await signIn(deployment, client, { browser, parameters, login: { subject: 'bob' } });
    const next = await signIn(deployment, client, { browser });
    expect(next.loginRequest).toMatchObject({ skip: false, subject: '' });
  });

  test('prompt=none, prompt=login, max_age', async () => {
    const client = await deployment.register();
    const { browser } = await connect(deployment, client, {
      ...remembered,
      consent: { remember: true },
    });
    const ask = (parameters: Parameters) =>
      signIn(deployment, client, { ...remembered, browser, parameters });

    const silent = await ask({ prompt: 'none' });
    expect(silent.code).not.toBe('');
    expect(silent.loginRequest?.skip).toBe(true);
    expect((await ask({ prompt: 'login' })).loginRequest?.skip).toBe(false);
    expect((await ask({ prompt: 'select_account' })).loginRequest?.skip).toBe(false);
    expect((await ask({ max_age: '600' })).loginRequest?.skip).toBe(true);
    expect((await ask({ max_age: '0' })).loginRequest?.skip).toBe(false);

    const nobody = await signIn(deployment, client, { parameters: { prompt: 'none' } });
    expect(nobody.returned.get('error')).toBe('login_required');
    const mixed = await ask({ prompt: 'none login' });
    expect(mixed.returned.get('error')).toBe('invalid_request');
    const wrong = await ask({ max_age: 'soon' });
    expect(wrong.returned.get('error')).toBe('invalid_request');
  });

  test('max_age: an older login is asked for again, and auth_time tells', async () => {
    const client = await deployment.register();
    const first = await connect(deployment, client, remembered);
    await sleep(2100);
    const second = await connect(deployment, client, {
      browser: first.browser,
      parameters: { max_age: '1' },
    });
    expect(second.loginRequest?.skip).toBe(false);
    expect(Number(claimsOf(second.id).auth_time)).toBeGreaterThan(
      Number(claimsOf(first.id).auth_time),
    );
  });

  test('OIDC Core §5.5: claims may require a subject and an acr', async () => {
    const client = await deployment.register();
    const asking = (idToken: object, login: Readonly<Record<string, unknown>> = {}) =>
      signIn(deployment, client, {
        parameters: { claims: JSON.stringify({ id_token: idToken }) },
        login,
      });
    const mfa = { acr: { essential: true, values: ['urn:mfa'] } };
    expect((await asking(mfa, { acr: 'urn:mfa' })).code).not.toBe('');
    const weak = await asking(mfa, { acr: 'urn:pwd' });
    expect(weak.returned.get('error')).toBe('unmet_authentication_requirements');
    expect((await asking({ acr: { values: ['urn:mfa'] } })).code).not.toBe('');
    expect((await asking({ sub: { value: 'alice' } })).code).not.toBe('');
    const other = await asking({ sub: { value: 'bob' } });
    expect(other.returned.get('error')).toBe('login_required');
    const broken = await signIn(deployment, client, { parameters: { claims: '{' } });
    expect(broken.returned.get('error')).toBe('invalid_request');
  });

  test('id_token_hint: shown to the login app, and another person than hinted is refused', async () => {
    const client = await deployment.register();
    const first = await connect(deployment, client, remembered);
    const hinted = { parameters: { id_token_hint: first.id } };
    const same = await signIn(deployment, client, { ...hinted, browser: first.browser });
    expect(same.loginRequest).toMatchObject({
      skip: true,
      oidc_context: { id_token_hint_claims: { sub: 'alice' } },
    });
    const other = await signIn(deployment, client, { ...hinted, login: { subject: 'bob' } });
    expect(other.returned.get('error')).toBe('login_required');
    const forged = `${first.id.slice(0, -6)}AAAAAA`;
    const wrong = await signIn(deployment, client, { parameters: { id_token_hint: forged } });
    expect(wrong.returned.get('error')).toBe('invalid_request');
  });

  test('an id_token_hint signed by the previous key is good while that key is published', async () => {
    const client = await deployment.register();
    const { id } = await connect(deployment, client);
    const made = await deployment.admin('POST', '/admin/keys/hydra.openid.id-token', {
      alg: 'RS256',
      use: 'sig',
      kid: '',
    });
    expect(made.status).toBe(201);
    const newer = await connect(deployment, client, { parameters: { id_token_hint: id } });
    const kid = (jwt: string) =>
      JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString()).kid;
    expect(kid(newer.id)).not.toBe(kid(id));
  });

  test('force_subject_identifier acts for pairwise clients only', async () => {
    const forced = { login: { subject: 'alice', force_subject_identifier: 'forced-alice' } };
    const open = await deployment.register();
    expect(claimsOf((await connect(deployment, open, forced)).id).sub).toBe('alice');

    const pairwise = await deployment.register({ subject_type: 'pairwise' });
    const tokens = await connect(deployment, pairwise, forced);
    expect(claimsOf(tokens.id).sub).toBe('forced-alice');
    expect((await deployment.userinfo(tokens.access)).body.sub).toBe('forced-alice');
    expect(await deployment.introspect(tokens.access)).toMatchObject({
      sub: 'alice',
      obfuscated_subject: 'forced-alice',
    });
    // What the app itself can see never names the person: its own introspection, and its JWTs.
    const own = await deployment.postAs(pairwise, '/oauth2/introspect', { token: tokens.access });
    expect(own.body).toMatchObject({ active: true, sub: 'forced-alice' });
    expect(own.text).not.toContain('"alice"');
    const jwts = await deployment.register({
      subject_type: 'pairwise',
      access_token_strategy: 'jwt',
    });
    const { access } = await connect(deployment, jwts, forced);
    expect(claimsOf(access).sub).toBe('forced-alice');
    expect(JSON.stringify(claimsOf(access))).not.toContain('"alice"');
    expect(await deployment.introspect(access)).toMatchObject({ active: true, sub: 'alice' });
    // A client that speaks for itself is who it is (RFC 9068 §2.2).
    const machine = { grant_type: 'client_credentials' };
    const itself = tokensOf(await deployment.postAs(jwts, '/oauth2/token', machine)).access;
    expect(claimsOf(itself).sub).toBe(jwts.id);
    const derived = claimsOf((await connect(deployment, pairwise)).id).sub;
    expect(derived).toMatch(/^[0-9a-f]{64}$/);
    const elsewhere = await deployment.register({
      subject_type: 'pairwise',
      redirect_uris: ['https://other.example/callback'],
    });
    expect(claimsOf((await connect(deployment, elsewhere)).id).sub).not.toBe(derived);
  });

  test('context goes from the login app to the consent app', async () => {
    const client = await deployment.register();
    const context = { tenant: 'acme', roles: ['a', 'b'] };
    const { consentRequest } = await signIn(deployment, client, { login: { context } });
    expect(consentRequest?.context).toEqual(context);
  });

  test('two tabs of one app in one browser do not disturb each other', async () => {
    const client = await deployment.register();
    const browser = openBrowser();
    const tabs = ['one', 'two'].map((state) => ({ state, pkce: newPkce() }));
    const begun = [];
    for (const { state, pkce } of tabs) {
      const parameters = authorizationParameters(client, pkce, { state });
      begun.push(await browser.get(authorizationUrl(deployment, parameters)));
    }
    for (const [index, tab] of tabs.entries()) {
      const first = begun[index];
      if (first === undefined) throw new Error('a tab did not begin');
      const { callback } = await travel(deployment, browser, first, {
        login: { subject: tab.state },
      });
      expect(callback?.searchParams.get('state')).toBe(tab.state);
      const code = callback?.searchParams.get('code') ?? '';
      const tokens = tokensOf(await redeem(deployment, client, { code, pkce: tab.pkce }));
      expect(claimsOf(tokens.id).sub).toBe(tab.state);
    }
  });

  test('a request larger than 1 KiB goes by reference, by GET and by POST', async () => {
    const client = await deployment.register();
    const state = 'x'.repeat(3000);
    const byGet = await signIn(deployment, client, { parameters: { state } });
    expect(byGet.returned.get('state')).toBe(state);
    const longest = byGet.hops.filter((hop) => !hop.includes('code=')).map((hop) => hop.length);
    expect(Math.max(...longest)).toBeLessThan(1300);

    const browser = openBrowser();
    const pkce = newPkce();
    const claims = JSON.stringify({ userinfo: { [`claim_${'y'.repeat(4000)}`]: null } });
    const first = await browser.post(
      `${deployment.server.publicUrl}/oauth2/auth`,
      authorizationParameters(client, pkce, { state, claims }),
    );
    expect(first.status).toBe(303);
    const { callback } = await travel(deployment, browser, first);
    expect(callback?.searchParams.get('state')).toBe(state);
    const code = callback?.searchParams.get('code') ?? '';
    expect((await redeem(deployment, client, { code, pkce })).status).toBe(200);
  });
});
