import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Browser,
  call,
  type Deployment,
  deploy,
  formOf,
  openBrowser,
  type Parameters,
  postLogoutUri,
} from './deployment.ts';
import { expectShape } from './hydra-shapes.ts';
import {
  claimsOf,
  connect,
  door,
  newPkce,
  refresh,
  signIn,
  tokensOf,
  travel,
} from './login-app.ts';

describe('logout handshake, sessions and revocations', () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await deploy();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const someone = () => `person-${newPkce().verifier}`;
  const endSession = (parameters: Parameters = {}) =>
    `${deployment.server.publicUrl}/oauth2/sessions/logout?${formOf(parameters)}`;
  const active = async (token: string) => (await deployment.introspect(token)).active;

  /** Somebody signed in, with an online token and an offline one. */
  async function signedIn(subject = someone()) {
    const client = await deployment.register();
    const login = { subject, remember: true };
    const offline = await connect(deployment, client, { login });
    const online = await connect(deployment, client, {
      browser: offline.browser,
      parameters: { scope: 'openid' },
    });
    return { client, subject, browser: offline.browser, offline, online };
  }

  async function logoutChallenge(browser: Browser, parameters: Parameters = {}) {
    const answer = await browser.get(endSession(parameters));
    const location = new URL(answer.headers.get('location') ?? 'none:');
    return location.searchParams.get('logout_challenge') ?? '';
  }

  test('GET shows the request in the fields of oAuth2LogoutRequest', async () => {
    const { client, subject, browser, online } = await signedIn();
    const parameters = { id_token_hint: online.id, post_logout_redirect_uri: postLogoutUri };
    const challenge = await logoutChallenge(browser, parameters);
    const { status, body, text } = await deployment.admin('GET', door('logout', challenge));
    expect(status).toBe(200);
    expectShape(body, 'oAuth2LogoutRequest', {
      required: ['challenge', 'subject', 'sid', 'request_url', 'rp_initiated', 'client'],
    });
    expect(body).toMatchObject({
      challenge,
      subject,
      sid: claimsOf(online.id).sid,
      rp_initiated: true,
      client: { client_id: client.id },
      request_url: endSession(parameters),
    });
    expect(text).not.toContain(client.secret);
    const own = await logoutChallenge(browser);
    const bare = (await deployment.admin('GET', door('logout', own))).body;
    expect(bare).toMatchObject({ rp_initiated: false, subject });
    expect(bare).not.toHaveProperty('client');
  });

  test('accept, without body or content type: online tokens end, offline access stays', async () => {
    const { client, browser, offline, online } = await signedIn();
    const challenge = await logoutChallenge(browser);
    const path = deployment.server.adminUrl + door('logout', challenge, 'accept');
    const headers = { authorization: `Bearer ${deployment.server.adminToken}` };
    const accepted = await call(path, { method: 'PUT', headers });
    expect(accepted.status).toBe(200);
    // Stateless, as in Hydra: accepting again and reading again work.
    expect((await call(path, { method: 'PUT', headers })).status).toBe(200);
    expect((await deployment.admin('GET', door('logout', challenge))).status).toBe(200);
    expect(await active(online.access)).toBe(true);
    const end = await browser.get(String(accepted.body.redirect_to));
    expect(end.headers.get('location')).toBe(`${deployment.issuer}/ui/signed-out`);
    expect(await active(online.access)).toBe(false);
    expect(await active(offline.access)).toBe(true);
    expect((await refresh(deployment, client, offline.refresh)).status).toBe(200);
    expect((await signIn(deployment, client, { browser })).loginRequest?.skip).toBe(false);
  });

  test('what was rejected stays rejected', async () => {
    const { browser, online } = await signedIn();
    const challenge = await logoutChallenge(browser);
    const reject = () => deployment.admin('PUT', door('logout', challenge, 'reject'));
    const accepted = await deployment.admin('PUT', door('logout', challenge, 'accept'));
    expect((await reject()).status).toBe(204);
    expect((await deployment.admin('PUT', door('logout', challenge, 'accept'))).status).toBe(404);
    expect((await deployment.admin('GET', door('logout', challenge))).status).toBe(404);
    // A verifier from before the rejection is as dead.
    const late = await browser.get(String(accepted.body.redirect_to));
    expect(late.status).toBe(400);
    expect(await active(online.access)).toBe(true);
  });

  test('a proxy without cookies, with only id_token_hint: signed out, server to server', async () => {
    const { offline, online } = await signedIn();
    const answer = await call(endSession({ id_token_hint: online.id }));
    expect(answer.status).toBe(303);
    expect(answer.headers.get('location')).toBe(`${deployment.issuer}/ui/signed-out`);
    expect(await active(online.access)).toBe(false);
    expect(await active(offline.access)).toBe(true);
  });

  test('by POST, and with a state (OIDC RP-Initiated Logout §2)', async () => {
    const { browser, online } = await signedIn();
    const first = await browser.post(`${deployment.server.publicUrl}/oauth2/sessions/logout`, {
      id_token_hint: online.id,
      post_logout_redirect_uri: postLogoutUri,
      state: 'a b&c',
    });
    const { callback } = await travel(deployment, browser, first);
    expect(callback?.searchParams.get('state')).toBe('a b&c');
    expect(await active(online.access)).toBe(false);
  });

  test('security 50: a forged hint, a foreign client, an unregistered address: refused', async () => {
    const { client, browser, online } = await signedIn();
    const other = await deployment.register();
    const forged = `${online.id.slice(0, -6)}AAAAAA`;
    const unsigned = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${online.id.split('.')[1]}.`;
    const to = { post_logout_redirect_uri: postLogoutUri };
    for (const parameters of [
      { id_token_hint: forged },
      { id_token_hint: unsigned },
      { id_token_hint: online.access },
      { id_token_hint: online.id, client_id: other.id },
      { id_token_hint: online.id, post_logout_redirect_uri: `${postLogoutUri}/` },
      { ...to },
      { logout_verifier: 'nonsense' },
    ]) {
      for (const answer of [
        await browser.get(endSession(parameters)),
        await call(endSession(parameters)),
      ]) {
        expect(answer.status, JSON.stringify(parameters)).toBe(400);
        expect(answer.headers.get('location')).toBeNull();
      }
    }
    expect(await active(online.access)).toBe(true);
    // The same request, right: the person is asked, and leads back to the app.
    const first = await browser.get(
      endSession({ ...to, id_token_hint: online.id, client_id: client.id }),
    );
    const { callback } = await travel(deployment, browser, first);
    expect(callback?.href).toBe(postLogoutUri);
    expect(await active(online.access)).toBe(false);
  });

  test('security 50: a stranger’s ID token signs no browser out without a question', async () => {
    const skipping = await deployment.register({ skip_logout_consent: true });
    const victim = await signedIn();
    const signInAs = (subject: string, browser = openBrowser()) =>
      connect(deployment, skipping, { browser, login: { subject, remember: true } });
    const [over, live] = [await signInAs(someone()), await signInAs(someone())];
    const sid = String(claimsOf(over.id).sid);
    await deployment.admin('DELETE', `/admin/oauth2/auth/sessions/login?sid=${sid}`);
    for (const stranger of [over, live]) {
      const answer = await victim.browser.get(endSession({ id_token_hint: stranger.id }));
      expect(answer.headers.get('location')).toContain('logout_challenge=');
      expect(answer.headers.getSetCookie()).toEqual([]);
    }
    // The browser's own login is what is asked about where the one of the hint is over.
    const challenge = await logoutChallenge(victim.browser, { id_token_hint: over.id });
    const shown = await deployment.admin('GET', door('logout', challenge));
    expect(shown.body).toMatchObject({ subject: victim.subject, rp_initiated: true });
    const next = await signIn(deployment, victim.client, { browser: victim.browser });
    expect(next.loginRequest?.skip).toBe(true);
    // Nobody is asked about a login of one's own, nor where the browser's login is over.
    const mine = await live.browser.get(endSession({ id_token_hint: live.id }));
    expect(mine.headers.get('location')).toBe(`${deployment.issuer}/ui/signed-out`);
    expect(live.browser.cookies.has('gh_session')).toBe(false);
    await over.browser.get(endSession({ id_token_hint: live.id }));
    expect(over.browser.cookies.has('gh_session')).toBe(false);
    // Without a cookie (a form of another site) nothing is known of the browser: it keeps its own.
    const blind = await call(endSession({ id_token_hint: over.id }));
    expect(blind.headers.getSetCookie()).toEqual([]);
  });

  test('RP-Initiated Logout §2: who signed in again, and says yes, is signed out of both logins', async () => {
    const client = await deployment.register();
    const [browser, subject] = [openBrowser(), someone()];
    const signInWith = (parameters: Parameters) =>
      connect(deployment, client, { browser, parameters, login: { subject, remember: true } });
    const before = await signInWith({ scope: 'openid' });
    const again = await signInWith({ scope: 'openid', prompt: 'login' });
    expect(claimsOf(again.id).sid).not.toBe(claimsOf(before.id).sid);
    const first = await browser.get(endSession({ id_token_hint: before.id }));
    const { answer, logoutRequest } = await travel(deployment, browser, first);
    expect(logoutRequest).toMatchObject({ subject, sid: claimsOf(again.id).sid });
    expect(answer.status).toBe(200);
    expect(browser.cookies.has('gh_session')).toBe(false);
    for (const { access } of [before, again]) expect(await active(access)).toBe(false);
    expect((await signIn(deployment, client, { browser })).loginRequest?.skip).toBe(false);
  });

  test('a logout verifier in a stranger’s browser does not sign the stranger out', async () => {
    const [mine, theirs] = [await signedIn(), await signedIn()];
    const challenge = await logoutChallenge(mine.browser);
    const { body } = await deployment.admin('PUT', door('logout', challenge, 'accept'));
    await theirs.browser.get(String(body.redirect_to));
    expect(await active(theirs.online.access)).toBe(true);
    const next = await signIn(deployment, theirs.client, { browser: theirs.browser });
    expect(next.loginRequest?.skip).toBe(true);
  });

  test('deleting login sessions by subject signs out everywhere, by sid one of them', async () => {
    const subject = someone();
    const [one, other] = [await signedIn(subject), await signedIn(subject)];
    const remove = (query: string) =>
      deployment.admin('DELETE', `/admin/oauth2/auth/sessions/login?${query}`);
    expect((await remove(`sid=${claimsOf(one.online.id).sid}`)).status).toBe(204);
    expect(await active(one.online.access)).toBe(false);
    expect(await active(other.online.access)).toBe(true);
    expect((await remove(`subject=${subject}`)).status).toBe(204);
    expect(await active(other.online.access)).toBe(false);
    for (const { client, browser, offline } of [one, other]) {
      expect(await active(offline.access)).toBe(true);
      expect((await signIn(deployment, client, { browser })).loginRequest?.skip).toBe(false);
    }
    expect((await remove('')).status).toBe(400);
    expect((await remove('sid=nobody')).status).toBe(204);
    expect((await remove(`subject=${someone()}`)).status).toBe(204);
  });

  test('DELETE /admin/oauth2/tokens: all tokens of one client, and it is asked for anew', async () => {
    const { client, browser, offline, online } = await signedIn();
    const own = tokensOf(
      await deployment.postAs(client, '/oauth2/token', { grant_type: 'client_credentials' }),
    );
    const bystander = await signedIn();
    const answer = await deployment.admin('DELETE', `/admin/oauth2/tokens?client_id=${client.id}`);
    expect(answer.status).toBe(204);
    for (const token of [offline.access, online.access, own.access]) {
      expect(await active(token)).toBe(false);
    }
    expect((await refresh(deployment, client, offline.refresh)).body.error).toBe('invalid_grant');
    expect(await active(bystander.online.access)).toBe(true);
    const again = await connect(deployment, client, { browser });
    expect(await active(again.access)).toBe(true);
    expect((await deployment.admin('DELETE', '/admin/oauth2/tokens')).status).toBe(400);
  });

  test('POST /admin/revocations: every kind kills what hangs from it, and no more', async () => {
    const revoke = (body: Parameters) => deployment.admin('POST', '/admin/revocations', body);
    const alive = ['token', 'chain', 'session', 'grant', 'subject', 'client_id'] as const;
    for (const kind of alive) {
      const { client, subject, offline, online } = await signedIn();
      const list = await deployment.admin(
        'GET',
        `/admin/oauth2/auth/sessions/consent?subject=${subject}`,
      );
      const target = {
        token: offline.access,
        // The chain's id is the consent request's: the code carried it.
        chain: String(offline.consentRequest?.consent_request_id),
        session: String(claimsOf(online.id).sid),
        grant: String(list.list[0]?.grant_id),
        subject,
        client_id: client.id,
      }[kind];
      const answer = await revoke({ [kind]: target, reason: 'test' });
      expect(answer.status, answer.text).toBe(200);
      const onlyOne = kind === 'token' || kind === 'chain';
      expect(await active(offline.access), kind).toBe(false);
      expect(await active(online.access), kind).toBe(onlyOne);
      const refreshed = await refresh(deployment, client, offline.refresh);
      expect(refreshed.status, kind).toBe(kind === 'token' ? 200 : 400);
      expect((await revoke({ [kind]: target })).status).toBe(200);
    }
    for (const wrong of [{}, { subject: 'a', client_id: 'b' }, { grant: 'x' }]) {
      expect((await revoke(wrong)).status).toBe(400);
    }
    expect((await revoke({ token: 'nonsense' })).status).toBe(404);
  });

  test('a refresh token given to the revocation door takes its chain along', async () => {
    const { client, offline, online } = await signedIn();
    await deployment.admin('POST', '/admin/revocations', { token: offline.refresh });
    expect(await active(offline.access)).toBe(false);
    expect((await refresh(deployment, client, offline.refresh)).body.error).toBe('invalid_grant');
    expect(await active(online.access)).toBe(true);
  });

  test('nobody signed in: logout leads on, without a question', async () => {
    const answer = await openBrowser().get(endSession());
    expect(answer.headers.get('location')).toBe(`${deployment.issuer}/ui/signed-out`);
  });
});
