import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { finishProgram } from '#server/testing/program.ts';
import {
  type Answer,
  basic,
  call,
  type Deployment,
  formOf,
  openBrowser,
  type RegisteredClient,
} from './deployment.ts';
import { authorizationParameters, authorizationUrl, newPkce } from './login-app.ts';
import { deployTwo, type TwoNodes } from './two-nodes.ts';

const login = 'victim@example.com';
const password = 'correct horse battery';
const attacker = '203.0.113.7';
const victim = '198.51.100.2';

/** Online guessing from one address while the victim, elsewhere, goes about their day. */
describe('security: guessing, limits on, two processes', () => {
  let both: TwoNodes;
  let client: RegisteredClient;
  let chosen: RegisteredClient;
  const chosenSecret = 'a chosen one';

  beforeAll(async () => {
    both = await deployTwo({
      env: { GATEHOUSE_RATE_LIMITS: 'on', GATEHOUSE_TRUSTED_PROXIES: '127.0.0.1' },
    });
    client = await both.a.register();
    chosen = await both.a.register({ client_secret: chosenSecret });
    const { urls } = both.database;
    const made = await finishProgram(
      ['user', 'create', login, '--password-stdin'],
      {
        GATEHOUSE_DATABASE_URL: urls.server,
        GATEHOUSE_DATABASE_OWNER_URL: urls.owner,
        GATEHOUSE_DATA_DIR: both.a.server.dataDir,
      },
      `${password}\n`,
    );
    expect(made.code, made.stderr).toBe(0);
  });

  afterAll(async () => {
    await both?.close();
  });

  const form = { grant_type: 'client_credentials' };

  function ask(node: Deployment, from: string, id: string, secret: string): Promise<Answer> {
    return node.post('/oauth2/token', form, { ...basic({ id, secret }), 'x-forwarded-for': from });
  }

  function statuses(answers: readonly Answer[]): Readonly<Record<number, number>> {
    const counts: Record<number, number> = {};
    for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
    return counts;
  }

  /** So many were judged, and a few more where a slow machine gave time to be forgiven. */
  function expectLookedAt(answers: readonly Answer[], status: number, count: number): void {
    const { [status]: looked = 0, 429: slowed = 0 } = statuses(answers);
    expect(looked + slowed).toBe(answers.length);
    expect(looked).toBeGreaterThanOrEqual(count);
    expect(looked).toBeLessThanOrEqual(Math.ceil(count * 1.2));
  }

  function atOnce(count: number, one: (index: number) => Promise<Answer>) {
    return Promise.all(Array.from({ length: count }, (_, index) => one(index)));
  }

  test('security 35: of 250 secrets guessed at once a hundred are looked at, on each node', async () => {
    for (const node of both.nodes) {
      const answers = await atOnce(250, (n) => ask(node, attacker, client.id, `guess ${n}`));
      expectLookedAt(answers, 401, 100);
      const slowed = answers.find(({ status }) => status === 429);
      expect(Number(slowed?.headers.get('retry-after'))).toBeGreaterThan(0);
      // The right one does not help who guesses too fast; the victim, elsewhere, notices nothing.
      expect((await ask(node, attacker, client.id, client.secret)).status).toBe(429);
      expect((await ask(node, victim, client.id, client.secret)).status).toBe(200);
    }
  });

  test('security 35: secrets with a slow hash: the same, and the victim waits for nobody', async () => {
    const [node] = both.nodes;
    const answers = await atOnce(120, (n) => ask(node, '203.0.113.8', chosen.id, `guess ${n}`));
    const { 401: looked = 0, 429: refused = 0 } = statuses(answers);
    expect(looked + refused).toBe(120);
    // Four of one client are checked at a time; the others are told to come again.
    expect(looked).toBeLessThan(60);
    const turnedAway = answers.filter(({ status }) => status === 429);
    for (const name of ['retry-after', 'ratelimit', 'ratelimit-policy']) {
      expect(
        turnedAway.filter(({ headers }) => !headers.has(name)),
        name,
      ).toEqual([]);
    }
    expect((await ask(node, victim, chosen.id, chosenSecret)).status).toBe(200);
  });

  test('security 35: a right secret by the wrong method is no guess, a wrong one by it is', async () => {
    const [node] = both.nodes;
    const post = await node.register({ token_endpoint_auth_method: 'client_secret_post' });
    const from = '203.0.113.20';
    const byPost = (id: string, secret: string) =>
      node.post(
        '/oauth2/token',
        { ...form, client_id: id, client_secret: secret },
        { 'x-forwarded-for': from },
      );
    const twice = await atOnce(150, () => ask(node, from, post.id, post.secret));
    expect(statuses(twice)).toEqual({ 401: 150 });
    expect((await byPost(post.id, post.secret)).status).toBe(200);
    const guesses = await atOnce(150, (n) => ask(node, from, post.id, `guess ${n}`));
    expectLookedAt(guesses, 401, 100);
    const said = guesses.map(({ text }) => text).join();
    expect(said).not.toContain('token_endpoint_auth_method');
    expect((await byPost(post.id, post.secret)).status).toBe(429);
    const targets = await node.admin('GET', `/admin/audit?action=client.guess&target=${post.id}`);
    expect(targets.list.filter(({ reason }) => reason === 'wrong_auth_method')).toEqual([]);
  });

  test('security 35: a disabled client that goes on uses up nothing of its neighbours', async () => {
    const [node] = both.nodes;
    const app = await node.register();
    const { secret, id, document } = app;
    const path = `/admin/clients/${id}`;
    const disabled = await node.admin('PUT', path, { ...document, disabled: true });
    expect(disabled.status, disabled.text).toBe(200);
    const from = '203.0.113.21';
    const answers = await atOnce(350, () => ask(node, from, id, secret));
    expect(statuses(answers)).toEqual({ 401: 350 });
    expect((await ask(node, from, client.id, client.secret)).status).toBe(200);
  });

  test('security 35: one address that tries many clients at once is slowed down, others are not', async () => {
    for (const node of both.nodes) {
      const answers = await atOnce(400, (n) => ask(node, '203.0.113.9', `app-${n}`, 'guess'));
      expectLookedAt(answers, 401, 300);
      expect((await ask(node, victim, client.id, client.secret)).status).toBe(200);
    }
  });

  test('security 35: right secrets side by side hold up nobody', async () => {
    const [node] = both.nodes;
    const answers = await atOnce(400, () => ask(node, victim, client.id, client.secret));
    expect(statuses(answers)).toEqual({ 200: 400 });
  });

  test('security 35: of 60 passwords guessed at once six are looked at; the victim gets in', async () => {
    for (const node of both.nodes) {
      const guessing = await openLogin(node, client, attacker);
      const answers = await atOnce(60, (n) => guessing(`wrong password ${n}`));
      expectLookedAt(answers, 200, 6);
      expect((await guessing(password)).status).toBe(429);
      const own = await openLogin(node, client, victim);
      expect((await own(password)).status).toBe(303);
    }
  });
});

/** A browser with the login form open: sends the form with a password. */
async function openLogin(
  node: Deployment,
  client: RegisteredClient,
  from: string,
): Promise<(password: string) => Promise<Answer>> {
  const browser = openBrowser();
  const parameters = authorizationParameters(client, newPkce());
  const started = await browser.get(authorizationUrl(node, parameters));
  const location = new URL(started.headers.get('location') ?? '');
  const page = node.server.publicUrl + location.pathname + location.search;
  const shown = await browser.get(page);
  const token = /name="token" value="([^"]+)"/.exec(shown.text)?.[1] ?? '';
  expect(token).not.toBe('');
  const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  return (password) =>
    call(page, {
      method: 'POST',
      headers: { cookie, 'x-forwarded-for': from },
      body: formOf({ token, login, password, action: 'accept' }),
    });
}
