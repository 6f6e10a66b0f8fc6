import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OwnPostgres, startOwnPostgres } from '#server/testing/own-postgres.ts';
import { openProxy, type TestProxy } from '#server/testing/proxy.ts';
import { type Answer, basic, call, formOf, type RegisteredClient } from './deployment.ts';
import { connect, redeem, refresh, signIn, tokensOf } from './login-app.ts';
import { deployTwo, type TwoNodes } from './two-nodes.ts';

// A PostgreSQL of this file alone, since it is stopped on the way. Node A reaches it directly, by
// its Unix socket; node B by TCP, through a proxy that fails as networks do.
let postgres: OwnPostgres;
let proxy: TestProxy;
let two: TwoNodes;
let app: RegisteredClient;

beforeAll(async () => {
  postgres = await startOwnPostgres();
  proxy = await openProxy(postgres.port);
  two = await deployTwo({
    database: postgres.database,
    envOfB: (urls) => ({ GATEHOUSE_DATABASE_URL: proxy.through(urls.server) }),
  });
  app = await two.a.register();
});

afterAll(async () => {
  await two?.close();
  await proxy?.close();
  await postgres?.close();
});

async function login() {
  const subject = `user-${randomUUID()}`;
  return { subject, ...(await connect(two.a, app, { login: { subject } })) };
}

/** The whole answer of B's introspection. */
function introspect(token: string): Promise<Answer> {
  return call(`${two.b.server.adminUrl}/admin/oauth2/introspect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${two.b.server.adminToken}` },
    body: formOf({ token }),
  });
}

/** B answers again: 200, within a minute. */
async function recovered(token: string): Promise<void> {
  const until = performance.now() + 60_000;
  for (;;) {
    const { status } = await introspect(token);
    if (status === 200) return;
    expect(status).toBe(503);
    if (performance.now() > until) throw new Error('B did not recover');
    await sleep(50);
  }
}

function expectUnavailable(answer: Answer): void {
  expect(answer.status).toBe(503);
  expect(answer.body.error).toBe('temporarily_unavailable');
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
}

describe('packets between B and PostgreSQL are dropped, without a reset', () => {
  test('B answers 503 in time, and never that a token is active', async () => {
    const [alive, doomed] = [await login(), await login()];
    expect((await introspect(doomed.access)).body).toMatchObject({ active: true });

    proxy.hold();
    const revoked = await two.a.admin('POST', '/admin/revocations', { subject: doomed.subject });
    expect(revoked.status).toBe(200);
    const asked = performance.now();
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, () => introspect(doomed.access)),
      introspect(alive.access),
      two.b.userinfo(alive.access),
      two.b.userinfo(doomed.access),
    ]);
    // A second, and what a loaded machine takes on top; a statement of the pools has five.
    expect(performance.now() - asked).toBeLessThan(4_500);
    for (const answer of answers) expectUnavailable(answer);
    // Again, now that it has tried to connect anew.
    expectUnavailable(await introspect(doomed.access));
    const [token, page, ready, health] = await Promise.all([
      refresh(two.b, app, alive.refresh),
      call(`${two.b.server.publicUrl}/oauth2/auth?client_id=${app.id}&response_type=code`),
      call(`${two.b.server.publicUrl}/health/ready`),
      call(`${two.b.server.publicUrl}/health/alive`),
    ]);
    expectUnavailable(token);
    expectUnavailable(page);
    expect([ready.status, health.status]).toEqual([503, 200]);

    proxy.release();
    await recovered(alive.access);
    expect((await introspect(doomed.access)).body).toEqual({ active: false });
    expect((await introspect(alive.access)).body).toMatchObject({ active: true });
    expect((await refresh(two.b, app, doomed.refresh)).status).toBe(400);
    expect((await refresh(two.b, app, alive.refresh)).status).toBe(200);
  });
});

describe("only B's feed connection is killed", () => {
  test('B connects again by itself: 503 at worst, never stale', async () => {
    const seen = new Map<string, number>();
    for (let round = 0; round < 20; round += 1) {
      const { access, subject } = await login();
      await recovered(access);
      expect(await postgres.killRemote('gatehouse-feed')).toBeGreaterThan(0);
      const during = await introspect(access);
      await two.a.admin('POST', '/admin/revocations', { subject });
      const after = await introspect(access);
      if (during.status !== 503) expect(during.body).toMatchObject({ active: true });
      const said = after.status === 200 ? `active: ${after.body.active}` : `${after.status}`;
      seen.set(said, (seen.get(said) ?? 0) + 1);
      await recovered(access);
      expect((await introspect(access)).body).toEqual({ active: false });
    }
    expect(['active: false', '503']).toEqual(expect.arrayContaining([...seen.keys()]));
  });

  test('all its connections are reset under load: every answer is right, or 503', async () => {
    const { access } = await login();
    const state = { refreshToken: (await login()).refresh, cuts: 0 };
    for (let round = 0; round < 15; round += 1) {
      const answers = Promise.all(Array.from({ length: 5 }, () => introspect(access)));
      const refreshed = refresh(two.b, app, state.refreshToken);
      proxy.cut();
      for (const answer of await answers) {
        if (answer.status !== 503) expect(answer.body).toMatchObject({ active: true });
      }
      const answer = await refreshed;
      expect([200, 503]).toContain(answer.status);
      // A refresh whose answer was lost is asked again in the grace.
      const next = answer.status === 200 ? answer : await refresh(two.a, app, state.refreshToken);
      state.refreshToken = tokensOf(next).refresh;
    }
    await recovered(access);
  });
});

describe('somebody holds locks', () => {
  test('whoever needs them is told 503 within seconds, with Retry-After; then all works', async () => {
    const [kept, gone] = [await login(), await login()];
    const letGo = await postgres.hold(
      'lock table client, session, chain; select pg_advisory_xact_lock(4744001)',
    );
    const begun = performance.now();
    // Each node has four connections.
    const answers = await Promise.all([
      two.a.admin('GET', '/admin/clients'),
      introspect(kept.refresh),
      refresh(two.a, app, kept.refresh),
      two.a.admin('POST', '/admin/clients', { client_name: 'Locked' }),
      two.b.admin('POST', '/admin/revocations', { subject: gone.subject }),
      two.b.postAs(app, '/oauth2/revoke', { token: gone.access }),
    ]);
    // Two lock timeouts, and what a loaded machine takes on top.
    expect(performance.now() - begun).toBeLessThan(15_000);
    for (const answer of answers) expectUnavailable(answer);
    await letGo();
    expect((await two.a.admin('GET', '/admin/clients')).status).toBe(200);
    expect((await refresh(two.a, app, kept.refresh)).status).toBe(200);
    expect((await two.b.postAs(app, '/oauth2/revoke', { token: gone.access })).status).toBe(200);
  });
});

describe('backends of PostgreSQL stand still', () => {
  test('those of the pools: everybody is answered within seconds, and what they do later changes nothing', async () => {
    const [kept, gone] = [await login(), await login()];
    const signedIn = await signIn(two.a, app, { login: { subject: `user-${randomUUID()}` } });
    const revoke = () => two.a.admin('POST', '/admin/revocations', { subject: gone.subject });
    const goOn = await postgres.suspend('gatehouse-pool');
    const begun = performance.now();
    const [refreshed, redeemed, revoked, introspected] = await Promise.all([
      refresh(two.a, app, kept.refresh),
      redeem(two.a, app, signedIn),
      revoke(),
      introspect(kept.access),
    ]).finally(goOn);
    // A statement has five seconds, and its row is tried once more, on another connection.
    expect(performance.now() - begun).toBeLessThan(20_000);
    expect(introspected.body).toMatchObject({ active: true });
    for (const answer of [refreshed, redeemed, revoked]) {
      if (answer.status !== 200) expectUnavailable(answer);
    }
    // What was sent to them is carried out now, long after it was given up.
    await sleep(500);
    if (revoked.status !== 200) expect((await revoke()).status).toBe(200);
    expect((await introspect(gone.access)).body).toEqual({ active: false });
    const [again, once] = [
      tokensOf(await refresh(two.b, app, kept.refresh)),
      tokensOf(await refresh(two.a, app, kept.refresh)),
    ];
    expect(again.refresh).toBe(once.refresh);
    if (refreshed.status === 200) expect(again.refresh).toBe(tokensOf(refreshed).refresh);
    expect((await refresh(two.b, app, again.refresh)).status).toBe(200);
    if (redeemed.status !== 200) return;
    expect((await refresh(two.b, app, tokensOf(redeemed).refresh)).status).toBe(200);
  }, 60_000);

  test('those of the feeds: a node connects anew, while they still stand', async () => {
    const { access, subject } = await login();
    await recovered(access);
    const goOn = await postgres.suspend('gatehouse-feed');
    try {
      await sleep(60);
      const begun = performance.now();
      const first = await introspect(access);
      expect(performance.now() - begun).toBeLessThan(4_500);
      if (first.status !== 200) expectUnavailable(first);
      await recovered(access);
      const revoked = await two.a.admin('POST', '/admin/revocations', { subject });
      expect(revoked.status).toBe(200);
      expect((await introspect(access)).body).toEqual({ active: false });
    } finally {
      goOn();
    }
  });
});

describe('PostgreSQL is stopped and started again', () => {
  test('security 26: B recovers by itself, and what was dead is still dead', async () => {
    const [alive, doomed] = [await login(), await login()];
    await two.a.admin('POST', '/admin/revocations', { subject: doomed.subject });
    await postgres.stop();
    await sleep(100);
    expectUnavailable(await introspect(alive.access));
    expectUnavailable(await refresh(two.b, app, alive.refresh));
    await postgres.start();
    await recovered(alive.access);
    expect((await introspect(alive.access)).body).toMatchObject({ active: true });
    expect((await introspect(doomed.access)).body).toEqual({ active: false });
    expect((await refresh(two.b, app, doomed.refresh)).status).toBe(400);
    expect((await refresh(two.b, app, alive.refresh)).status).toBe(200);
  });
});

/** A refresh whose body is sent only in part: it is under way until `finish` is called. */
function beginRefresh(refreshToken: string) {
  const body = formOf({
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
  }).toString();
  const request = httpRequest(`${two.b.server.publicUrl}/oauth2/token`, {
    method: 'POST',
    agent: false,
    headers: {
      ...basic(app),
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': body.length,
      // Answered at once by whoever has begun to read the request.
      expect: '100-continue',
    },
  });
  const status = new Promise<number | undefined>((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
  });
  const begun = once(request, 'continue');
  request.write(body.slice(0, 20));
  return { status, begun, finish: () => request.end(body.slice(20)) };
}

describe('SIGTERM', () => {
  test('drains: requests under way are answered, new ones are not taken, exit code 0', async () => {
    const { refresh: refreshToken } = await login();
    const underWay = Array.from({ length: 10 }, () => beginRefresh(refreshToken));
    await Promise.all(underWay.map(({ begun }) => begun));
    const stopped = two.b.server.stop();
    const taken = () =>
      call(`${two.b.server.publicUrl}/health/alive`).then(
        () => true,
        () => false,
      );
    for (let tries = 0; await taken(); tries += 1) {
      expect(tries).toBeLessThan(500);
      await sleep(10);
    }
    for (const { finish } of underWay) finish();
    const statuses = await Promise.all(underWay.map((one) => one.status));
    expect(statuses).toEqual(underWay.map(() => 200));
    expect(await stopped).toBe(0);
  });
});
