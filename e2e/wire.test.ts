import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Answer,
  basic,
  call,
  type Deployment,
  deploy,
  everyScope,
  formOf,
  openBrowser,
  type RegisteredClient,
} from './deployment.ts';
import { expectShape } from './hydra-shapes.ts';
import {
  authorizationParameters,
  authorizationUrl,
  claimsOf,
  connect,
  newPkce,
  redeem,
  refresh,
  signIn,
  tokensOf,
  travel,
} from './login-app.ts';

/** What sixteen real clients demand on the wire. */
describe('on the wire', () => {
  let deployment: Deployment;
  let client: RegisteredClient;
  let open: RegisteredClient;
  const origin = 'https://spa.example';

  beforeAll(async () => {
    deployment = await deploy({ env: { GATEHOUSE_CORS_ORIGINS: 'https://console.example' } });
    client = await deployment.register();
    open = await deployment.register({
      token_endpoint_auth_method: 'none',
      allowed_cors_origins: [origin],
    });
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const at = (path: string) => deployment.server.publicUrl + path;
  const post = (path: string, body: string, headers: Readonly<Record<string, string>>) =>
    call(at(path), { method: 'POST', body, headers });
  const form = { 'content-type': 'application/x-www-form-urlencoded' };

  function expectPrivateJson(answer: Answer, what = ''): void {
    expect(answer.headers.get('content-type'), what).toBe('application/json');
    expect(answer.headers.get('cache-control'), what).toContain('no-store');
  }

  test('unknown parameters are ignored (RFC 6749 §3.1, §3.2)', async () => {
    const odd = {
      access_type: 'offline',
      approval_prompt: 'force',
      allow_redirects: 'true',
      include_granted_scopes: 'true',
      'x[]': 'y',
    };
    const signedIn = await signIn(deployment, client, { parameters: odd });
    const tokens = tokensOf(
      await redeem(deployment, client, signedIn, { ...odd, response_type: 'code' }),
    );
    expect((await refresh(deployment, client, tokens.refresh, odd)).status).toBe(200);
  });

  test('no scope, no Accept, a charset, bearer in lower case', async () => {
    const signedIn = await signIn(deployment, client, { parameters: { scope: undefined } });
    const tokens = tokensOf(await redeem(deployment, client, signedIn));
    expect(tokens.answer.body).not.toHaveProperty('id_token');
    const body = formOf({ grant_type: 'client_credentials' }).toString();
    for (const type of [
      'application/x-www-form-urlencoded;charset=UTF-8',
      'application/x-www-form-urlencoded; charset=utf-8',
      'Application/X-WWW-Form-Urlencoded',
    ]) {
      const answer = await post('/oauth2/token', body, {
        ...basic(client),
        'content-type': type,
        accept: '',
      });
      expect(answer.status, type).toBe(200);
    }
    const { access } = await connect(deployment, client);
    const headers = { authorization: `bearer ${access}`, accept: 'text/html' };
    expect((await call(at('/userinfo'), { headers })).body.sub).toBe('alice');
    const lower = basic(client).authorization.replace('Basic', 'basic');
    const token = await post('/oauth2/token', body, { ...form, authorization: lower });
    expect(token.status).toBe(200);
  });

  test('Basic is form-decoded, whatever the client thought must be encoded', async () => {
    const secrets = ['p@ss+word/with:colon%and=more&characters', '\u20ac'.repeat(512)];
    const encodeAll = (text: string) =>
      [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
    const asForm = (text: string) => new URLSearchParams({ v: text }).toString().slice(2);
    const body = 'grant_type=client_credentials';
    for (const secret of secrets) {
      const own = await deployment.register({ client_secret: secret });
      for (const encode of [encodeURIComponent, encodeAll, asForm]) {
        const pair = Buffer.from(`${encode(own.id)}:${encode(secret)}`).toString('base64');
        const authorization = `Basic ${pair}`;
        const answer = await post('/oauth2/token', body, { ...form, authorization });
        expect(answer.status, encode.name).toBe(200);
      }
    }
  });

  test('a client_id with characters that URLs and Basic reserve works everywhere', async () => {
    const id = 'app:one/two?three&four=five+six%20seven';
    const own = await deployment.register({ client_id: id });
    const tokens = await connect(deployment, own);
    expect(await deployment.introspect(tokens.access)).toMatchObject({ client_id: id });
    expect(claimsOf(tokens.id).aud).toEqual([id]);
    expect((await refresh(deployment, own, tokens.refresh)).status).toBe(200);
    const path = `/admin/clients/${encodeURIComponent(id)}`;
    expect((await deployment.admin('GET', path)).body.client_id).toBe(id);
    const gone = `/admin/oauth2/auth/sessions/consent?subject=alice&client=${encodeURIComponent(id)}`;
    expect((await deployment.admin('DELETE', gone)).status).toBe(204);
    expect(await deployment.introspect(tokens.access)).toEqual({ active: false });
    expect((await deployment.admin('DELETE', path)).status).toBe(204);
  });

  test('what tells of a token is never cached: introspection, userinfo, the handshake', async () => {
    const { access } = await connect(deployment, client);
    const shown = await deployment.postAs(client, '/oauth2/introspect', { token: access });
    expect(shown.body.active).toBe(true);
    expectPrivateJson(shown);
    expectPrivateJson(await deployment.userinfo(access));
    expectPrivateJson(await deployment.admin('GET', '/admin/clients'));
    expectPrivateJson(
      await deployment.admin('GET', '/admin/oauth2/auth/sessions/consent?subject=alice'),
    );
  });

  test('Hydra’s audience: registered values end up in aud, others are refused', async () => {
    const audience = ['https://one.example', 'two'];
    const own = await deployment.register({ audience });
    const asked = { audience: 'https://one.example two', resource: 'https://three.example/' };
    const tokens = await connect(deployment, own, { parameters: asked });
    const all = [...audience, 'https://three.example/'];
    expect(tokens.consentRequest?.requested_access_token_audience).toEqual(all);
    expect((await deployment.introspect(tokens.access)).aud).toEqual(all);
    const foreign = { parameters: { audience: 'https://one.example/path' } };
    const refused = await signIn(deployment, own, foreign);
    expect(refused.returned.get('error')).toBe('invalid_request');
    const machine = { grant_type: 'client_credentials', audience: 'two' };
    const answer = tokensOf(await deployment.postAs(own, '/oauth2/token', machine));
    expect((await deployment.introspect(answer.access)).aud).toEqual(['two']);
  });

  test('userinfo and the authorization endpoint answer POST, too', async () => {
    const pkce = newPkce();
    const browser = openBrowser();
    const first = await browser.post(at('/oauth2/auth'), authorizationParameters(client, pkce));
    const { callback } = await travel(deployment, browser, first);
    const code = callback?.searchParams.get('code') ?? '';
    const { access } = tokensOf(await redeem(deployment, client, { code, pkce }));
    const headers = { authorization: `Bearer ${access}` };
    expect((await call(at('/userinfo'), { method: 'POST', headers })).body.sub).toBe('alice');
    expect((await deployment.post('/userinfo', { access_token: access })).body.sub).toBe('alice');
  });

  test('a token answer: 200, JSON, no-store, expires_in a number, absent fields left out', async () => {
    const withAll = await connect(deployment, client);
    const machine = { grant_type: 'client_credentials', scope: 'api.read' };
    const cases: readonly (readonly [Answer, readonly string[]])[] = [
      [withAll.answer, ['id_token', 'refresh_token']],
      [await redeemed({ scope: 'openid' }), ['id_token']],
      [await redeemed({ scope: 'api.read' }), []],
      [await refresh(deployment, client, withAll.refresh), ['id_token', 'refresh_token']],
      [await deployment.postAs(client, '/oauth2/token', machine), []],
    ];
    for (const [answer, more] of cases) {
      expect(answer.status).toBe(200);
      expectPrivateJson(answer);
      expect(answer.headers.get('pragma')).toBe('no-cache');
      expect(typeof answer.body.expires_in).toBe('number');
      expect(answer.body.token_type).toBe('bearer');
      expect(Object.keys(answer.body).toSorted()).toEqual(
        ['access_token', 'expires_in', 'scope', 'token_type', ...more].toSorted(),
      );
    }
  });

  async function redeemed(parameters: { readonly scope: string }): Promise<Answer> {
    return redeem(deployment, client, await signIn(deployment, client, { parameters }));
  }

  test('a refresh gives a new ID token with the same auth_time, sub, sid and no nonce', async () => {
    const tokens = await connect(deployment, client, { parameters: { nonce: 'n-1' } });
    const before = claimsOf(tokens.id);
    const after = claimsOf(tokensOf(await refresh(deployment, client, tokens.refresh)).id);
    expect(before.nonce).toBe('n-1');
    for (const name of ['auth_time', 'sub', 'sid', 'iss', 'aud']) {
      expect(after[name], name).toEqual(before[name]);
    }
    expect(after.jti).not.toBe(before.jti);
    for (const name of ['iat', 'exp', 'auth_time']) expect(typeof after[name]).toBe('number');
    expect(after.at_hash).toEqual(expect.any(String));
    expect(after).not.toHaveProperty('azp');
  });

  test('the code flow says the scope that was granted, in the callback and in the tokens', async () => {
    const signedIn = await signIn(deployment, client, { parameters: { scope: everyScope } });
    expect(signedIn.returned.get('scope')).toBe(everyScope);
    const tokens = tokensOf(await redeem(deployment, client, signedIn));
    expect(tokens.answer.body.scope).toBe(everyScope);
  });

  test('every error is JSON, not cached, with error and error_description', async () => {
    const token = (parameters: Readonly<Record<string, string>>) =>
      deployment.postAs(client, '/oauth2/token', parameters);
    const cases: readonly (readonly [number, string, Promise<Answer>])[] = [
      [400, 'invalid_request', token({})],
      [400, 'unsupported_grant_type', token({ grant_type: 'password' })],
      [400, 'unsupported_grant_type', token({ grant_type: 'implicit' })],
      [400, 'invalid_request', token({ grant_type: 'authorization_code' })],
      [400, 'invalid_grant', token({ grant_type: 'authorization_code', code: 'nonsense' })],
      [400, 'invalid_request', token({ grant_type: 'refresh_token' })],
      [400, 'invalid_grant', token({ grant_type: 'refresh_token', refresh_token: 'nonsense' })],
      [400, 'invalid_scope', token({ grant_type: 'client_credentials', scope: 'nope' })],
      [400, 'invalid_scope', token({ grant_type: 'client_credentials', scope: 'a"b' })],
      [400, 'invalid_target', token({ grant_type: 'client_credentials', resource: 'x#y' })],
      [400, 'invalid_target', token({ grant_type: 'client_credentials', audience: 'https://x/' })],
      [400, 'invalid_target', token({ grant_type: 'client_credentials', audience: '\u00e9"\\\n' })],
      [401, 'invalid_client', deployment.post('/oauth2/token', { grant_type: 'refresh_token' })],
      [401, 'invalid_client', deployment.post('/oauth2/revoke', { token: 'x' })],
      [400, 'invalid_request', deployment.postAs(client, '/oauth2/revoke', {})],
      [400, 'invalid_request', deployment.postAs(client, '/oauth2/introspect', {})],
      [401, 'invalid_request', call(at('/userinfo'))],
      [401, 'invalid_token', deployment.userinfo('nonsense')],
      [404, 'not_found', call(at('/nowhere'))],
    ];
    for (const [status, error, asked] of cases) {
      const answer = await asked;
      expect([answer.status, answer.body.error]).toEqual([status, error]);
      // RFC 6749 §5.2
      expect(answer.body.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
      expectPrivateJson(answer, error);
      expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    }
    const unregistered = await deployment.register({ grant_types: ['authorization_code'] });
    const grant = { grant_type: 'client_credentials' };
    const refused = await deployment.postAs(unregistered, '/oauth2/token', grant);
    expect([refused.status, refused.body.error]).toEqual([400, 'unauthorized_client']);
  });

  test('admin errors carry Hydra’s status_code', async () => {
    for (const answer of [
      await deployment.admin('GET', '/admin/clients/nobody'),
      await deployment.admin('POST', '/admin/clients', { redirect_uris: ['x'] }),
      await deployment.admin('GET', '/admin/nowhere'),
    ]) {
      expectShape(answer.body, 'errorOAuth2', { required: ['error', 'error_description'] });
      expect(answer.body.status_code).toBe(answer.status);
      expectPrivateJson(answer);
    }
  });

  test('RFC 7009 §2.2: revocation answers 200 for its own tokens, spent and unknown ones', async () => {
    const tokens = await connect(deployment, client);
    const other = await deployment.register();
    const revoke = (by: RegisteredClient, token: string, hint?: string) =>
      deployment.postAs(by, '/oauth2/revoke', { token, token_type_hint: hint });
    expect((await revoke(other, tokens.access)).status).toBe(200);
    expect(await deployment.introspect(tokens.access)).toMatchObject({ active: true });
    for (const token of [
      tokens.access,
      tokens.access,
      'nonsense',
      tokens.refresh,
      tokens.refresh,
    ]) {
      for (const hint of [undefined, 'access_token', 'refresh_token', 'nonsense']) {
        expect((await revoke(client, token, hint)).status).toBe(200);
      }
    }
    expect(await deployment.introspect(tokens.access)).toEqual({ active: false });
  });

  test('RFC 7009 §2.1: an access token dies alone, a refresh token takes all of its grant’s chain', async () => {
    const first = await connect(deployment, client);
    await deployment.postAs(client, '/oauth2/revoke', { token: first.access });
    expect(await deployment.introspect(first.access)).toEqual({ active: false });
    const second = tokensOf(await refresh(deployment, client, first.refresh));
    await deployment.postAs(client, '/oauth2/revoke', { token: second.refresh });
    expect(await deployment.introspect(second.access)).toEqual({ active: false });
    expect((await refresh(deployment, client, second.refresh)).body.error).toBe('invalid_grant');
  });

  test('RFC 6750 §2.2, §3.1: userinfo takes one token, from a form or the header', async () => {
    const { access } = await connect(deployment, await deployment.register());
    const bearer = { authorization: `Bearer ${access}` };
    const send = (type: string, body: string, headers = {}) =>
      call(at('/userinfo'), {
        method: 'POST',
        body,
        headers: { ...headers, 'content-type': type },
      });
    // Another type of body is no way to send a token, so it says nothing about one.
    for (const type of ['application/json', 'text/plain']) {
      expect((await send(type, '{}', bearer)).body.sub).toBe('alice');
      const bare = await send(type, `access_token=${access}`);
      expect(bare.status).toBe(401);
      expect(bare.headers.get('www-authenticate')).toBe('Bearer realm="gatehouse"');
    }
    const form = 'application/x-www-form-urlencoded';
    expect((await send(form, 'a=1', bearer)).body.sub).toBe('alice');
    for (const [body, headers] of [
      [`access_token=${access}`, bearer],
      [`access_token=${access}&access_token=${access}`, {}],
      ['a=1&a=2', bearer],
    ] as const) {
      const refused = await send(form, body, headers);
      expect(refused.status, body).toBe(400);
      expect(refused.body.error).toBe('invalid_request');
      expect(refused.headers.get('www-authenticate')).toContain('error="invalid_request"');
    }
  });

  test('RFC 6750 §3: userinfo refuses with a Bearer challenge', async () => {
    const bare = await call(at('/userinfo'));
    expect(bare.status).toBe(401);
    expect(bare.headers.get('www-authenticate')).toBe('Bearer realm="gatehouse"');
    const wrong = await deployment.userinfo('nonsense');
    expect(wrong.headers.get('www-authenticate')).toContain('error="invalid_token"');
    const tokens = await connect(deployment, client, { parameters: { scope: 'api.read' } });
    const without = await deployment.userinfo(tokens.access);
    expect(without.status).toBe(403);
    expect(without.headers.get('www-authenticate')).toContain('error="insufficient_scope"');
    const machine = tokensOf(
      await deployment.postAs(client, '/oauth2/token', { grant_type: 'client_credentials' }),
    );
    expect((await deployment.userinfo(machine.access)).status).toBe(401);
    const right = await connect(deployment, client, { parameters: { scope: 'openid' } });
    expect((await deployment.userinfo(right.access)).status).toBe(200);
  });

  test('wrong methods answer 404, as in Hydra', async () => {
    const doors = [
      ['GET', '/oauth2/token'],
      ['PUT', '/oauth2/token'],
      ['GET', '/oauth2/revoke'],
      ['GET', '/oauth2/introspect'],
      ['PUT', '/oauth2/auth'],
      ['DELETE', '/userinfo'],
      ['POST', '/.well-known/openid-configuration'],
      ['POST', '/.well-known/jwks.json'],
    ] as const;
    for (const [method, path] of doors) {
      const answer = await call(at(path), { method });
      expect(answer.status, `${method} ${path}`).toBe(404);
      expectPrivateJson(answer);
    }
    expect((await deployment.admin('POST', '/admin/oauth2/auth/requests/login')).status).toBe(404);
    expect((await deployment.admin('PUT', '/admin/clients')).status).toBe(404);
  });

  test('a duplicated parameter is refused at every form', async () => {
    const twice = 'grant_type=client_credentials&grant_type=client_credentials&token=a&token=b';
    for (const path of ['/oauth2/token', '/oauth2/revoke', '/oauth2/introspect']) {
      const answer = await post(path, twice, { ...form, ...basic(client) });
      expect([answer.status, answer.body.error]).toEqual([400, 'invalid_request']);
    }
    const url = authorizationUrl(deployment, {
      ...authorizationParameters(client, newPkce()),
      client_id: [client.id, client.id],
    });
    expect((await call(url)).status).toBe(400);
  });

  test('CORS: public documents for all, token doors for the client’s and the deployment’s origins', async () => {
    const from = (path: string, by: string, init: RequestInit = {}) =>
      call(at(path), { ...init, headers: { ...init.headers, origin: by } });
    const allowed = (answer: Answer) => answer.headers.get('access-control-allow-origin');
    for (const path of [
      '/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server',
      '/.well-known/jwks.json',
    ]) {
      expect(allowed(await from(path, 'https://anybody.example'))).toBe('*');
    }
    const body = formOf({ client_id: open.id, grant_type: 'refresh_token', refresh_token: 'x' });
    const ask = (by: string) => from('/oauth2/token', by, { method: 'POST', body });
    expect(allowed(await ask(origin))).toBe(origin);
    expect(allowed(await ask('https://console.example'))).toBe('https://console.example');
    expect(allowed(await ask('https://evil.example'))).toBeNull();
    // Registered with a secret by mistake: the page is told so, and not that CORS is in the way.
    const secretive = await deployment.register({ allowed_cors_origins: [origin] });
    const bare = formOf({ client_id: secretive.id, grant_type: 'authorization_code', code: 'x' });
    const refusedTo = (by: string) => from('/oauth2/token', by, { method: 'POST', body: bare });
    const refused = await refusedTo(origin);
    expect([refused.status, refused.body.error]).toEqual([401, 'invalid_client']);
    expect(allowed(refused)).toBe(origin);
    expect(allowed(await refusedTo('https://evil.example'))).toBeNull();
    const preflight = await from('/oauth2/token', origin, {
      method: 'OPTIONS',
      headers: { 'access-control-request-method': 'POST' },
    });
    expect(allowed(preflight)).toBe(origin);
    expect(preflight.headers.get('access-control-allow-credentials')).toBeNull();
    const { access } = await connect(deployment, open);
    const bearer = { headers: { authorization: `Bearer ${access}` } };
    expect(allowed(await from('/userinfo', origin, bearer))).toBe(origin);
    expect(allowed(await from('/userinfo', 'https://evil.example', bearer))).toBeNull();
    // That it is dead, its app's page may read, to get another.
    await deployment.postAs(open, '/oauth2/revoke', { token: access });
    const dead = await from('/userinfo', origin, bearer);
    expect([dead.status, allowed(dead)]).toEqual([401, origin]);
    expect(dead.headers.get('access-control-expose-headers')).toContain('www-authenticate');
    expect(allowed(await from('/userinfo', 'https://evil.example', bearer))).toBeNull();
  });
});
