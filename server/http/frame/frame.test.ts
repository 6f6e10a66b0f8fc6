import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { loadConfig } from '#server/config/config.ts';
import { addHealth } from '#server/http/health.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { DatabaseUnavailable } from '#server/store/database.ts';
import { json } from './answer.ts';
import { addPreflights, openToAll, permitOrigin } from './cors.ts';
import { createFrame } from './frame.ts';
import { type Listener, listen } from './listen.ts';

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.close(1)));
});

type Setup = (app: ReturnType<typeof createFrame>) => void;

async function serve(setup: Setup, env: Record<string, string> = {}, admin = false) {
  const lines: string[] = [];
  const config = loadConfig({ env, readFile: () => '' });
  const log = createLog({ level: 'debug', write: (line) => lines.push(line) });
  const metrics = createMetrics();
  const app = createFrame({ config, log, metrics, admin });
  setup(app);
  const listener = await listen(app, { host: '127.0.0.1', port: 0 });
  open.push(listener);
  return {
    url: `http://127.0.0.1:${listener.port}`,
    port: listener.port,
    listener,
    config,
    metrics,
    app,
    log: () => lines.map((line): unknown => JSON.parse(line)),
    logText: () => lines.join(''),
  };
}

describe('every answer', () => {
  test('has a request id, as its log line, and the headers that browsers need', async () => {
    const server = await serve((app) => app.get('/x/:id', (c) => json(200, { r: c.get('route') })));
    const answer = await fetch(`${server.url}/x/secret-in-path?token=secret-in-query`);
    expect(await answer.json()).toEqual({ r: '/x/:id' });
    const requestId = answer.headers.get('x-request-id');
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
    expect(answer.headers.get('strict-transport-security')).toBeNull();
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(server.log()).toMatchObject([
      { event: 'request', requestId, route: '/x/:id', method: 'GET', status: 200 },
    ]);
    expect(server.logText()).not.toContain('secret-in');
  });

  test('a query of more than 200 parameters is refused before any route reads it', async () => {
    const server = await serve((app) => app.get('/x', (c) => json(200, { a: c.req.query('a') })));
    const ask = (pairs: number) => fetch(`${server.url}/x?${'%&'.repeat(pairs - 1)}a=1`);
    expect(await (await ask(200)).json()).toEqual({ a: '1' });
    const refused = await ask(201);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: 'invalid_request' });
    expect(server.log()).toMatchObject([{ status: 200 }, { status: 400, route: '/x' }]);
  });

  test('under an https issuer has Strict-Transport-Security', async () => {
    const env = { GATEHOUSE_ISSUER: 'https://auth.example' };
    const server = await serve((app) => app.get('/x', () => json(200, {})), env);
    const answer = await fetch(`${server.url}/x`);
    expect(answer.headers.get('strict-transport-security')).toBe('max-age=63072000');
  });

  test('keeps what the handler set, cookies and constants included', async () => {
    const fixed = Object.freeze({ 'referrer-policy': 'origin', 'x-own': '1' });
    const server = await serve((app) => {
      app.get('/fixed', () => new Response('a', { headers: fixed }));
      app.get('/cookie', (c) => {
        c.header('set-cookie', 'a=1', { append: true });
        c.header('set-cookie', 'b=2', { append: true });
        return c.text('b');
      });
    });
    const own = await fetch(`${server.url}/fixed`);
    expect(own.headers.get('referrer-policy')).toBe('origin');
    expect(own.headers.get('x-own')).toBe('1');
    const cookies = await fetch(`${server.url}/cookie`);
    expect(cookies.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    expect(cookies.headers.get('x-request-id')).not.toBeNull();
    expect(Object.keys(fixed)).toHaveLength(2);
  });

  test('is the same without a socket, as tests call the app', async () => {
    const server = await serve((app) => app.get('/x', () => json(200, { a: 1 })));
    const answer = await server.app.request('/x');
    expect(await answer.json()).toEqual({ a: 1 });
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });
});

describe('R21: undeclared routes are 404', () => {
  test.each([
    ['GET', '/nothing'],
    ['DELETE', '/x'],
    ['POST', '/x'],
    ['GET', '/x/'],
    ['GET', '//x'],
  ])('%s %s, also wrong methods, as in Hydra', async (method, path) => {
    const server = await serve((app) => app.get('/x', () => json(200, {})));
    const answer = await fetch(server.url + path, { method });
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(await answer.json()).toMatchObject({ error: 'not_found' });
    expect(await server.metrics.exposition()).toContain(
      `gatehouse_request_seconds_count{route="unmatched",method="${method}",status="404"} 1`,
    );
  });

  test('an admin refusal has status_code', async () => {
    const server = await serve(() => {}, {}, true);
    expect(await (await fetch(server.url)).json()).toMatchObject({ status_code: 404 });
  });
});

describe('what goes wrong', () => {
  test('the database away: 503, Retry-After, temporarily_unavailable', async () => {
    const server = await serve((app) =>
      app.get('/x', () => {
        throw new DatabaseUnavailable('PostgreSQL does not answer');
      }),
    );
    const answer = await fetch(`${server.url}/x`);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(await answer.json()).toMatchObject({ error: 'temporarily_unavailable' });
    expect(server.logText()).toContain('request_unavailable');
  });

  test('a bug: 500 server_error with the request id, logged without its secrets', async () => {
    const server = await serve((app) =>
      app.get('/x', () => {
        throw new Error('Bearer gh_at_abcdefgh went wrong');
      }),
    );
    const answer = await fetch(`${server.url}/x`);
    expect(answer.status).toBe(500);
    const text = await answer.text();
    expect(text).toContain('server_error');
    expect(text).toContain(answer.headers.get('x-request-id'));
    expect(text).not.toContain('went wrong on our side; Bearer');
    expect(server.logText()).toContain('request_failed');
    expect(server.logText()).not.toContain('abcdefgh');
    const counted = 'gatehouse_events_total{event="request_failed"} 1';
    expect(await server.metrics.exposition()).toContain(counted);
  });
});

describe('health', () => {
  test('alive always, ready when nothing is missing, on log lines never', async () => {
    const missing: Record<string, string> = { database: 'does not answer' };
    const server = await serve((app) => addHealth(app, '1.2.3', async () => missing));
    expect(await (await fetch(`${server.url}/health/alive`)).json()).toEqual({ status: 'ok' });
    const away = await fetch(`${server.url}/health/ready`);
    expect(away.status).toBe(503);
    expect(await away.json()).toEqual({ errors: { database: 'does not answer' } });
    delete missing.database;
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
    expect(server.logText()).toBe('');
    expect(await (await fetch(`${server.url}/version`)).json()).toEqual({ version: '1.2.3' });
  });
});

describe('security 51: X-Forwarded-For', () => {
  test.each<[string, string, string]>([
    ['', '198.51.100.7', '127.0.0.1'],
    ['10.0.0.0/8', '198.51.100.7', '127.0.0.1'],
    ['127.0.0.0/8', '198.51.100.7', '198.51.100.7'],
    ['127.0.0.0/8', '203.0.113.9, 198.51.100.7', '198.51.100.7'],
    ['127.0.0.0/8,10.0.0.0/8', '203.0.113.9, 198.51.100.7, 10.1.2.3', '198.51.100.7'],
    ['127.0.0.0/8', '::ffff:198.51.100.7', '198.51.100.7'],
    ['127.0.0.0/8', '2001:db8::7', '2001:db8::7'],
    ['127.0.0.0/8', `fe80::1%${'a'.repeat(80)}`, 'fe80::1'],
    ['127.0.0.0/8,fe80::/10', '198.51.100.7, fe80::1%eth0', '198.51.100.7'],
    ['127.0.0.0/8', '198.51.100.7%eth0', '127.0.0.1'],
    ['127.0.0.0/8', '203.0.113.9:80, 198.51.100.7:49152', '198.51.100.7'],
    ['127.0.0.0/8', '[2001:db8::7]:49152', '2001:db8::7'],
    ['127.0.0.0/8', '[2001:db8::7]', '2001:db8::7'],
    ['127.0.0.0/8', '[198.51.100.7', '127.0.0.1'],
    ['127.0.0.0/8', '<script>', '127.0.0.1'],
    ['127.0.0.0/8,10.0.0.0/8', '198.51.100.7, "x, 10.1.2.3', '10.1.2.3'],
    ['127.0.0.0/8', '', '127.0.0.1'],
  ])('trusted %j, header %j: %s', async (trusted, header, expected) => {
    const env = { GATEHOUSE_TRUSTED_PROXIES: trusted };
    const server = await serve((app) => app.get('/x', (c) => json(200, c.get('address'))), env);
    const answer = await fetch(`${server.url}/x`, { headers: { 'x-forwarded-for': header } });
    expect(await answer.json()).toBe(expected);
  });
});

describe('CORS', () => {
  const page = 'https://app.example';
  async function corsServer(env: Record<string, string> = {}) {
    const server = await serve((app) => {
      addPreflights(app, { open: ['/jwks'], byClient: ['/token'] });
      app.get('/jwks', () => json(200, {}, openToAll));
      app.post('/token', (c) => {
        permitOrigin(c, server.config);
        return json(200, {});
      });
    }, env);
    return server;
  }

  test('public documents are open to every page', async () => {
    const { url } = await corsServer();
    const answer = await fetch(`${url}/jwks`, { headers: { origin: page } });
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
  });

  test('a preflight lets the request through, never with credentials', async () => {
    const { url } = await corsServer();
    const answer = await fetch(`${url}/token`, { method: 'OPTIONS', headers: { origin: page } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBe(page);
    expect(answer.headers.get('access-control-allow-headers')).toContain('authorization');
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
  });

  test.each([
    ['', null],
    ['https://app.example', page],
    ['https://other.example', null],
  ])('with GATEHOUSE_CORS_ORIGINS=%s an answer may be read by %s', async (origins, allowed) => {
    const { url } = await corsServer({ GATEHOUSE_CORS_ORIGINS: origins });
    const answer = await fetch(`${url}/token`, { method: 'POST', headers: { origin: page } });
    expect(answer.headers.get('access-control-allow-origin')).toBe(allowed);
    expect(answer.headers.get('vary')).toBe('origin');
  });
});

describe('a listener that closes', () => {
  /** A server whose one request takes 300 ms, and `underWay`: it has begun. */
  async function serveSlow() {
    const begun = Promise.withResolvers<void>();
    const server = await serve((app) =>
      app.get('/slow', async () => {
        begun.resolve();
        await sleep(300);
        return json(200, { done: true });
      }),
    );
    return { ...server, underWay: begun.promise };
  }

  test('finishes what is under way, ends idle connections, accepts nothing new', async () => {
    const server = await serveSlow();
    const idle = connect(server.port, '127.0.0.1');
    await once(idle, 'connect');
    const answer = fetch(`${server.url}/slow`);
    await server.underWay;
    const closed = server.listener.close(5);
    await expect(fetch(`${server.url}/slow`)).rejects.toThrow();
    expect(await (await answer).json()).toEqual({ done: true });
    expect(await closed).toBe(true);
    idle.destroy();
  });

  test('cuts off what takes longer than the drain', async () => {
    const server = await serveSlow();
    const answer = fetch(`${server.url}/slow`).catch(() => 'cut off');
    await server.underWay;
    expect(await server.listener.close(0.05)).toBe(false);
    expect(await answer).toBe('cut off');
  });
});

test('a header above 16 KiB is refused, the listener lives on', async () => {
  const server = await serve((app) => app.get('/x', () => json(200, {})));
  const answer = await fetch(`${server.url}/x`, { headers: { 'x-long': 'a'.repeat(17_000) } });
  expect(answer.status).toBe(431);
  expect((await fetch(`${server.url}/x`)).status).toBe(200);
});
