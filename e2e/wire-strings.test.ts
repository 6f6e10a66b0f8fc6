import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Answer,
  basic,
  call,
  type Deployment,
  deploy,
  formOf,
  type Json,
  openBrowser,
  type RegisteredClient,
} from './deployment.ts';
import { authorizationParameters, connect, door, newPkce } from './login-app.ts';

/** Percent-encoded: U+0000, half of a surrogate pair, bytes that are not UTF-8, a stray percent. */
const nul = '%00';
const broken = ['%ED%A0%80', '%FF%FE', '%C0%80', '%'] as const;
const jsonBroken = ['\u0000', 'a\u0000b', '\ud800', '\udfffx'] as const;

/** Strings that PostgreSQL cannot hold, at every parameter that is one: refused, never 500. */
describe('strings that cannot be stored', () => {
  let deployment: Deployment;
  let client: RegisteredClient;

  beforeAll(async () => {
    deployment = await deploy();
    client = await deployment.register();
  });

  afterAll(async () => {
    await deployment?.close();
    const lines = deployment.server.output().split('\n');
    expect(lines.filter((line) => line.includes('request_failed'))).toEqual([]);
  });

  const at = (path: string) => deployment.server.publicUrl + path;
  const admin = (method: string, path: string) =>
    call(deployment.server.adminUrl + path, {
      method,
      headers: { authorization: `Bearer ${deployment.server.adminToken}` },
    });

  function expectRefused(answer: Answer, what: string): void {
    expect(answer.status, `${what}: ${answer.text}`).toBeGreaterThanOrEqual(400);
    expect(answer.status, `${what}: ${answer.text}`).toBeLessThan(500);
  }

  /** Each parameter in turn with each value, appended as it is. */
  async function eachParameter(
    names: readonly string[],
    base: URLSearchParams,
    send: (encoded: string) => Promise<Answer>,
  ): Promise<void> {
    for (const name of names) {
      const others = new URLSearchParams(base);
      others.delete(name);
      for (const value of [nul, ...broken]) {
        const answer = await send(`${others}&${name}=a${value}`);
        const what = `${name}=${value}`;
        if (value === nul) expectRefused(answer, what);
        else expect(answer.status, `${what}: ${answer.text}`).toBeLessThan(500);
      }
    }
    expectRefused(await send(`${base}&a${nul}=b`), 'a name');
  }

  test('the authorization endpoint, by GET and POST', async () => {
    const base = formOf(authorizationParameters(client, newPkce()));
    const names = [
      ...base.keys(),
      'nonce',
      'prompt',
      'max_age',
      'login_hint',
      'ui_locales',
      'acr_values',
      'display',
      'claims',
      'id_token_hint',
      'audience',
      'resource',
      'response_mode',
      'login_verifier',
      'consent_verifier',
      'unknown',
    ];
    await eachParameter(names, base, (query) => call(at(`/oauth2/auth?${query}`)));
    await eachParameter(names, base, (body) => postForm('/oauth2/auth', body));
  });

  function postForm(path: string, body: string, headers = {}): Promise<Answer> {
    return call(at(path), {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    });
  }

  test('token, revocation, introspection, userinfo, logout', async () => {
    const { access, refresh } = await connect(deployment, client);
    const signedIn = openBrowser();
    const as = (path: string) => (body: string) => postForm(path, body, basic(client));
    const grants = [
      { grant_type: 'authorization_code', code: 'x', redirect_uri: 'x', code_verifier: 'x' },
      { grant_type: 'refresh_token', refresh_token: refresh, scope: 'openid' },
      { grant_type: 'client_credentials', scope: 'api.read', audience: 'x', resource: 'x:y' },
    ];
    for (const grant of grants) {
      await eachParameter(Object.keys(grant), formOf(grant), as('/oauth2/token'));
    }
    const token = formOf({ token: access });
    await eachParameter(['token', 'token_type_hint'], token, as('/oauth2/revoke'));
    await eachParameter(['token', 'token_type_hint'], token, as('/oauth2/introspect'));
    await eachParameter(['client_id', 'client_secret'], token, (body) =>
      postForm('/oauth2/revoke', body),
    );
    await eachParameter(['access_token'], formOf({}), (body) => postForm('/userinfo', body));
    const names = [
      'id_token_hint',
      'client_id',
      'post_logout_redirect_uri',
      'state',
      'logout_verifier',
    ];
    await eachParameter(names, formOf({}), (query) =>
      signedIn.get(at(`/oauth2/sessions/logout?${query}`)),
    );
    for (const value of ['\u0000', '\u00ff\u00fe']) {
      const pair = Buffer.from(`${client.id}${value}:x${value}`, 'latin1').toString('base64');
      const headers = { authorization: `Basic ${pair}` };
      expectRefused(await postForm('/oauth2/token', 'grant_type=x', headers), 'basic');
    }
  });

  test('pages', async () => {
    const paths = ['login', 'consent', 'logout', 'error', 'signed-out', 'sign-up'];
    const names = [
      'login_challenge',
      'consent_challenge',
      'logout_challenge',
      'error',
      'request_id',
    ];
    for (const path of paths) {
      for (const name of names) {
        for (const value of [nul, ...broken]) {
          const answer = await call(at(`/ui/${path}?${name}=a${value}`));
          expect(answer.status, `${path} ${name}=${value}`).toBeLessThan(500);
        }
      }
    }
  });

  test('queries and paths of the admin doors', async () => {
    const base = '/admin/oauth2/auth';
    const doors = [
      ['GET', (v: string) => `${base}/requests/login?login_challenge=${v}`],
      ['GET', (v: string) => `${base}/requests/consent?consent_challenge=${v}`],
      ['GET', (v: string) => `${base}/requests/logout?logout_challenge=${v}`],
      ['PUT', (v: string) => `${base}/requests/logout/reject?logout_challenge=${v}`],
      ['GET', (v: string) => `${base}/sessions/consent?subject=${v}`],
      ['GET', (v: string) => `${base}/sessions/consent?subject=a&login_session_id=${v}`],
      ['GET', (v: string) => `${base}/sessions/consent?subject=a&page_token=${v}`],
      ['GET', (v: string) => `${base}/sessions/consent?subject=a&page_size=${v}`],
      ['DELETE', (v: string) => `${base}/sessions/consent?subject=${v}&all=true`],
      ['DELETE', (v: string) => `${base}/sessions/consent?subject=a&client=${v}`],
      ['DELETE', (v: string) => `${base}/sessions/consent?consent_request_id=${v}`],
      ['DELETE', (v: string) => `${base}/sessions/login?subject=${v}`],
      ['DELETE', (v: string) => `${base}/sessions/login?sid=${v}`],
      ['DELETE', (v: string) => `/admin/oauth2/tokens?client_id=${v}`],
      ['GET', (v: string) => `/admin/clients?client_name=${v}`],
      ['GET', (v: string) => `/admin/clients?owner=${v}`],
      ['GET', (v: string) => `/admin/clients?page_token=${v}`],
      ['GET', (v: string) => `/admin/clients/${v}`],
      ['DELETE', (v: string) => `/admin/clients/${v}`],
      ['POST', (v: string) => `/admin/clients/${v}/secrets/rotate`],
      ['GET', (v: string) => `/admin/keys/${v}`],
      ['GET', (v: string) => `/admin/keys/set/${v}`],
      ['DELETE', (v: string) => `/admin/keys/${v}/${v}`],
      ['DELETE', (v: string) => `/admin/credentials/${v}`],
    ] as const;
    for (const [method, pathOf] of doors) {
      for (const value of [nul, ...broken]) {
        const answer = await admin(method, pathOf(`a${value}`));
        const what = `${method} ${pathOf(value)}: ${answer.text}`;
        expect(answer.status, what).toBeLessThan(500);
      }
    }
    for (const path of [
      `${base}/sessions/consent?subject=a${nul}`,
      `${base}/sessions/consent?subject=a&page_token=${Buffer.from('a\0').toString('base64url')}`,
    ]) {
      expectRefused(await admin('GET', path), path);
    }
  });

  test('JSON bodies of the admin doors', async () => {
    const challenge = await loginChallenge();
    const send = (method: string, path: string, body: Json) => deployment.admin(method, path, body);
    const accept = door('login', challenge, 'accept');
    const reject = door('login', challenge, 'reject');
    const bodies: readonly (readonly [string, string, (text: string) => Json])[] = [
      ['PUT', accept, (text) => ({ subject: text })],
      ['PUT', accept, (text) => ({ subject: 'a', acr: text })],
      ['PUT', accept, (text) => ({ subject: 'a', amr: [text] })],
      ['PUT', accept, (text) => ({ subject: 'a', context: { [text]: 1 } })],
      ['PUT', accept, (text) => ({ subject: 'a', force_subject_identifier: text })],
      ['PUT', accept, (text) => ({ subject: 'a', identity_provider_session_id: text })],
      ['PUT', reject, (text) => ({ error: text })],
      ['PUT', reject, (text) => ({ error_description: text })],
      ['POST', '/admin/revocations', (text) => ({ subject: text })],
      ['POST', '/admin/revocations', (text) => ({ client_id: text })],
      ['POST', '/admin/revocations', (text) => ({ grant: text })],
      ['POST', '/admin/revocations', (text) => ({ token: text })],
      ['POST', '/admin/revocations', (text) => ({ subject: 'nobody', reason: text })],
      ['POST', '/admin/credentials', (text) => ({ name: text, role: 'keys' })],
      ['POST', '/admin/keys/strings', (text) => ({ alg: 'ES256', use: 'sig', kid: text })],
      ['PUT', '/admin/keys/strings', (text) => ({ keys: [{ kty: 'EC', kid: text }] })],
      ...[
        'client_id',
        'client_name',
        'client_secret',
        'owner',
        'scope',
        'client_uri',
        'logo_uri',
        'policy_uri',
        'tos_uri',
        'jwks_uri',
        'subject_type',
        'token_endpoint_auth_method',
        'access_token_strategy',
        'authorization_code_grant_access_token_lifespan',
      ].map(
        (name) => ['POST', '/admin/clients', (text: string): Json => ({ [name]: text })] as const,
      ),
      ...[
        'redirect_uris',
        'post_logout_redirect_uris',
        'grant_types',
        'response_types',
        'audience',
        'contacts',
        'allowed_cors_origins',
        'resources',
        'refresh_token_scopes',
      ].map(
        (name) => ['POST', '/admin/clients', (text: string): Json => ({ [name]: [text] })] as const,
      ),
      ['POST', '/admin/clients', (text) => ({ metadata: { [text]: text } })],
      ['POST', '/admin/clients', (text) => ({ jwks: { keys: [{ kty: 'EC', kid: text }] } })],
      ['PUT', `/admin/clients/${client.id}`, (text) => ({ owner: text })],
      ['PUT', `/admin/clients/${client.id}/lifespans`, (text) => ({ [text]: text })],
    ];
    for (const [method, path, bodyOf] of bodies) {
      for (const text of jsonBroken) {
        const body = bodyOf(text);
        expectRefused(await send(method, path, body), `${path} ${JSON.stringify(body)}`);
      }
    }
    const patch = await deployment.admin('PATCH', `/admin/clients/${client.id}`, [
      { op: 'replace', path: '/owner', value: '\u0000' },
    ]);
    expectRefused(patch, 'patch');
    // The controls: the same doors take text that can be stored.
    expect((await send('PUT', accept, { subject: 'Zoë 🦉' })).status).toBe(200);
    expect((await send('POST', '/admin/clients', { client_name: 'Zoë 🦉' })).status).toBe(201);
    const said = { subject: 'nobody', reason: 'ünïcode' };
    expect((await send('POST', '/admin/revocations', said)).status).toBe(200);
  });

  test('texts longer than any that exists, at every door that looks one up', async () => {
    const long = 'x'.repeat(8_000);
    for (const [method, path] of [
      ['GET', `/admin/clients/${long}`],
      ['GET', `/admin/clients?owner=${long}`],
      ['GET', `/admin/keys/${long}`],
      ['DELETE', `/admin/oauth2/tokens?client_id=${long}`],
      ['GET', `/admin/oauth2/auth/sessions/consent?subject=${long}`],
      ['DELETE', `/admin/oauth2/auth/sessions/consent?subject=${long}&all=true`],
      ['DELETE', `/admin/oauth2/auth/sessions/consent?subject=a&client=${long}`],
      ['DELETE', `/admin/oauth2/auth/sessions/login?subject=${long}`],
    ] as const) {
      const answer = await admin(method, path);
      expect(answer.status, `${method} ${path.slice(0, 60)}: ${answer.text}`).toBeLessThan(500);
    }
    for (const form of [{ client_id: long, client_secret: 'x' }, { client_id: client.id }]) {
      const answer = await deployment.post('/oauth2/token', { ...form, code: long });
      expect(answer.status).toBe(401);
    }
    const parameters = authorizationParameters(client, newPkce(), { client_id: long });
    expect((await deployment.post('/oauth2/auth', parameters)).status).toBe(400);
  });

  test('admin introspection', async () => {
    const authorization = `Bearer ${deployment.server.adminToken}`;
    for (const name of ['token', 'scope']) {
      for (const value of [nul, ...broken]) {
        const answer = await call(`${deployment.server.adminUrl}/admin/oauth2/introspect`, {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
          body: `${name === 'scope' ? 'token=x&' : ''}${name}=a${value}`,
        });
        expect(answer.status, `${name}=${value}`).toBe(value === nul ? 400 : 200);
      }
    }
  });

  async function loginChallenge(): Promise<string> {
    const query = formOf(authorizationParameters(client, newPkce()));
    const answer = await call(at(`/oauth2/auth?${query}`));
    return new URL(answer.headers.get('location') ?? '').searchParams.get('login_challenge') ?? '';
  }
});
