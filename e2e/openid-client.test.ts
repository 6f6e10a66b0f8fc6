import * as oidc from 'openid-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Browser,
  type Deployment,
  deploy,
  openBrowser,
  postLogoutUri,
  type RegisteredClient,
  redirectUri,
} from './deployment.ts';
import { claimsOf, travel } from './login-app.ts';

/** openid-client as it comes; all it is told is that this issuer is on loopback without TLS. */
describe('openid-client, unchanged', () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await deploy();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  async function discover(client: RegisteredClient, metadata: Partial<oidc.ClientMetadata> = {}) {
    const authentication = {
      client_secret_basic: () => oidc.ClientSecretBasic(client.secret),
      client_secret_post: () => oidc.ClientSecretPost(client.secret),
      none: () => oidc.None(),
    }[client.method];
    const config = await oidc.discovery(
      new URL(deployment.issuer),
      client.id,
      metadata,
      authentication?.(),
      { execute: [oidc.allowInsecureRequests] },
    );
    // The signature of ID tokens too, which the code flow over TLS would not need.
    oidc.enableNonRepudiationChecks(config);
    return config;
  }

  /** The code flow with every check that openid-client has. */
  async function login(
    config: oidc.Configuration,
    browser: Browser = openBrowser(),
    parameters: Record<string, string> = {},
  ) {
    const verifier = oidc.randomPKCECodeVerifier();
    const state = oidc.randomState();
    const nonce = oidc.randomNonce();
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: 'openid offline_access profile',
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
      max_age: '600',
      ...parameters,
    });
    const { callback } = await travel(deployment, browser, await browser.get(url.href), {
      login: { remember: true, acr: 'urn:test:mfa', amr: ['pwd', 'otp'] },
      consent: { session: { id_token: { name: 'Alice', email: 'alice@example.com' } } },
    });
    return oidc.authorizationCodeGrant(config, callback ?? new URL(redirectUri), {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: nonce,
      maxAge: 600,
      idTokenExpected: true,
    });
  }

  test.each(['client_secret_basic', 'client_secret_post', 'none'])(
    '%s: code flow, userinfo, refresh, introspection, revocation',
    async (method) => {
      const client = await deployment.register({ token_endpoint_auth_method: method });
      const config = await discover(client);
      const tokens = await login(config);
      expect(tokens.claims()).toMatchObject({
        iss: deployment.issuer,
        sub: 'alice',
        acr: 'urn:test:mfa',
        amr: ['pwd', 'otp'],
        name: 'Alice',
      });
      expect(tokens.token_type).toBe('bearer');
      expect(tokens.expiresIn()).toBeGreaterThan(3500);
      expect(tokens.scope).toBe('openid offline_access profile');

      const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, 'alice');
      expect(userinfo).toMatchObject({ sub: 'alice', email: 'alice@example.com' });

      const refreshed = await oidc.refreshTokenGrant(config, tokens.refresh_token ?? '');
      expect(refreshed.refresh_token).not.toBe(tokens.refresh_token);
      expect(refreshed.claims()).toMatchObject({
        sub: 'alice',
        auth_time: tokens.claims()?.auth_time,
      });

      if (method !== 'none') {
        const shown = await oidc.tokenIntrospection(config, refreshed.access_token);
        expect(shown).toMatchObject({ active: true, sub: 'alice', client_id: client.id });
      }
      await oidc.tokenRevocation(config, refreshed.refresh_token ?? '');
      await expect(
        oidc.refreshTokenGrant(config, refreshed.refresh_token ?? ''),
      ).rejects.toMatchObject({ error: 'invalid_grant' });
      await expect(
        oidc.fetchUserInfo(config, refreshed.access_token, 'alice'),
      ).rejects.toMatchObject({ status: 401 });
    },
  );

  test('RFC 6749 §5.1: where nothing was granted, the answer names the empty scope', async () => {
    const client = await deployment.register();
    const config = await discover(client);
    const [verifier, browser] = [oidc.randomPKCECodeVerifier(), openBrowser()];
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: 'api.read',
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    });
    const { callback } = await travel(deployment, browser, await browser.get(url.href), {
      consent: { grant_scope: [] },
    });
    const checks = { pkceCodeVerifier: verifier };
    const back = callback ?? new URL(redirectUri);
    const tokens = await oidc.authorizationCodeGrant(config, back, checks);
    expect(tokens.scope).toBe('');
    expect((await deployment.introspect(tokens.access_token)).scope ?? '').toBe('');
    expect((await oidc.clientCredentialsGrant(config)).scope).toBe('');
  });

  test('OIDC Core §2: ID tokens are RS256 unless the client registered another algorithm', async () => {
    const usual = await discover(await deployment.register());
    const tokens = await login(usual);
    expect(headerOf(tokens.id_token)).toMatchObject({ alg: 'RS256', typ: 'JWT' });

    for (const alg of ['ES256', 'PS256', 'EdDSA']) {
      const fields = { id_token_signed_response_alg: alg };
      const config = await discover(await deployment.register(fields), fields);
      const other = await login(config);
      expect(headerOf(other.id_token)).toMatchObject({ alg });
    }
  });

  test('OIDC Core §5.3.2: userinfo is signed where the client registered it', async () => {
    const fields = { userinfo_signed_response_alg: 'ES256' };
    const config = await discover(await deployment.register(fields), fields);
    const { access_token } = await login(config);
    const userinfo = await oidc.fetchUserInfo(config, access_token, 'alice');
    expect(userinfo).toMatchObject({ sub: 'alice', iss: deployment.issuer, name: 'Alice' });
  });

  test('RFC 6749 §4.4: client credentials', async () => {
    const client = await deployment.register();
    const config = await discover(client);
    const tokens = await oidc.clientCredentialsGrant(config, { scope: 'api.read' });
    expect(tokens.scope).toBe('api.read');
    expect(tokens.refresh_token).toBeUndefined();
    expect(tokens.id_token).toBeUndefined();
    const shown = await oidc.tokenIntrospection(config, tokens.access_token);
    expect(shown).toMatchObject({ active: true, sub: client.id, client_id: client.id });
  });

  test('OIDC RP-Initiated Logout §2: the browser comes back, and the login is over', async () => {
    const config = await discover(await deployment.register());
    const browser = openBrowser();
    const tokens = await login(config, browser, { scope: 'openid' });
    const url = oidc.buildEndSessionUrl(config, {
      id_token_hint: tokens.id_token ?? '',
      post_logout_redirect_uri: postLogoutUri,
      state: 'bye',
    });
    const { callback, logoutRequest } = await travel(
      deployment,
      browser,
      await browser.get(url.href),
    );
    expect(callback?.href).toBe(`${postLogoutUri}?state=bye`);
    expect(logoutRequest).toMatchObject({ subject: 'alice', rp_initiated: true });
    expect(logoutRequest?.sid).toBe(claimsOf(tokens.id_token ?? '').sid);
    await expect(oidc.fetchUserInfo(config, tokens.access_token, 'alice')).rejects.toMatchObject({
      status: 401,
    });
    await expect(login(config, browser, { prompt: 'none' })).rejects.toMatchObject({
      error: 'login_required',
    });
  });

  test('OIDC Core §3.1.2.6: an error reaches the app as openid-client understands it', async () => {
    const config = await discover(await deployment.register());
    await expect(login(config, openBrowser(), { prompt: 'none' })).rejects.toMatchObject({
      name: 'AuthorizationResponseError',
      error: 'login_required',
    });
  });
});

function headerOf(jwt = ''): unknown {
  return JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString());
}
