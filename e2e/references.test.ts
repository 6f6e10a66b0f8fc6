import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, type Deployment, deploy, formOf, openBrowser } from './deployment.ts';
import { authorizationParameters, authorizationUrl, connect, door, newPkce } from './login-app.ts';

describe('what is too large for a URL is stored, and how much is limited', () => {
  let deployment: Deployment;
  let rows: pg.Client;

  beforeAll(async () => {
    deployment = await deploy({ env: { GATEHOUSE_RATE_LIMITS: 'on' } });
    rows = new pg.Client(deployment.server.database.urls.superuser);
    await rows.connect();
  });
  afterAll(async () => {
    await rows?.end();
    await deployment?.close();
  });

  /** 8,000 characters that do not deflate. */
  const noise = () => randomBytes(6000).toString('base64url');

  const stored = async () => {
    const { rows: found } = await rows.query<{ count: number }>(
      'select count(*)::int as count from flow_reference',
    );
    return found[0]?.count ?? Number.NaN;
  };

  test('a step that is taken again stores nothing again', async () => {
    const client = await deployment.register();
    const browser = openBrowser();
    const unknown = noise();
    const parameters = authorizationParameters(client, newPkce(), { unknown });
    const begun = await browser.get(authorizationUrl(deployment, parameters));
    const challengeIn = (location: string | null, kind: string) =>
      new URL(location ?? 'none:').searchParams.get(`${kind}_challenge`) ?? '';
    const login = challengeIn(begun.headers.get('location'), 'login');
    const accepted = await deployment.admin('PUT', door('login', login, 'accept'), {
      subject: 'alice',
    });
    const back = String(accepted.body.redirect_to);
    const consent = challengeIn((await browser.get(back)).headers.get('location'), 'consent');
    const show = () => deployment.admin('GET', door('consent', consent));
    const shown = (await show()).body.login_challenge;
    const before = await stored();
    for (let n = 0; n < 5; n += 1) {
      expect((await show()).body.login_challenge).toBe(shown);
      const again = await browser.get(back);
      expect(challengeIn(again.headers.get('location'), 'consent')).toBe(consent);
    }
    expect(await stored()).toBe(before);
    // What it leads to is the same request.
    const { body } = await deployment.admin('GET', door('login', String(shown)));
    expect(body.request_url).toContain(unknown);
  });

  test('logout requests of one address store 50 at once, and five a second', async () => {
    const client = await deployment.register();
    const { browser } = await connect(deployment, client, { login: { remember: true } });
    const logout = (unknown: string) =>
      browser.get(`${deployment.server.publicUrl}/oauth2/sessions/logout?${formOf({ unknown })}`);
    const before = await stored();
    const startedMs = performance.now();
    const statuses = new Set<number>();
    for (let n = 0; n < 120; n += 1) statuses.add((await logout(noise())).status);
    const seconds = (performance.now() - startedMs) / 1000;
    expect([...statuses]).toEqual([303, 429]);
    expect((await stored()) - before).toBeLessThanOrEqual(51 + 5 * seconds);
    // What fits into the URL is not counted.
    expect((await logout('x')).status).toBe(303);
  });

  test('an address to come back to is bounded, by POST too', async () => {
    const client = await deployment.register();
    const answer = await openBrowser().post(
      `${deployment.server.publicUrl}/oauth2/sessions/logout`,
      {
        client_id: client.id,
        post_logout_redirect_uri: 'https://app.example/signed-out',
        state: 's'.repeat(20_000),
      },
    );
    expect(answer.status).toBe(413);
  });

  test('R21: logout requests of one address are limited, 1,000 at once and 100 a second', async () => {
    const url = `${deployment.server.publicUrl}/oauth2/sessions/logout`;
    for (let sent = 0; sent < 6000; sent += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => call(url)));
      const slowed = answers.find(({ status }) => status === 429);
      if (slowed === undefined) continue;
      expect(sent).toBeGreaterThanOrEqual(700);
      expect(Number(slowed.headers.get('retry-after'))).toBeGreaterThan(0);
      return;
    }
    throw new Error('6,000 were let through');
  });
});
