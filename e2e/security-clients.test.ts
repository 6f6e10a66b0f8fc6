import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Answer,
  basic,
  call,
  type Deployment,
  deploy,
  formOf,
  type Parameters,
  type RegisteredClient,
} from './deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  connect,
  newPkce,
  signIn,
} from './login-app.ts';

/** Client authentication and hostile input: what attackers try, each beside what is right. */
describe('security: clients and input', () => {
  let deployment: Deployment;
  let byBasic: RegisteredClient;
  let byPost: RegisteredClient;
  let open: RegisteredClient;

  beforeAll(async () => {
    deployment = await deploy();
    byBasic = await deployment.register();
    byPost = await deployment.register({ token_endpoint_auth_method: 'client_secret_post' });
    open = await deployment.register({ token_endpoint_auth_method: 'none' });
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const doors = ['/oauth2/token', '/oauth2/revoke', '/oauth2/introspect'];
  const form = { grant_type: 'client_credentials', token: 'nonsense' };

  /** A request at every door where clients authenticate. */
  async function everywhere(
    parameters: Parameters,
    headers?: Readonly<Record<string, string>>,
  ): Promise<readonly Answer[]> {
    return Promise.all(
      doors.map((path) => deployment.post(path, { ...form, ...parameters }, headers)),
    );
  }

  function expectInvalidClient(answers: readonly Answer[], what: string): void {
    for (const answer of answers) {
      expect(answer.status, what).toBe(401);
      expect(answer.body.error, what).toBe('invalid_client');
      expect(answer.headers.get('content-type'), what).toBe('application/json');
    }
  }

  async function expectRight(): Promise<void> {
    const answers = [
      ...(await everywhere({}, basic(byBasic))),
      ...(await everywhere({ client_id: byPost.id, client_secret: byPost.secret })),
    ];
    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200));
  }

  test('security 32: a secret that is blank, missing or wrong: invalid_client', async () => {
    for (const secret of ['', ' ', 'wrong', byBasic.secret.slice(0, -1), `${byBasic.secret}x`]) {
      const headers = basic({ id: byBasic.id, secret });
      expectInvalidClient(await everywhere({}, headers), `basic ${secret}`);
      const posted = { client_id: byPost.id, client_secret: secret };
      expectInvalidClient(await everywhere(posted), `post ${secret}`);
    }
    expectInvalidClient(await everywhere({ client_id: byBasic.id }), 'none');
    expectInvalidClient(await everywhere({}, basic({ id: 'nobody', secret: 'x' })), 'unknown');
    expectInvalidClient(await everywhere({}), 'nothing');
    await expectRight();
  });

  test('security 32: an unknown client and a wrong secret are answered alike', async () => {
    const ask = (id: string) => deployment.post('/oauth2/token', form, basic({ id, secret: 'x' }));
    const [known, unknown] = [await ask(byBasic.id), await ask('nobody')];
    expect(known.text).toBe(unknown.text);
    const right = await deployment.post('/oauth2/token', form, basic(byBasic));
    expect(right.text).not.toBe(known.text);
  });

  test('security 32: two methods at once, or one that was not registered: invalid_client', async () => {
    const body = { client_id: byBasic.id, client_secret: byBasic.secret };
    expectInvalidClient(await everywhere(body, basic(byBasic)), 'two methods');
    expectInvalidClient(await everywhere(body), 'post, registered for basic');
    expectInvalidClient(await everywhere({}, basic(byPost)), 'basic, registered for post');
    const foreign = { client_id: byPost.id };
    expectInvalidClient(await everywhere(foreign, basic(byBasic)), 'two clients');
    const assertion = {
      client_id: byBasic.id,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: 'ey.ey.ey',
    };
    expectInvalidClient(await everywhere(assertion), 'client_assertion');
    expectInvalidClient(await everywhere(assertion, basic(byBasic)), 'both');
    const secret = { client_id: open.id, client_secret: 'x' };
    expectInvalidClient(await everywhere(secret), 'a public client with a secret');
    // Naming oneself in the body beside Basic is no second method.
    const named = await everywhere({ client_id: byBasic.id }, basic(byBasic));
    expect(named.map((answer) => answer.status)).toEqual([200, 200, 200]);
  });

  test('security 32: a wrong method does not burn the code', async () => {
    const { code, pkce } = await signIn(deployment, byPost);
    const redemption = {
      grant_type: 'authorization_code',
      code,
      code_verifier: pkce.verifier,
      redirect_uri: byPost.redirectUri,
    };
    const first = await deployment.post('/oauth2/token', redemption, basic(byPost));
    expect(first.status).toBe(401);
    expect(first.headers.get('www-authenticate')).toMatch(/^Basic /);
    expect((await deployment.postAs(byPost, '/oauth2/token', redemption)).status).toBe(200);
  });

  test('security 33: malformed Basic: 401, never 500', async () => {
    const encode = (text: string) => Buffer.from(text, 'latin1').toString('base64');
    const headers = [
      'Basic',
      'Basic ',
      'Basic !!!!',
      `Basic ${encode('no-colon')}`,
      `Basic ${encode(':secret')}`,
      `Basic ${encode(`${byBasic.id}:%zz`)}`,
      `Basic ${encode(`%E0%A4:${byBasic.secret}`)}`,
      `Basic ${encode(`${byBasic.id}%00:${byBasic.secret}`)}`,
      `Basic ${encode('\u00ff\u00fe:\u00ff')}`,
      `Basic ${encode(`${'a'.repeat(4000)}:b`)}`,
      `Digest username="${byBasic.id}"`,
      `Bearer ${byBasic.secret}`,
    ];
    for (const authorization of headers) {
      expectInvalidClient(await everywhere({}, { authorization }), authorization);
    }
    await expectRight();
  });

  test('security 33: a wrong content type, broken JSON, a huge body: 4xx, never 500', async () => {
    const { publicUrl, adminUrl, adminToken } = deployment.server;
    const send = (path: string, type: string, body: string) =>
      call(publicUrl + path, {
        method: 'POST',
        headers: { ...basic(byBasic), 'content-type': type },
        body,
      });
    const right = formOf(form).toString();
    for (const path of doors) {
      for (const type of [
        'application/json',
        'text/plain',
        'multipart/form-data; boundary=x',
        'x',
      ]) {
        const answer = await send(path, type, right);
        expect(answer.status, `${path} ${type}`).toBe(415);
        expect(answer.body.error).toBe('invalid_request');
      }
      const huge = `${right}&x=${'y'.repeat(70_000)}`;
      expect((await send(path, 'application/x-www-form-urlencoded', huge)).status).toBe(413);
      const many = `${right}&${Array.from({ length: 300 }, (_, n) => `p${n}=1`).join('&')}`;
      expect((await send(path, 'application/x-www-form-urlencoded', many)).status).toBe(400);
    }
    const admin = (body: string, type = 'application/json') =>
      call(`${adminUrl}/admin/clients`, {
        method: 'POST',
        headers: { authorization: `Bearer ${adminToken}`, 'content-type': type },
        body,
      });
    for (const broken of ['{', '[1,', 'nope', '"text"', '7', 'null', '[]', `${'['.repeat(5000)}`]) {
      expect((await admin(broken)).status, broken.slice(0, 20)).toBe(400);
    }
    expect((await admin('{}', 'text/plain')).status).toBe(415);
    expect((await admin(`{"client_name":"${'x'.repeat(300_000)}"}`)).status).toBe(413);
    expect((await admin('{}')).status).toBe(201);
    await expectRight();
  });

  test('security 33: a chunked body without a length is cut off, too', async () => {
    const answer = await chunked(`${deployment.server.publicUrl}/oauth2/token`, 200_000);
    expect([400, 413]).toContain(answer);
    await expectRight();
  });

  test('security 33: headers larger than 16 KiB, and a URL that long: 431, the server lives on', async () => {
    const url = `${deployment.server.publicUrl}/.well-known/openid-configuration`;
    expect((await call(url, { headers: { 'x-large': 'x'.repeat(20_000) } })).status).toBe(431);
    expect((await call(`${url}?${'x'.repeat(20_000)}`)).status).toBe(431);
    expect((await call(url)).status).toBe(200);
  });

  test('security 52: hostile text costs linear time at every door that matches text', async () => {
    const { publicUrl, adminUrl, adminToken } = deployment.server;
    const bearer = { authorization: `Bearer ${adminToken}` };
    const json = { ...bearer, 'content-type': 'application/json' };
    const registering = (document: object) =>
      call(`${adminUrl}/admin/clients`, {
        method: 'POST',
        headers: json,
        body: JSON.stringify(document),
      });
    const spaces = ' '.repeat(8_000);
    const attacks: readonly (() => Promise<Answer>)[] = [
      () => deployment.post('/oauth2/token', form, { authorization: `Basic ${spaces}!` }),
      () =>
        deployment.post('/oauth2/token', form, { authorization: `Basic ${'='.repeat(8_000)}!` }),
      () => call(`${publicUrl}/userinfo`, { headers: { authorization: `Bearer ${spaces}\t` } }),
      () => call(`${publicUrl}/userinfo`, { headers: { cookie: 'a=;'.repeat(2_500) } }),
      () =>
        call(`${publicUrl}/oauth2/token`, {
          method: 'POST',
          headers: { 'content-type': `application/x-www-form-urlencoded${spaces}x` },
          body: 'a=b',
        }),
      () =>
        call(
          authorizationUrl(deployment, {
            ...authorizationParameters(byBasic, newPkce()),
            scope: 'a.'.repeat(4_000),
          }),
        ),
      () =>
        call(
          authorizationUrl(deployment, {
            ...authorizationParameters(byBasic, newPkce()),
            prompt: spaces,
          }),
        ),
      () =>
        deployment.post('/oauth2/auth', {
          ...authorizationParameters(byBasic, newPkce()),
          claims: '['.repeat(60_000),
        }),
      () => registering({ redirect_uris: [`https://${'a.'.repeat(20_000)}!`] }),
      () => registering({ redirect_uris: [`https://${'a'.repeat(2_000)}:${'1'.repeat(20_000)}`] }),
      () => registering({ scope: '*.'.repeat(40_000) }),
      () => registering({ authorization_code_grant_access_token_lifespan: '1h'.repeat(50_000) }),
      () => registering({ client_name: '\\'.repeat(100_000) }),
      () => registering({ metadata: { text: '\\'.repeat(60_000) } }),
      () => call(`${adminUrl}/admin/clients?page_token=${'A'.repeat(10_000)}`, { headers: bearer }),
      () => call(`${adminUrl}${'/c/x'.repeat(3_000)}`, { headers: bearer }),
    ];
    for (const [index, attack] of attacks.entries()) {
      // Far above what linear work takes here, far below what backtracking would. It is judged at its
      // best: a busy machine is late once, backtracking each time.
      let tookMs = Infinity;
      for (let tries = 0; tries < 3 && tookMs > 2_000; tries += 1) {
        const startedMs = performance.now();
        const { status } = await attack();
        expect(status, `attack ${index}`).toBeLessThan(500);
        tookMs = Math.min(tookMs, performance.now() - startedMs);
      }
      expect(tookMs, `attack ${index}`).toBeLessThan(2_000);
    }
    await expectRight();
  });

  test('security 53: no secret in an answer but the one that made it', async () => {
    const own = await deployment.register();
    await connect(deployment, own);
    expect(own.secret.length).toBeGreaterThanOrEqual(32);
    const { client_secret: _made, ...document } = own.document;
    const reads = [
      await deployment.admin('GET', `/admin/clients/${own.id}`),
      await deployment.admin('GET', '/admin/clients'),
      await deployment.admin('PUT', `/admin/clients/${own.id}`, { ...document, owner: 'me' }),
      await deployment.admin('GET', '/admin/oauth2/auth/sessions/consent?subject=alice'),
      await deployment.admin('GET', '/admin/credentials'),
      await deployment.admin('GET', '/metrics'),
    ];
    for (const { text, status } of reads) {
      expect(status).toBe(200);
      expect(text).not.toContain(own.secret);
      expect(text).not.toContain(deployment.server.adminToken);
      expect(text).not.toMatch(/"secret_?hash"|"hash"|"scheme"|"pepper|argon2id|gh_ad_/);
    }
    const rotated = await deployment.admin('POST', `/admin/clients/${own.id}/secrets/rotate`);
    expect(rotated.body.client_secret).toEqual(expect.any(String));
    expect(rotated.body.client_secret).not.toBe(own.secret);
    for (const secret of [own.secret, String(rotated.body.client_secret)]) {
      const answer = await deployment.post('/oauth2/token', form, basic({ id: own.id, secret }));
      expect(answer.status).toBe(200);
    }
  });
});

/** Posts a body in chunks; the status, or 0 where the connection was closed. */
function chunked(url: string, bytes: number): Promise<number> {
  return new Promise((resolve) => {
    const outgoing = request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    outgoing.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.on('error', () => resolve(0));
    outgoing.write('a='.padEnd(bytes / 2, 'x'));
    outgoing.end('x'.repeat(bytes / 2));
  });
}
