import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, call, type Deployment, deploy } from './deployment.ts';
import { connect, signIn } from './login-app.ts';

/** The admin doors of Hydra's description that exist here, and our own. */
const routes = [
  ['GET', '/admin/clients', 'clients'],
  ['POST', '/admin/clients', 'clients'],
  ['GET', '/admin/clients/x', 'clients'],
  ['PUT', '/admin/clients/x', 'clients'],
  ['PATCH', '/admin/clients/x', 'clients'],
  ['DELETE', '/admin/clients/x', 'clients'],
  ['PUT', '/admin/clients/x/lifespans', 'clients'],
  ['POST', '/admin/clients/x/secrets/rotate', 'clients'],
  ['DELETE', '/admin/clients/x/secrets/rotate', 'clients'],
  ['GET', '/admin/keys/x', 'keys'],
  ['POST', '/admin/keys/x', 'keys'],
  ['PUT', '/admin/keys/x', 'keys'],
  ['DELETE', '/admin/keys/x', 'keys'],
  ['GET', '/admin/keys/x/y', 'keys'],
  ['PUT', '/admin/keys/x/y', 'keys'],
  ['DELETE', '/admin/keys/x/y', 'keys'],
  ['GET', '/admin/oauth2/auth/requests/login', 'handshake'],
  ['PUT', '/admin/oauth2/auth/requests/login/accept', 'handshake'],
  ['PUT', '/admin/oauth2/auth/requests/login/reject', 'handshake'],
  ['GET', '/admin/oauth2/auth/requests/consent', 'handshake'],
  ['PUT', '/admin/oauth2/auth/requests/consent/accept', 'handshake'],
  ['PUT', '/admin/oauth2/auth/requests/consent/reject', 'handshake'],
  ['GET', '/admin/oauth2/auth/requests/logout', 'handshake'],
  ['PUT', '/admin/oauth2/auth/requests/logout/accept', 'handshake'],
  ['PUT', '/admin/oauth2/auth/requests/logout/reject', 'handshake'],
  ['GET', '/admin/oauth2/auth/sessions/consent', 'handshake'],
  ['DELETE', '/admin/oauth2/auth/sessions/consent', 'handshake'],
  ['DELETE', '/admin/oauth2/auth/sessions/login', 'handshake'],
  ['POST', '/admin/oauth2/introspect', 'handshake clients'],
  ['DELETE', '/admin/oauth2/tokens', 'clients'],
  ['POST', '/admin/revocations', 'handshake clients'],
  ['GET', '/admin/credentials', ''],
  ['POST', '/admin/credentials', ''],
  ['DELETE', '/admin/credentials/x', ''],
  ['GET', '/metrics', 'metrics'],
  ['GET', '/admin/metrics/prometheus', 'metrics'],
] as const;

const roles = ['handshake', 'clients', 'keys', 'metrics', 'all'] as const;

describe('security: admin doors', () => {
  let deployment: Deployment;
  const secrets = new Map<string, string>();

  beforeAll(async () => {
    deployment = await deploy();
    for (const role of roles) {
      const made = await deployment.admin('POST', '/admin/credentials', { name: role, role });
      secrets.set(role, String(made.body.secret));
    }
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const ask = (method: string, path: string, authorization?: string): Promise<Answer> =>
    call(deployment.server.adminUrl + path, {
      method,
      headers: authorization === undefined ? {} : { authorization },
    });
  const bearer = (role: string) => `Bearer ${secrets.get(role)}`;
  const basicOf = (role: string) =>
    `Basic ${Buffer.from(`anybody:${secrets.get(role)}`).toString('base64')}`;
  /** Let in: whatever the door then says of a request without content. */
  const letIn = (answer: Answer) => answer.status !== 401 && answer.status !== 403;

  test("security: the role handshake revokes what is a person's, never all of an app", async () => {
    const { id } = await deployment.register();
    const revoke = (role: string, body: object) =>
      call(`${deployment.server.adminUrl}/admin/revocations`, {
        method: 'POST',
        headers: { authorization: bearer(role), 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    expect((await revoke('handshake', { client_id: id })).status).toBe(403);
    expect((await revoke('handshake', { subject: 'somebody' })).status).toBe(200);
    for (const role of ['clients', 'all']) {
      expect((await revoke(role, { client_id: id })).body).toMatchObject({ known: true });
    }
  });

  test('without a credential every admin door answers 401 with a challenge', async () => {
    for (const [method, path] of routes) {
      for (const authorization of [
        undefined,
        'Bearer ',
        'Bearer nonsense',
        `Bearer gh_ad_${'A'.repeat(43)}`,
        `Bearer ${deployment.server.adminToken}x`,
        'Basic bm86bmU=',
        deployment.server.adminToken,
      ]) {
        const answer = await ask(method, path, authorization);
        expect(answer.status, `${method} ${path} ${authorization}`).toBe(401);
        expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /);
        expect(answer.body).toMatchObject({ error: 'unauthorized', status_code: 401 });
      }
    }
  });

  test('each role opens its own doors, and no other: 403', async () => {
    for (const [method, path, openTo] of routes) {
      for (const role of roles) {
        const answer = await ask(method, path, bearer(role));
        const right = role === 'all' || openTo.split(' ').includes(role);
        expect(letIn(answer), `${role}: ${method} ${path} ${answer.status}`).toBe(right);
        if (!right) expect(answer.status).toBe(403);
      }
    }
  });

  test('a credential is taken as Bearer, as Basic password, and in the base path for handshake', async () => {
    const path = '/admin/oauth2/auth/sessions/consent?subject=nobody';
    expect((await ask('GET', path, bearer('handshake'))).status).toBe(200);
    expect((await ask('GET', path, basicOf('handshake'))).status).toBe(200);
    expect((await ask('GET', `/c/${secrets.get('handshake')}${path}`)).status).toBe(200);
    for (const role of ['clients', 'keys', 'metrics', 'all']) {
      const answer = await ask('GET', `/c/${secrets.get(role)}/admin/clients`);
      expect(answer.status, role).toBe(403);
    }
    expect((await ask('GET', `/c/${deployment.server.adminToken}${path}`)).status).toBe(403);
    expect((await ask('GET', `/c/nonsense${path}`)).status).toBe(401);
    // The prefix opens nothing beyond the role.
    expect((await ask('GET', `/c/${secrets.get('handshake')}/admin/clients`)).status).toBe(403);
    expect((await ask('GET', `/c/${secrets.get('handshake')}/c/x${path}`)).status).toBe(404);
  });

  test('a deleted credential is refused from the answer on', async () => {
    const made = await deployment.admin('POST', '/admin/credentials', {
      name: 'short-lived',
      role: 'clients',
    });
    const authorization = `Bearer ${made.body.secret}`;
    expect((await ask('GET', '/admin/clients', authorization)).status).toBe(200);
    // A revocation of what only sounds like it neither ends it nor keeps it from being ended.
    await deployment.admin('POST', '/admin/revocations', {
      client_id: `credential:${made.body.id}`,
    });
    expect((await ask('GET', '/admin/clients', authorization)).status).toBe(200);
    const gone = await deployment.admin('DELETE', `/admin/credentials/${made.body.id}`);
    expect(gone.status).toBe(204);
    expect((await ask('GET', '/admin/clients', authorization)).status).toBe(401);
  });

  test('no admin door is open on the public listener', async () => {
    for (const [method, path] of routes) {
      const answer = await call(deployment.server.publicUrl + path, {
        method,
        headers: { authorization: `Bearer ${deployment.server.adminToken}` },
      });
      expect(answer.status, `${method} ${path}`).toBe(404);
    }
  });

  test('security 53: private parts of keys are in no answer of the key doors', async () => {
    const made = [
      await deployment.admin('POST', '/admin/keys/my-set', { alg: 'RS256', use: 'sig', kid: 'a' }),
      await deployment.admin('POST', '/admin/keys/my-set', { alg: 'ES256', use: 'sig', kid: 'b' }),
      await deployment.admin('POST', '/admin/keys/hydra.openid.id-token', {
        alg: 'EdDSA',
        use: 'sig',
        kid: '',
      }),
      await deployment.admin('GET', '/admin/keys/my-set'),
      await deployment.admin('GET', '/admin/keys/my-set/a'),
      await deployment.admin('GET', '/admin/keys/hydra.openid.id-token'),
      await deployment.admin('GET', '/admin/keys/hydra.jwt.access-token'),
      await call(`${deployment.server.publicUrl}/.well-known/jwks.json`),
    ];
    for (const { status, body, text } of made) {
      expect([200, 201], text).toContain(status);
      const keys: readonly object[] = Array.isArray(body.keys) ? body.keys : [body];
      expect(keys.length).toBeGreaterThan(0);
      for (const key of keys) {
        expect(key).toMatchObject({ kty: expect.any(String), alg: expect.any(String) });
        for (const name of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth']) {
          expect(key).not.toHaveProperty(name);
        }
      }
    }
    for (const set of ['gatehouse.flow', 'gatehouse.code', 'gatehouse.refresh', 'pepper']) {
      expect((await deployment.admin('GET', `/admin/keys/${set}`)).status).toBe(404);
    }
  });

  test('security 53: an imported private key is answered by its public part', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'mine' };
    const put = await deployment.admin('PUT', '/admin/keys/imported', { keys: [jwk] });
    expect(put.status).toBe(200);
    expect(put.text).toContain('"mine"');
    expect(put.text).not.toContain(String(jwk.d));
    const one = await deployment.admin('PUT', '/admin/keys/imported/mine', jwk);
    expect(one.status).toBe(200);
    expect(one.text).not.toContain(String(jwk.d));
  });

  test('security 53: credentials, codes and tokens are in no log line, refusals included', async () => {
    const own = await deploy({ env: { GATEHOUSE_LOG_LEVEL: 'debug' } });
    try {
      const { adminToken, adminUrl, publicUrl } = own.server;
      const made = await own.admin('POST', '/admin/credentials', { name: 'ui', role: 'handshake' });
      const credential = String(made.body.secret);
      const client = await own.register();
      const tokens = await connect(own, client);
      const { code, hops } = await signIn(own, client);
      await call(`${adminUrl}/c/${credential}/admin/oauth2/auth/sessions/consent?subject=a`);
      await call(`${adminUrl}/c/${adminToken}/admin/clients`);
      await call(`${publicUrl}/userinfo?access_token=${tokens.access}`);
      await call(`${publicUrl}/oauth2/auth?client_id=${client.id}&client_secret=${client.secret}`);
      await call(`${publicUrl}/${tokens.refresh}`);
      await own.post('/oauth2/token', {
        grant_type: 'refresh_token',
        client_secret: client.secret,
      });
      await own.server.stop();
      const logged = own.server.output();
      expect(logged).toContain('"route":"/oauth2/token"');
      const sealed = hops
        .map((hop) => new URL(hop).search.slice(1))
        .filter((one) => one.includes('er='));
      for (const secret of [
        credential,
        adminToken,
        client.secret,
        tokens.access,
        tokens.refresh,
        tokens.id,
        code,
        tokens.pkce.verifier,
        ...sealed,
      ]) {
        expect(secret.length).toBeGreaterThan(20);
        expect(logged.includes(secret), secret).toBe(false);
      }
    } finally {
      await own.close();
    }
  });
});
