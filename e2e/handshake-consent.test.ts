import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changeRows } from '#server/testing/rows.ts';
import { call, type Deployment, deploy, type Json, openBrowser } from './deployment.ts';
import { expectShape } from './hydra-shapes.ts';
import {
  authorizationParameters,
  authorizationUrl,
  claimsOf,
  connect,
  door,
  newPkce,
  redeem,
  refresh,
  signIn,
  tokensOf,
} from './login-app.ts';

describe('consent handshake', () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await deploy();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const consents = (subject: string, more = '') =>
    deployment.admin('GET', `/admin/oauth2/auth/sessions/consent?subject=${subject}${more}`);
  const deleteConsents = (query: string) =>
    deployment.admin('DELETE', `/admin/oauth2/auth/sessions/consent?${query}`);
  /** Somebody nobody has seen: consents hang on the subject, and tests share the database. */
  const someone = () => `person-${newPkce().verifier}`;

  /** A sign-in that ends at the consent app, with its challenge. */
  async function consentChallenge(scope = 'openid offline_access api.read', subject = someone()) {
    const client = await deployment.register();
    const browser = openBrowser();
    const pkce = newPkce();
    const parameters = authorizationParameters(client, pkce, {
      scope,
      resource: 'https://api.example/',
    });
    const first = await browser.get(authorizationUrl(deployment, parameters));
    const login = challengeIn(first.headers.get('location'), 'login');
    const accepted = await deployment.admin('PUT', door('login', login, 'accept'), {
      subject,
      acr: 'urn:mfa',
      amr: ['pwd'],
      context: { tenant: 'acme' },
    });
    const second = await browser.get(String(accepted.body.redirect_to));
    const challenge = challengeIn(second.headers.get('location'), 'consent');
    const accept = (body: Json) =>
      deployment.admin('PUT', door('consent', challenge, 'accept'), body);
    return { client, browser, pkce, login, challenge, accept, subject };
  }

  test('what may be asked for may be granted: 20 audiences beside 20 resources', async () => {
    const named = (of: string) =>
      Array.from({ length: 20 }, (_, n) => `https://${of}.example/${n}`);
    const [audience, resource] = [named('audience'), named('resource')];
    const client = await deployment.register({ audience });
    const { access } = await connect(deployment, client, { parameters: { audience, resource } });
    const { aud } = await deployment.introspect(access);
    expect(new Set([aud].flat())).toEqual(new Set([...audience, ...resource]));
  });

  function challengeIn(location: string | null, kind: string): string {
    return new URL(location ?? '').searchParams.get(`${kind}_challenge`) ?? '';
  }

  test('GET shows the request in the fields of oAuth2ConsentRequest', async () => {
    const { client, challenge, subject } = await consentChallenge();
    const { status, body, text } = await deployment.admin('GET', door('consent', challenge));
    expect(status).toBe(200);
    expectShape(body, 'oAuth2ConsentRequest', {
      required: ['challenge', 'client', 'login_challenge', 'consent_request_id', 'request_url'],
    });
    expect(body).toMatchObject({
      challenge,
      skip: false,
      subject,
      acr: 'urn:mfa',
      amr: ['pwd'],
      context: { tenant: 'acme' },
      requested_scope: ['openid', 'offline_access', 'api.read'],
      requested_access_token_audience: ['https://api.example/'],
      client: { client_id: client.id },
    });
    expect(body.login_session_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(text).not.toContain(client.secret);
    expect(challenge.length).toBeLessThanOrEqual(1024);
    // Sealed anew, so the text differs; what it reads is the same request.
    const login = await deployment.admin('GET', door('login', String(body.login_challenge)));
    expect(login.body).toMatchObject({ request_url: body.request_url, skip: false });
  });

  test('less than was asked may be granted, and the app is told', async () => {
    const { client, browser, pkce, accept } = await consentChallenge();
    const accepted = await accept({ grant_scope: ['openid'], grant_access_token_audience: [] });
    const back = await browser.get(String(accepted.body.redirect_to));
    const callback = new URL(back.headers.get('location') ?? '');
    const code = callback.searchParams.get('code') ?? '';
    const tokens = tokensOf(await redeem(deployment, client, { code, pkce }));
    expect(tokens.answer.body.scope).toBe('openid');
    expect(tokens.answer.body).not.toHaveProperty('refresh_token');
    const shown = await deployment.introspect(tokens.access);
    expect(shown).toMatchObject({ scope: 'openid', aud: [] });
  });

  test('more than was asked cannot be granted', async () => {
    const { accept } = await consentChallenge();
    const wider = await accept({ grant_scope: ['openid', 'api.write'] });
    expect(wider.status).toBe(400);
    expect(wider.body.error_description).toContain('api.write');
    const foreign = await accept({ grant_access_token_audience: ['https://other.example/'] });
    expect(foreign.status).toBe(400);
    const right = await accept({ grant_access_token_audience: ['https://api.example/'] });
    expect(right.status).toBe(200);
  });

  test('a rejection without an error sends `consent request denied`', async () => {
    const client = await deployment.register();
    const plain = await signIn(deployment, client, { rejectConsent: {} });
    expect(plain.returned.get('error')).toBe('consent request denied');
    expect(plain.returned.has('code')).toBe(false);
    const own = await signIn(deployment, client, {
      rejectConsent: { error: 'access_denied', error_description: 'No', error_hint: 'Ask Bob' },
    });
    expect(own.returned.get('error')).toBe('access_denied');
    expect(own.returned.get('error_hint')).toBe('Ask Bob');
  });

  test('what each field may hold and all together may not is refused at accept', async () => {
    // Three bytes a character, and no two that deflate well together.
    const wide = (length: number) =>
      Array.from({ length }, (_, at) => String.fromCodePoint(0x4e00 + ((at * at) % 20_000))).join(
        '',
      );
    const claims = { note: wide(31_900) };
    const client = await deployment.register();
    const tooMuch = connect(deployment, client, {
      parameters: { unknown: 's'.repeat(14_000) },
      consent: { session: { id_token: claims, access_token: claims }, context: wide(20_000) },
    });
    await expect(tooMuch).rejects.toThrow('the consent app was refused: 400');
    await connect(deployment, client, { consent: { session: { id_token: claims } } });

    // The same of what the chain keeps: each of these 255 characters is six there.
    const pairwise = await deployment.register({ subject_type: 'pairwise' });
    const plain = { note: 'n'.repeat(31_980) };
    const forced = { force_subject_identifier: '\u0001'.repeat(255) };
    const consent = { session: { id_token: plain, access_token: plain } };
    await expect(connect(deployment, pairwise, { login: forced, consent })).rejects.toThrow(
      'the consent app was refused: 400',
    );
    const most = await connect(deployment, pairwise, {
      consent: { ...consent, context: 'c'.repeat(31_980) },
    });
    expect(claimsOf(most.id)).toMatchObject(plain);
  });

  test.each([
    ['small', 100],
    ['over 4 KiB', 6000],
  ])(
    'session claims (%s) reach ID token, userinfo, introspection and refreshed tokens',
    async (_name, length) => {
      const note = 'n'.repeat(length);
      const client = await deployment.register();
      const session = {
        id_token: { name: 'Alice', note, sub: 'mallory', iss: 'https://evil.example', exp: 1 },
        access_token: { tenant: 'acme', note },
      };
      const tokens = await connect(deployment, client, { consent: { session } });
      const refreshed = tokensOf(await refresh(deployment, client, tokens.refresh));
      for (const { id, access } of [tokens, refreshed]) {
        expect(claimsOf(id)).toMatchObject({ name: 'Alice', note, sub: 'alice' });
        expect(claimsOf(id).iss).toBe(deployment.issuer);
        const userinfo = await deployment.userinfo(access);
        expect(userinfo.body).toMatchObject({ sub: 'alice', name: 'Alice', note });
        const shown = await deployment.introspect(access);
        expectShape(shown, 'introspectedOAuth2Token', { required: ['active'] });
        expect(shown).toMatchObject({ active: true, ext: { tenant: 'acme', note } });
      }
      expect(await deployment.introspect(refreshed.refresh)).toMatchObject({
        active: true,
        token_use: 'refresh_token',
        ext: { tenant: 'acme', note },
      });
    },
  );

  test.each([
    ['small', 100],
    ['over 4 KiB', 6000],
  ])(
    'session claims (%s) of a JWT access token: ext is shown, those of userinfo are not',
    async (_name, length) => {
      const note = 'n'.repeat(length);
      const client = await deployment.register({ access_token_strategy: 'jwt' });
      const session = { id_token: { secret_note: note }, access_token: { tenant: 'acme' } };
      const tokens = await connect(deployment, client, { consent: { session } });
      expect(tokens.access).not.toContain(note);
      expect(JSON.stringify(claimsOf(tokens.access))).not.toContain('secret_note');
      expect((await deployment.userinfo(tokens.access)).body.secret_note).toBe(note);
      expect(await deployment.introspect(tokens.access)).toMatchObject({ ext: { tenant: 'acme' } });
    },
  );

  test('a remembered consent is skipped; it hangs on the subject, not on the browser', async () => {
    const client = await deployment.register();
    const subject = someone();
    const remember = { login: { subject }, consent: { remember: true } };
    expect((await signIn(deployment, client, remember)).consentRequest?.skip).toBe(false);
    const elsewhere = await connect(deployment, client, { login: { subject } });
    expect(elsewhere.consentRequest?.skip).toBe(true);
    const more = { scope: 'openid offline_access api.read' };
    const asked = await signIn(deployment, client, { login: { subject }, parameters: more });
    expect(asked.consentRequest?.skip).toBe(false);
    const prompted = { login: { subject }, parameters: { prompt: 'consent' } };
    expect((await signIn(deployment, client, prompted)).consentRequest?.skip).toBe(false);
    const other = await signIn(deployment, client, { login: { subject: someone() } });
    expect(other.consentRequest?.skip).toBe(false);
  });

  test('remember_for of a consent ends on the server', async () => {
    const client = await deployment.register();
    const login = { subject: someone() };
    await signIn(deployment, client, { login, consent: { remember: true, remember_for: 3600 } });
    expect((await signIn(deployment, client, { login })).consentRequest?.skip).toBe(true);
    await changeRows(
      deployment.server.database.urls.owner,
      `update "grant" set remember_until = remember_until - interval '1 hour' where subject = $1`,
      [login.subject],
    );
    expect((await signIn(deployment, client, { login })).consentRequest?.skip).toBe(false);
  });

  test('a client with skip_consent still reaches the consent app, with skip false', async () => {
    const client = await deployment.register({ skip_consent: true });
    const { consentRequest } = await signIn(deployment, client);
    expect(consentRequest).toMatchObject({ skip: false, client: { skip_consent: true } });
  });

  test('prompt=none without a consent that is remembered: consent_required', async () => {
    const client = await deployment.register();
    const login = { subject: someone(), remember: true };
    const { browser } = await connect(deployment, client, { login });
    const parameters = { prompt: 'none' };
    const silent = await signIn(deployment, client, { browser, parameters });
    expect(silent.returned.get('error')).toBe('consent_required');
  });

  test('RFC 8252 §8.6: a public client on a redirect that proves nothing is always asked', async () => {
    const login = { subject: someone() };
    const open = { token_endpoint_auth_method: 'none' };
    const native = await deployment.register({ ...open, redirect_uris: ['com.example.app:/cb'] });
    const web = await deployment.register(open);
    for (const [client, skip] of [
      [native, false],
      [web, true],
    ] as const) {
      await signIn(deployment, client, { login, consent: { remember: true } });
      expect((await signIn(deployment, client, { login })).consentRequest?.skip).toBe(skip);
    }
  });

  test('listing: one entry per grant in the fields of oAuth2ConsentSession, in pages', async () => {
    const subject = someone();
    const clients = await Promise.all([1, 2, 3].map(() => deployment.register()));
    const session = { id_token: { name: 'Alice' }, access_token: { tenant: 'acme' } };
    for (const client of clients) {
      await connect(deployment, client, {
        login: { subject, context: { tenant: 'acme' } },
        consent: { session, remember: true, remember_for: 3600, grant_scope: ['openid'] },
      });
    }
    const all = await consents(subject);
    expect(all.list).toHaveLength(3);
    for (const entry of all.list) {
      expectShape(entry, 'oAuth2ConsentSession', {
        required: ['consent_request', 'consent_request_id', 'handled_at', 'session'],
        maybeEmpty: ['challenge', 'acr'],
      });
      expect(entry).toMatchObject({
        grant_scope: ['openid'],
        remember: true,
        remember_for: 3600,
        session,
        context: { tenant: 'acme' },
        consent_request: { subject, requested_scope: ['openid', 'offline_access'], skip: false },
      });
    }
    const seen: unknown[] = [];
    let next: string | undefined =
      `${deployment.server.adminUrl}/admin/oauth2/auth/sessions/consent?subject=${subject}&page_size=2`;
    const authorization = `Bearer ${deployment.server.adminToken}`;
    for (let page = 0; next !== undefined && page < 5; page += 1) {
      const answer = await call(next, { headers: { authorization } });
      seen.push(...answer.list.map((entry) => entry.consent_request_id));
      const link = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
      next = link === undefined ? undefined : new URL(link, deployment.server.adminUrl).href;
    }
    expect(seen.toSorted()).toEqual(all.list.map((entry) => entry.consent_request_id).toSorted());
    const sid = Object(all.list[0]?.consent_request).login_session_id;
    expect((await consents(subject, `&login_session_id=${sid}`)).list).toHaveLength(1);
    expect((await consents(someone())).list).toEqual([]);
    expect((await consents('')).status).toBe(400);
  });

  test('revocation by subject and client kills the tokens of that app only', async () => {
    const subject = someone();
    const [one, other] = [await deployment.register(), await deployment.register()];
    const options = { login: { subject }, consent: { remember: true } };
    const dies = await connect(deployment, one, options);
    const lives = await connect(deployment, other, options);
    const gone = await deleteConsents(`subject=${subject}&client=${one.id}`);
    expect(gone.status).toBe(204);
    expect(gone.text).toBe('');
    expect(await deployment.introspect(dies.access)).toEqual({ active: false });
    expect((await refresh(deployment, one, dies.refresh)).body.error).toBe('invalid_grant');
    expect(await deployment.introspect(lives.access)).toMatchObject({ active: true });
    expect((await consents(subject)).list).toHaveLength(1);
    const again = await connect(deployment, one, { login: { subject } });
    expect(again.consentRequest?.skip).toBe(false);
    expect(await deployment.introspect(again.access)).toMatchObject({ active: true });
    expect(await deployment.introspect(dies.access)).toEqual({ active: false });
  });

  test('revocation of all of a subject, and by consent_request_id', async () => {
    const subject = someone();
    const clients = [await deployment.register(), await deployment.register()];
    const tokens = [];
    for (const client of clients) {
      tokens.push(await connect(deployment, client, { login: { subject } }));
    }
    const id = String(tokens[0]?.consentRequest?.consent_request_id);
    expect((await deleteConsents(`consent_request_id=${id}`)).status).toBe(204);
    expect(await deployment.introspect(tokens[0]?.access ?? '')).toEqual({ active: false });
    expect(await deployment.introspect(tokens[1]?.access ?? '')).toMatchObject({ active: true });
    expect((await deleteConsents(`subject=${subject}&all=true`)).status).toBe(204);
    expect(await deployment.introspect(tokens[1]?.access ?? '')).toEqual({ active: false });
    expect((await deleteConsents(`subject=${subject}`)).status).toBe(400);
    expect((await deleteConsents('all=true')).status).toBe(400);
    expect((await deleteConsents(`consent_request_id=${id}&subject=x`)).status).toBe(400);
  });
});
