import * as oauth from 'oauth4webapi';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Deployment,
  deploy,
  openBrowser,
  type RegisteredClient,
  redirectUri,
} from './deployment.ts';
import { claimsOf, type SignIn, travel } from './login-app.ts';

const insecure = { [oauth.allowInsecureRequests]: true };

/** oauth4webapi as it comes; all it is told is that this issuer is on loopback without TLS. */
describe('oauth4webapi, unchanged', () => {
  let deployment: Deployment;
  let as: oauth.AuthorizationServer;

  beforeAll(async () => {
    deployment = await deploy();
    as = await discover('oidc');
  });

  afterAll(async () => {
    await deployment?.close();
  });

  async function discover(algorithm: 'oidc' | 'oauth2'): Promise<oauth.AuthorizationServer> {
    const issuer = new URL(deployment.issuer);
    const response = await oauth.discoveryRequest(issuer, { ...insecure, algorithm });
    return oauth.processDiscoveryResponse(issuer, response);
  }

  function authenticationOf(client: RegisteredClient): oauth.ClientAuth {
    if (client.method === 'none') return oauth.None();
    return client.method === 'client_secret_post'
      ? oauth.ClientSecretPost(client.secret)
      : oauth.ClientSecretBasic(client.secret);
  }

  /** The browser's part: what came back to the app. */
  async function authorize(
    client: RegisteredClient,
    parameters: readonly (readonly [string, string])[],
    decisions: SignIn = {},
  ) {
    const verifier = oauth.generateRandomCodeVerifier();
    const state = oauth.generateRandomState();
    const url = new URL(as.authorization_endpoint ?? '');
    const all = [
      ['client_id', client.id],
      ['redirect_uri', redirectUri],
      ['response_type', 'code'],
      ['code_challenge', await oauth.calculatePKCECodeChallenge(verifier)],
      ['code_challenge_method', 'S256'],
      ['state', state],
      ...parameters,
    ] as const;
    for (const [name, value] of all) url.searchParams.append(name, value);
    const browser = openBrowser();
    const first = await browser.get(url.href);
    const { callback } = await travel(deployment, browser, first, decisions);
    return { verifier, state, callback: callback ?? new URL(redirectUri) };
  }

  /** The tokens for what {@link authorize} brought back. */
  async function redeem(
    registered: RegisteredClient,
    { verifier, state, callback }: Awaited<ReturnType<typeof authorize>>,
    options: oauth.TokenEndpointRequestOptions = insecure,
  ) {
    const client: oauth.Client = { client_id: registered.id };
    const response = await oauth.authorizationCodeGrantRequest(
      as,
      client,
      authenticationOf(registered),
      oauth.validateAuthResponse(as, client, callback, state),
      redirectUri,
      verifier,
      options,
    );
    return oauth.processAuthorizationCodeResponse(as, client, response);
  }

  test('RFC 8414 §3, OIDC Discovery §4: both documents, and they say the same', async () => {
    expect(await discover('oauth2')).toEqual(as);
  });

  test.each(['client_secret_basic', 'client_secret_post', 'none'])(
    '%s: code flow, userinfo, refresh, introspection, revocation',
    async (method) => {
      const registered = await deployment.register({ token_endpoint_auth_method: method });
      const client: oauth.Client = { client_id: registered.id };
      const authentication = authenticationOf(registered);
      const nonce = oauth.generateRandomNonce();
      const { verifier, state, callback } = await authorize(registered, [
        ['scope', 'openid offline_access'],
        ['nonce', nonce],
      ]);
      // Checks `iss` too, since the metadata announces it (RFC 9207).
      const parameters = oauth.validateAuthResponse(as, client, callback, state);
      const response = await oauth.authorizationCodeGrantRequest(
        as,
        client,
        authentication,
        parameters,
        redirectUri,
        verifier,
        insecure,
      );
      const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, {
        expectedNonce: nonce,
        requireIdToken: true,
      });
      await oauth.validateApplicationLevelSignature(as, response, insecure);
      expect(oauth.getValidatedIdTokenClaims(tokens)?.sub).toBe('alice');

      const userinfo = await oauth.processUserInfoResponse(
        as,
        client,
        'alice',
        await oauth.userInfoRequest(as, client, tokens.access_token, insecure),
      );
      expect(userinfo.sub).toBe('alice');

      const refreshed = await oauth.processRefreshTokenResponse(
        as,
        client,
        await oauth.refreshTokenGrantRequest(
          as,
          client,
          authentication,
          tokens.refresh_token ?? '',
          insecure,
        ),
      );
      expect(refreshed.scope).toBe('openid offline_access');

      const introspect = async (token: string) =>
        oauth.processIntrospectionResponse(
          as,
          client,
          await oauth.introspectionRequest(as, client, authentication, token, insecure),
        );
      if (method !== 'none') {
        expect(await introspect(refreshed.access_token)).toMatchObject({ active: true });
      }
      await oauth.processRevocationResponse(
        await oauth.revocationRequest(
          as,
          client,
          authentication,
          refreshed.refresh_token ?? '',
          insecure,
        ),
      );
      if (method !== 'none') {
        expect(await introspect(refreshed.access_token)).toEqual({ active: false });
      }
    },
  );

  test('RFC 9207 §2.4: an answer that another issuer claims is refused by the client', async () => {
    const client = await deployment.register();
    const { state, callback } = await authorize(client, [['scope', 'openid']]);
    const check = () => oauth.validateAuthResponse(as, { client_id: client.id }, callback, state);
    expect(check().get('iss')).toBe(deployment.issuer);
    callback.searchParams.set('iss', 'https://evil.example');
    expect(check).toThrow(/iss/);
    callback.searchParams.delete('iss');
    expect(check).toThrow(/iss/);
  });

  test('RFC 9207 §2: errors carry iss and state', async () => {
    const client = await deployment.register();
    const { state, callback } = await authorize(client, [['scope', 'openid']], {
      rejectConsent: { error: 'access_denied', error_description: 'No.' },
    });
    expect(callback.searchParams.get('state')).toBe(state);
    expect(callback.searchParams.get('iss')).toBe(deployment.issuer);
    expect(() => oauth.validateAuthResponse(as, { client_id: client.id }, callback, state)).toThrow(
      expect.objectContaining({ error: 'access_denied' }),
    );
  });

  test('RFC 8707 §2: resources end up in aud, one request may narrow them', async () => {
    const [first, second] = ['https://api.example/v1', 'https://other.example/'];
    const registered = await deployment.register({ access_token_strategy: 'jwt' });
    const client: oauth.Client = { client_id: registered.id };
    const authentication = authenticationOf(registered);
    const authorized = await authorize(registered, [
      ['scope', 'offline_access api.read'],
      ['resource', first],
      ['resource', second],
    ]);
    const narrowed = { ...insecure, additionalParameters: { resource: first } };
    const tokens = await redeem(registered, authorized, narrowed);
    expect(claimsOf(tokens.access_token).aud).toEqual([first]);
    const refresh = async (options: oauth.TokenEndpointRequestOptions) =>
      oauth.processRefreshTokenResponse(
        as,
        client,
        await oauth.refreshTokenGrantRequest(
          as,
          client,
          authentication,
          tokens.refresh_token ?? '',
          options,
        ),
      );
    expect(claimsOf((await refresh(insecure)).access_token).aud).toEqual([first, second]);
    const wider = { ...insecure, additionalParameters: { resource: 'https://third.example' } };
    await expect(refresh(wider)).rejects.toMatchObject({ error: 'invalid_target' });
    const other = { ...insecure, additionalParameters: { resource: second } };
    expect(claimsOf((await refresh(other)).access_token).aud).toEqual([second]);
  });

  test('RFC 9068 §4: an API accepts the JWT, and no JWT of another kind', async () => {
    const audience = 'https://api.example/v1';
    const registered = await deployment.register({ access_token_strategy: 'jwt' });
    const authorized = await authorize(registered, [
      ['scope', 'openid api.read'],
      ['resource', audience],
    ]);
    const tokens = await redeem(registered, authorized);
    const validate = (token: string, aud = audience) =>
      oauth.validateJwtAccessToken(
        as,
        new Request(audience, { headers: { authorization: `Bearer ${token}` } }),
        aud,
        insecure,
      );
    expect(await validate(tokens.access_token)).toMatchObject({
      iss: deployment.issuer,
      sub: 'alice',
      client_id: registered.id,
      scope: 'openid api.read',
      scp: ['openid', 'api.read'],
    });
    await expect(validate(tokens.access_token, 'https://other.example/')).rejects.toThrow();
    await expect(validate(tokens.id_token ?? '', registered.id)).rejects.toThrow();
  });

  test('RFC 9068 §3: without a resource the audience is the issuer', async () => {
    const registered = await deployment.register({ access_token_strategy: 'jwt' });
    const client: oauth.Client = { client_id: registered.id };
    const tokens = await oauth.processClientCredentialsResponse(
      as,
      client,
      await oauth.clientCredentialsGrantRequest(
        as,
        client,
        authenticationOf(registered),
        { scope: 'api.read' },
        insecure,
      ),
    );
    const request = new Request('https://api.example', {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    });
    const claims = await oauth.validateJwtAccessToken(as, request, deployment.issuer, insecure);
    expect(claims).toMatchObject({ sub: registered.id, client_id: registered.id });
  });
});
