import { once } from 'node:events';
import { connect as openSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  basic,
  call,
  type Deployment,
  deploy,
  postLogoutUri,
  type RegisteredClient,
} from './deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  connect,
  newPkce,
  signIn,
} from './login-app.ts';

/** What reaches the edge: bytes on a socket, headers, cookies, and answers that a browser reads. */
describe('security: the edge', () => {
  let deployment: Deployment;
  let client: RegisteredClient;
  let port: number;

  beforeAll(async () => {
    deployment = await deploy();
    client = await deployment.register();
    port = Number(new URL(deployment.server.publicUrl).port);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  /** Everything that the server answers to these bytes until it closes, or until it is silent. */
  function raw(bytes: string | Buffer, silentMs = 700): Promise<string> {
    return new Promise((resolve) => {
      const socket = openSocket(port, '127.0.0.1', () => socket.write(bytes));
      const read: Buffer[] = [];
      const end = () => {
        socket.destroy();
        resolve(Buffer.concat(read).toString('latin1'));
      };
      socket.setTimeout(silentMs, end);
      socket.on('data', (chunk) => read.push(chunk));
      socket.on('close', end);
      socket.on('error', () => {});
    });
  }

  function statusesIn(answer: string): readonly number[] {
    return [...answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
  }

  const form = 'grant_type=client_credentials';
  const auth = () => `Authorization: ${basic(client).authorization}\r\n`;
  const head = 'POST /oauth2/token HTTP/1.1\r\nHost: a\r\n';
  const typed = 'Content-Type: application/x-www-form-urlencoded\r\n';
  const smuggled = 'GET /health/alive HTTP/1.1\r\nHost: a\r\n\r\n';

  test('security 33: a request that two parsers would cut differently is refused as a whole', async () => {
    const right = `${head}${auth()}${typed}Connection: close\r\nContent-Length: ${form.length}\r\n\r\n${form}`;
    expect(statusesIn(await raw(right, 10_000))).toEqual([200]);
    const shapes = [
      `Content-Length: ${form.length}\r\nContent-Length: ${form.length + 5}\r\n`,
      `Content-Length: ${form.length}\r\nTransfer-Encoding: chunked\r\n`,
      'Transfer-Encoding: chunked, identity\r\n',
      'Transfer-Encoding: xchunked\r\n',
      'Transfer-Encoding : chunked\r\n',
      `Content-Length: +${form.length}\r\n`,
      `Content-Length: 0x1c\r\n`,
      `Content-Length: ${form.length},${form.length}\r\n`,
      ` folded: header\r\n`,
      `X: a\nTransfer-Encoding: chunked\r\n`,
      `X\0: a\r\nContent-Length: ${form.length}\r\n`,
    ];
    for (const shape of shapes) {
      const answer = await raw(`${head}${auth()}${typed}${shape}\r\n${form}${smuggled}`);
      const statuses = statusesIn(answer);
      // One refusal, and the connection is closed: what follows is never read as a request.
      expect(statuses.length, `${shape} ${answer}`).toBeLessThanOrEqual(1);
      expect(
        statuses.every((status) => status >= 400),
        `${shape} ${answer}`,
      ).toBe(true);
      expect(answer).not.toContain('access_token');
    }
    for (const chunk of ['5;x=\n\r\n', 'ffffffffffffffff1\r\n', '-1\r\n', '0x5\r\n', 'g\r\n']) {
      const bytes = `${head}${auth()}${typed}Transfer-Encoding: chunked\r\n\r\n${chunk}abcde\r\n0\r\n\r\n${smuggled}`;
      const answer = await raw(bytes);
      expect(
        statusesIn(answer).filter((status) => status < 400),
        `${chunk} ${answer}`,
      ).toEqual([]);
    }
  });

  test('security 33: odd request lines, methods and hosts: an answer below 500, no redirect', async () => {
    const lines = [
      'GET http://evil.example/oauth2/auth?client_id=x HTTP/1.1\r\nHost: evil.example\r\n\r\n',
      'GET //evil.example/ui/error HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET /.well-known/openid-configuration HTTP/1.1\r\nHost: evil.example\r\n\r\n',
      'GET /.well-known/openid-configuration HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n\r\n',
      'GET /ui/error HTTP/1.1\r\nHost: a b<script>\r\n\r\n',
      'GET /ui/error HTTP/1.1\r\nHost:\r\n\r\n',
      'GET /ui/error HTTP/1.1\r\nHost: [::1\r\n\r\n',
      'GET /ui/error HTTP/1.1\r\n\r\n',
      'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n',
      'TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret=1\r\n\r\n',
      'GET /oauth2/%2e%2e/%2e%2e/admin/clients HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET /oauth2/..;/admin/clients HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET /%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'GET * HTTP/1.1\r\nHost: a\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
      '\u0016\u0003\u0001\u0002\u0000\u0001',
    ];
    for (const line of lines) {
      const answer = await raw(line, 400);
      for (const status of statusesIn(answer)) expect(status, line).toBeLessThan(500);
      expect(answer, line).not.toMatch(/evil\.example|secret=1|<script>/);
      expect(answer, line).not.toMatch(/^location:/im);
    }
    expect((await call(`${deployment.server.publicUrl}/health/ready`)).status).toBe(200);
  });

  test('HTTP/1.0, which knows no Host, is answered: so health checks of load balancers ask', async () => {
    expect(statusesIn(await raw('GET /health/ready HTTP/1.0\r\n\r\n'))).toEqual([200]);
  });

  test('security 33: cookie and header bombs are refused, and hold up nobody', async () => {
    const url = `${deployment.server.publicUrl}/oauth2/auth?client_id=${client.id}`;
    const cookies = Array.from({ length: 900 }, (_, n) => `gatehouse-flow-${n}=x`).join('; ');
    expect((await call(url, { headers: { cookie: cookies } })).status).toBeLessThan(500);
    const many = Array.from({ length: 1_900 }, (_, n) => `X${n}: a\r\n`).join('');
    const answer = await raw(`GET /health/alive HTTP/1.1\r\nHost: a\r\n${many}\r\n`);
    expect(statusesIn(answer).every((status) => status === 200 || status === 431)).toBe(true);
  });

  test('security 33: who sends slowly waits for nobody but himself', async () => {
    const slow = Array.from({ length: 200 }, () => {
      const socket = openSocket(port, '127.0.0.1', () => socket.write('POST /oauth2/token HT'));
      socket.on('error', () => {});
      return socket;
    });
    try {
      await sleep(200);
      const answers = await Promise.all(
        Array.from({ length: 20 }, () =>
          deployment.postAs(client, '/oauth2/token', { grant_type: 'client_credentials' }),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    } finally {
      for (const socket of slow) socket.destroy();
    }
  });

  test('R21: a client that goes away within its body is no fault of ours: 499, and no error line', async () => {
    const server = await deploy();
    onTestFinished(() => server.close());
    const target = Number(new URL(server.server.publicUrl).port);
    const paths = ['/oauth2/token', '/oauth2/auth', '/ui/login'];
    const shapes = [
      'Content-Length: 90\r\n\r\nhalf=a',
      'Transfer-Encoding: chunked\r\n\r\n90\r\nhalf=a',
    ];
    for (const path of paths) {
      for (const shape of shapes) {
        const awaited = `Host: a\r\nExpect: 100-continue\r\n${typed}`;
        const bytes = `POST ${path}?login_challenge=x HTTP/1.1\r\n${awaited}${shape}`;
        const socket = openSocket(target, '127.0.0.1', () => socket.write(bytes));
        // Answered at once by whoever has begun to read the request.
        await once(socket, 'data');
        await sleep(100);
        socket.resetAndDestroy();
      }
    }
    const counted = async () => {
      const { text } = await server.admin('GET', '/metrics');
      const lines = /_request_seconds_count\{route="([^"]+)",method="POST",status="(\d+)"\} (\d+)/g;
      return [...text.matchAll(lines)].map(([, route, status, count]) => [route, status, count]);
    };
    const expected = paths.map((path) => [path, '499', String(shapes.length)]);
    await expect.poll(counted, { timeout: 10_000 }).toEqual(expect.arrayContaining(expected));
    expect(await counted()).toHaveLength(paths.length);
    expect(server.server.output()).not.toMatch(/"level":"(error|warn)"|ECONNRESET/);
  });

  test('security 10: a state with CR, LF and NUL splits no header', async () => {
    for (const state of [
      'a\r\nSet-Cookie: evil=1',
      'a\nLocation: https://evil.example',
      '\u0000',
      '\u2028é𝒳',
    ]) {
      const { answer, returned } = await signIn(deployment, client, { parameters: { state } });
      expect(answer.headers.getSetCookie().join()).not.toContain('evil');
      if (state.includes('\u0000')) continue;
      expect(returned.get('state')).toBe(state);
    }
    const query = new URLSearchParams({
      client_id: client.id,
      post_logout_redirect_uri: postLogoutUri,
      state: 'a\r\nSet-Cookie: evil=1',
    });
    const left = await call(`${deployment.server.publicUrl}/oauth2/sessions/logout?${query}`);
    expect(left.headers.getSetCookie().join()).not.toContain('evil');
    expect(new URL(left.headers.get('location') ?? '').origin).toBe('https://app.example');
  });

  test('security 50: signing out redirects only to what is registered', async () => {
    const tries = [
      'https://evil.example/',
      `${postLogoutUri}.evil.example`,
      `${postLogoutUri}?next=https://evil.example`,
      '//evil.example',
      '/\\evil.example',
      'javascript:alert(1)',
    ];
    for (const uri of tries) {
      const query = new URLSearchParams({ client_id: client.id, post_logout_redirect_uri: uri });
      const answer = await call(`${deployment.server.publicUrl}/oauth2/sessions/logout?${query}`);
      expect(answer.status, uri).toBe(400);
      expect(answer.headers.get('location'), uri).toBeNull();
    }
  });

  test('security 33: JSON with a key given twice, or __proto__, gives nobody a privilege', async () => {
    const { adminUrl, adminToken } = deployment.server;
    const post = (body: string) =>
      call(`${adminUrl}/admin/clients`, {
        method: 'POST',
        headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
        body,
      });
    const twice = await post('{"client_name":"first","client_name":"second"}');
    expect(twice.status).toBe(201);
    expect(twice.body.client_name).toBe('second');
    const polluted = await post(
      '{"__proto__":{"skip_consent":true,"disabled":true},"constructor":{"prototype":{"skip_consent":true}}}',
    );
    expect(polluted.body).toMatchObject({ skip_consent: false });
    expect(await deployment.register()).toMatchObject({ document: { skip_consent: false } });
    const numbers = await post('{"refresh_grace_seconds":1e999}');
    expect(numbers.status).toBe(400);
  });

  test('security 53: nothing with a token, a code or a person in it may be cached', async () => {
    const tokens = await connect(deployment, client);
    const { publicUrl } = deployment.server;
    const answers = [
      tokens.answer,
      await deployment.userinfo(tokens.access),
      await deployment.userinfo('nonsense'),
      await deployment.postAs(client, '/oauth2/introspect', { token: tokens.access }),
      await call(authorizationUrl(deployment, authorizationParameters(client, newPkce()))),
      await deployment.admin('GET', `/admin/clients/${client.id}`),
      await call(`${publicUrl}/ui/error?error=a`),
    ];
    for (const { headers, status } of answers) {
      expect(headers.get('cache-control'), String(status)).toContain('no-store');
    }
    // A condition of a cache changes no answer.
    const conditional = await call(`${publicUrl}/userinfo`, {
      headers: {
        authorization: `Bearer ${tokens.access}`,
        'if-none-match': '*',
        'if-modified-since': new Date().toUTCString(),
        range: 'bytes=0-3',
      },
    });
    expect(conditional.status).toBe(200);
    expect(conditional.body.sub).toBe('alice');
  });

  test('security 46: no page of another origin reads an answer, and none with cookies', async () => {
    const { publicUrl, adminUrl, adminToken } = deployment.server;
    const origin = 'https://evil.example';
    for (const [url, headers] of [
      [`${publicUrl}/userinfo`, {}],
      [`${publicUrl}/oauth2/auth`, {}],
      [`${publicUrl}/ui/error`, {}],
      [`${adminUrl}/admin/clients`, { authorization: `Bearer ${adminToken}` }],
    ] as const) {
      for (const from of [origin, 'null']) {
        const answer = await call(url, { headers: { ...headers, origin: from } });
        expect(answer.headers.get('access-control-allow-origin'), url).toBeNull();
        expect(answer.headers.get('access-control-allow-credentials'), url).toBeNull();
      }
    }
  });

  test('security 51: X-Forwarded headers of a stranger change neither issuer nor address', async () => {
    const { publicUrl } = deployment.server;
    const spoofed = {
      'x-forwarded-for': '198.51.100.77',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      forwarded: 'for=198.51.100.77;host=evil.example;proto=https',
      'x-real-ip': '198.51.100.77',
    };
    const metadata = await call(`${publicUrl}/.well-known/openid-configuration`, {
      headers: spoofed,
    });
    expect(metadata.body.issuer).toBe(deployment.issuer);
    expect(metadata.text).not.toContain('evil.example');
    const url = authorizationUrl(deployment, authorizationParameters(client, newPkce()));
    const started = await call(url, { headers: spoofed });
    expect(started.headers.get('location')).toContain(deployment.issuer);
    // The line of a refused request names the address; it is written a moment later.
    const refused = await call(`${publicUrl}/ui/error`, { headers: spoofed });
    const id = refused.headers.get('x-request-id') ?? 'no request id';
    await expect.poll(() => deployment.server.output(), { timeout: 5_000 }).toContain(id);
    expect(deployment.server.output()).not.toContain('198.51.100.77');
  });
});

test('security 51: a trusted proxy is believed, whom it names is not believed further', async () => {
  const deployment = await deploy({ env: { GATEHOUSE_TRUSTED_PROXIES: '127.0.0.1,10.0.0.0/8' } });
  try {
    const { publicUrl } = deployment.server;
    await call(`${publicUrl}/ui/error`, {
      headers: { 'x-forwarded-for': '198.51.100.66, 203.0.113.5, 10.1.1.1' },
    });
    await expect.poll(() => deployment.server.output()).toContain('203.0.113.5');
    expect(deployment.server.output()).not.toContain('198.51.100.66');
  } finally {
    await deployment.close();
  }
});
