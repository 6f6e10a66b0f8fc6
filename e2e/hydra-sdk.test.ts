import { Configuration, JwkApi, OAuth2Api, OidcApi } from '@ory/hydra-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Deployment,
  deploy,
  formOf,
  openBrowser,
  postLogoutUri,
  redirectUri,
} from './deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  newPkce,
  redeem,
  tokensOf,
} from './login-app.ts';

// Ory's own SDK as it comes from the registry. Its calls to admin doors carry no credential: a login
// app has one in its base path, an administrator in a header (docs/hydra.md).
describe("Ory Hydra's SDK, unchanged", () => {
  let deployment: Deployment;
  /** What a login app uses. */
  let handshake: OAuth2Api;
  /** What an administrator uses. */
  let oauth2: OAuth2Api;
  let jwk: JwkApi;

  beforeAll(async () => {
    deployment = await deploy();
    const { adminUrl, adminToken } = deployment.server;
    const named = { name: 'login app', role: 'handshake' };
    const made = await deployment.admin('POST', '/admin/credentials', named);
    const inPath = `${adminUrl}/c/${String(made.body.secret)}`;
    handshake = new OAuth2Api(new Configuration({ basePath: inPath }));
    const baseOptions = { headers: { authorization: `Bearer ${adminToken}` } };
    oauth2 = new OAuth2Api(new Configuration({ basePath: adminUrl, baseOptions }));
    jwk = new JwkApi(new Configuration({ basePath: adminUrl, baseOptions }));
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const newClient = {
    client_name: 'Made by the SDK',
    redirect_uris: [redirectUri],
    post_logout_redirect_uris: [postLogoutUri],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    scope: 'openid offline_access api.read',
  };

  async function register() {
    const { data } = await oauth2.createOAuth2Client({ oAuth2Client: newClient });
    const id = data.client_id ?? '';
    const secret = data.client_secret ?? '';
    return { id, secret, method: 'client_secret_basic', redirectUri, document: {} };
  }

  const parameterOf = (url: string | null, name: string) =>
    new URL(url ?? 'none:').searchParams.get(name) ?? '';

  /** A login and a consent as a login app does them with the SDK. */
  async function connect(subject: string) {
    const client = await register();
    const browser = openBrowser();
    const pkce = newPkce();
    const asked = authorizationUrl(deployment, authorizationParameters(client, pkce));
    const first = await browser.get(asked);
    const loginChallenge = parameterOf(first.headers.get('location'), 'login_challenge');
    const login = await handshake.getOAuth2LoginRequest({ loginChallenge });
    const accepted = await handshake.acceptOAuth2LoginRequest({
      loginChallenge,
      acceptOAuth2LoginRequest: { subject, remember: true, remember_for: 3600, acr: '1' },
    });
    const second = await browser.get(accepted.data.redirect_to);
    const consentChallenge = parameterOf(second.headers.get('location'), 'consent_challenge');
    const consent = await handshake.getOAuth2ConsentRequest({ consentChallenge });
    const given = await handshake.acceptOAuth2ConsentRequest({
      consentChallenge,
      acceptOAuth2ConsentRequest: {
        grant_scope: consent.data.requested_scope ?? [],
        grant_access_token_audience: consent.data.requested_access_token_audience ?? [],
        remember: true,
        remember_for: 3600,
        session: { id_token: { team: 'blue' } },
      },
    });
    const third = await browser.get(given.data.redirect_to);
    const code = parameterOf(third.headers.get('location'), 'code');
    const tokens = tokensOf(await redeem(deployment, client, { code, pkce }));
    return { client, browser, login: login.data, consent: consent.data, tokens };
  }

  test('clients: create, get, set, patch, list, delete', async () => {
    const { id } = await register();
    const read = await oauth2.getOAuth2Client({ id });
    expect(read.data).toMatchObject({ client_id: id, client_name: newClient.client_name });
    const set = await oauth2.setOAuth2Client({
      id,
      oAuth2Client: { ...newClient, client_name: 'Set' },
    });
    expect(set.data.client_name).toBe('Set');
    const patched = await oauth2.patchOAuth2Client({
      id,
      jsonPatch: [{ op: 'replace', path: '/client_name', value: 'Patched' }],
    });
    expect(patched.data.client_name).toBe('Patched');
    const listed = await oauth2.listOAuth2Clients({ clientName: 'Patched' });
    expect(listed.data.map((one) => one.client_id)).toEqual([id]);
    const lived = await oauth2.setOAuth2ClientLifespans({
      id,
      oAuth2ClientTokenLifespans: { authorization_code_grant_access_token_lifespan: '10m' },
    });
    expect(lived.data.authorization_code_grant_access_token_lifespan).toBe('10m0s');
    expect((await oauth2.deleteOAuth2Client({ id })).status).toBe(204);
    await expect(oauth2.getOAuth2Client({ id })).rejects.toMatchObject({
      response: { status: 404 },
    });
  });

  test('login and consent: get and accept; then introspect, list, revoke', async () => {
    const { client, login, consent, tokens } = await connect('ada');
    expect(login).toMatchObject({ skip: false, client: { client_id: client.id } });
    expect(consent).toMatchObject({ subject: 'ada', acr: '1' });

    const alive = await oauth2.introspectOAuth2Token({ token: tokens.access });
    expect(alive.data).toMatchObject({ active: true, sub: 'ada', client_id: client.id });
    const sessions = await handshake.listOAuth2ConsentSessions({ subject: 'ada' });
    expect(sessions.data).toHaveLength(1);
    expect(sessions.data[0]?.consent_request?.client?.client_id).toBe(client.id);

    await handshake.revokeOAuth2ConsentSessions({ subject: 'ada', client: client.id });
    const dead = await oauth2.introspectOAuth2Token({ token: tokens.access });
    expect(dead.data.active).toBe(false);
  });

  test('logout: get and accept', async () => {
    const { browser, tokens } = await connect('grace');
    const hint = { id_token_hint: tokens.id, post_logout_redirect_uri: postLogoutUri };
    const asked = await browser.get(
      `${deployment.server.publicUrl}/oauth2/sessions/logout?${formOf(hint)}`,
    );
    const logoutChallenge = parameterOf(asked.headers.get('location'), 'logout_challenge');
    const request = await handshake.getOAuth2LogoutRequest({ logoutChallenge });
    expect(request.data.subject).toBe('grace');
    const accepted = await handshake.acceptOAuth2LogoutRequest({ logoutChallenge });
    const last = await browser.get(accepted.data.redirect_to);
    expect(last.headers.get('location')).toBe(postLogoutUri);
  });

  test('a rejected login ends at the app with what the login app said', async () => {
    const client = await register();
    const browser = openBrowser();
    const asked = authorizationUrl(deployment, authorizationParameters(client, newPkce()));
    const first = await browser.get(asked);
    const loginChallenge = parameterOf(first.headers.get('location'), 'login_challenge');
    const rejected = await handshake.rejectOAuth2LoginRequest({
      loginChallenge,
      rejectOAuth2Request: { error: 'access_denied', error_description: 'Not today.' },
    });
    const last = await browser.get(rejected.data.redirect_to);
    const location = last.headers.get('location');
    expect(location?.startsWith(redirectUri)).toBe(true);
    expect(parameterOf(location, 'error')).toBe('access_denied');
    expect(parameterOf(location, 'error_description')).toBe('Not today.');
  });

  test("a client's tokens die, the login session of a subject ends", async () => {
    const { client, tokens } = await connect('mary');
    await oauth2.deleteOAuth2Token({ clientId: client.id });
    const dead = await oauth2.introspectOAuth2Token({ token: tokens.access });
    expect(dead.data.active).toBe(false);
    expect((await handshake.revokeOAuth2LoginSessions({ subject: 'mary' })).status).toBe(204);
  });

  test('key sets: create, get, delete', async () => {
    const set = 'made-by-the-sdk';
    const made = await jwk.createJsonWebKeySet({
      set,
      createJsonWebKeySet: { alg: 'ES256', use: 'sig', kid: 'first' },
    });
    expect(made.data.keys?.[0]).toMatchObject({ kid: 'first', alg: 'ES256' });
    const read = await jwk.getJsonWebKeySet({ set });
    expect(read.data.keys).toHaveLength(1);
    expect((await jwk.deleteJsonWebKeySet({ set })).status).toBe(204);
  });

  test('the public side: discovery, keys, userinfo', async () => {
    const { tokens } = await connect('alan');
    const basePath = deployment.server.publicUrl;
    const oidc = new OidcApi(new Configuration({ basePath, accessToken: tokens.access }));
    const discovered = await oidc.discoverOidcConfiguration();
    expect(discovered.data.issuer).toBe(deployment.issuer);
    expect((await oidc.getOidcUserInfo()).data).toMatchObject({ sub: 'alan' });
  });

  test('an unknown challenge is 404', async () => {
    await expect(
      handshake.getOAuth2LoginRequest({ loginChallenge: 'no-such-challenge' }),
    ).rejects.toMatchObject({ response: { status: 404 } });
  });
});
