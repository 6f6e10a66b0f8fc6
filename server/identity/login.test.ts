import { hash } from '@node-rs/argon2';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type DoorAnswer, openTestPages, type TestPages, tokenIn } from '#server/testing/pages.ts';
import { openPasswords } from './password.ts';
import { findUserByLogin, insertUser, type User } from './user.ts';

const password = 'correct horse battery';
const page = '/ui/login?login_challenge=chal';
const signUpPage = '/ui/sign-up?login_challenge=chal';
const client = { client_id: 'acme', client_name: 'Acme <b>Notes</b>' };

let pages: TestPages;
let ada: User;
let answer: DoorAnswer;

/** A login request as the engine gives it, with some fields replaced. */
function asking(over: Readonly<Record<string, unknown>> = {}): DoorAnswer {
  return ({ method }) =>
    method === 'PUT'
      ? { status: 200, json: { redirect_to: 'https://issuer.example/oauth2/auth?go' } }
      : { status: 200, json: { client, skip: false, subject: '', request_url: '', ...over } };
}

beforeAll(async () => {
  pages = await openTestPages({
    door: (call) => answer(call),
    env: { GATEHOUSE_SIGN_UP: 'on', GATEHOUSE_RATE_LIMITS: 'on' },
  });
  const made = await insertUser(pages.database, {
    login: 'Ada@example.com',
    name: 'Ada',
    passwordHash: String(await openPasswords().hash(password)),
  });
  if (made === undefined) throw new Error('no user');
  ada = made;
});

afterAll(() => pages.close());

beforeEach(() => {
  answer = asking();
});

test('a form is taken by a node whose system clock is hours ahead, and dies by the database', async () => {
  let aheadMs = 0;
  const opened = await openTestPages({
    door: (call) => answer(call),
    nowMs: () => 1_800_000_000_000 + aheadMs,
  });
  try {
    const send = () => opened.submit(page, { login: 'x@y.example', password, token });
    const token = tokenIn(await (await opened.get(page)).text());
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * 3600_000 });
    expect((await send()).status).toBe(200);
    aheadMs = 3601_000;
    expect((await send()).status).toBe(403);
  } finally {
    vi.useRealTimers();
    await opened.close();
  }
});

describe('signing in', () => {
  test('accepts with subject, amr and what the consent page needs, by one statement', async () => {
    const before = pages.statements.length;
    const response = await pages.submit(page, { login: 'ada@EXAMPLE.com', password });
    expect(response.status).toBe(303);
    expect(response.headers.get('location')).toBe('https://issuer.example/oauth2/auth?go');
    expect(pages.statements.slice(before)).toEqual(['identity_user_by_login']);
    expect(pages.calls.at(-1)).toEqual({
      method: 'PUT',
      path: '/admin/oauth2/auth/requests/login/accept?login_challenge=chal',
      body: {
        subject: ada.id,
        remember: false,
        remember_for: 0,
        acr: '',
        amr: ['pwd'],
        context: { login: 'Ada@example.com', name: 'Ada', email_verified: false },
      },
    });
  });

  test('is remembered for 30 days when the person asks for it', async () => {
    await pages.submit(page, { login: 'ada@example.com', password, remember: 'yes' });
    expect(pages.calls.at(-1)?.body).toMatchObject({ remember: true, remember_for: 2_592_000 });
  });

  test('cancelled is refused with access_denied', async () => {
    await pages.submit(page, { action: 'cancel' });
    expect(pages.calls.at(-1)).toMatchObject({
      path: '/admin/oauth2/auth/requests/login/reject?login_challenge=chal',
      body: { error: 'access_denied' },
    });
  });

  test('fails alike for a wrong password and an unknown user; only the login stays', async () => {
    const bodyOf = async (login: string) => {
      const response = await pages.submit(page, { login, password: 'not "this" one' });
      const text = await response.text();
      expect(text).toContain(`value="${login}"`);
      return text.replace(tokenIn(text), '').replaceAll(login, '');
    };
    const wrong = await bodyOf('ada@example.com');
    expect(wrong).toBe(await bodyOf('nobody@example.com'));
    expect(wrong).toContain('The email address or the password is not right.');
    expect(wrong).not.toContain('not &quot;this&quot; one');
    expect(pages.calls.at(-1)?.method).toBe('GET');
  });

  test('fills in login_hint as text', async () => {
    answer = asking({ oidc_context: { login_hint: '"><script>alert(1)</script>' } });
    const text = await (await pages.get(page)).text();
    expect(text).toContain('value="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"');
    expect(text).not.toContain('<script');
  });

  test('is passed at once by a remembered session, whose context is given again', async () => {
    answer = asking({ skip: true, subject: ada.id });
    const response = await pages.get(page);
    expect(response.status).toBe(303);
    expect(pages.calls.at(-1)?.body).toEqual({
      subject: ada.id,
      context: { login: 'Ada@example.com', name: 'Ada', email_verified: false },
    });
  });

  test('is refused to a remembered session of somebody who is not here', async () => {
    answer = asking({ skip: true, subject: 'user-of-another-login-app' });
    await pages.get(page);
    expect(pages.calls.at(-1)).toMatchObject({
      path: '/admin/oauth2/auth/requests/login/reject?login_challenge=chal',
      body: { error: 'access_denied' },
    });
  });

  test('renews a hash that was made with weaker parameters', async () => {
    const weak = await hash(password.normalize('NFKC'), { memoryCost: 4_096, timeCost: 1 });
    await insertUser(pages.database, { login: 'old@example.com', name: '', passwordHash: weak });
    await pages.submit(page, { login: 'old@example.com', password });
    const user = await findUserByLogin(pages.database, 'old@example.com');
    expect(user?.passwordHash).toContain('m=19456,t=2,p=1');
  });
});

describe('security 48: a form belongs to one browser and one request', () => {
  test.each([
    ['of another browser', async () => tokenIn(await (await pages.stranger().get(page)).text())],
    ['of another challenge', async () => tokenIn(await (await pages.get(`${page}2`)).text())],
    ['of another page', async () => tokenIn(await (await pages.get(signUpPage)).text())],
    ['made up', async () => 'AAAA'],
    ['that is missing', async () => ''],
  ])('a token %s does not sign in', async (_kind, token) => {
    // With a cookie of its own, or it would be refused for having none.
    expect((await pages.get(page)).status).toBe(200);
    const response = await pages.submit(page, {
      login: 'ada@example.com',
      password,
      token: await token(),
    });
    expect(response.status).toBe(403);
    expect(pages.calls.at(-1)?.method).toBe('GET');
    expect(await response.text()).toContain('value="ada@example.com"');
  });

  test('a right token without the cookie does not sign in', async () => {
    const token = tokenIn(await (await pages.get(page)).text());
    const response = await pages.stranger().submit(page, {
      login: 'ada@example.com',
      password,
      token,
    });
    expect(response.status).toBe(403);
  });
});

describe('security 33, 35: odd and repeated input', () => {
  test('U+0000, a field given twice, another type and a huge body are refused', async () => {
    const post = async (body: string, type = 'application/x-www-form-urlencoded') =>
      (await pages.post(page, body, { 'content-type': type })).status;
    expect(await post('login=a%00b&password=x')).toBe(400);
    expect(await post('login=a&login=b')).toBe(400);
    expect(await post('{}', 'application/json')).toBe(415);
    expect(await post(`login=${'x'.repeat(70_000)}`)).toBe(413);
  });

  test('guessing is slowed down for one network; elsewhere the person gets in', async () => {
    const guess = async (address: string, guessed: string) => {
      const token = tokenIn(await (await pages.get(page)).text());
      const body = new URLSearchParams({ token, login: 'ada@example.com', password: guessed });
      return pages.post(page, body.toString(), { 'x-test-address': address });
    };
    for (let round = 0; round < 6; round += 1) await guess('198.51.100.1', 'wrong guess');
    const slowed = await guess('198.51.100.1', password);
    expect(slowed.status).toBe(429);
    expect(Number(slowed.headers.get('retry-after'))).toBeGreaterThan(0);
    // Written beside the answer, not before it.
    const slowedEntries = {
      name: 'slowed',
      text: "select a.address from audit a where a.action = 'password.guess_slowed'",
    };
    await expect
      .poll(() => pages.database.query(slowedEntries, []))
      .toEqual([{ address: '198.51.100.1' }]);
    expect((await guess('203.0.113.9', password)).status).toBe(303);
    // 'password.guess': the first of a minute, with whose password it was
    const guesses = {
      name: 'guesses',
      text: `select a.target, a.reason from audit a
        where a.action = 'password.guess' and a.address = '198.51.100.1'`,
    };
    await expect
      .poll(() => pages.database.query(guesses, []))
      .toEqual([{ target: ada.id, reason: 'wrong' }]);
  });

  test.each([
    ['/ui/login', 404],
    ['/ui/login?login_challenge=', 404],
    ['/ui/login?login_challenge=a&login_challenge=b', 404],
    ['/ui/login?login_challenge=a%00b', 404],
  ])('%s shows an error page', async (path, status) => {
    const response = await pages.get(path);
    expect(response.status).toBe(status);
    expect(await response.text()).toContain('id="error"');
  });

  test('an unknown challenge and an engine that is away show their own pages', async () => {
    answer = () => ({ status: 404, json: { error: 'not_found' } });
    expect((await pages.get(page)).status).toBe(404);
    answer = () => ({ status: 503, json: { error: 'temporarily_unavailable' } });
    const away = await pages.get(page);
    expect([away.status, away.headers.get('retry-after')]).toEqual([503, '1']);
    answer = () => ({ status: 410, json: { redirect_to: 'https://issuer.example/done' } });
    expect((await pages.get(page)).headers.get('location')).toBe('https://issuer.example/done');
  });
});

describe('signing up', () => {
  test('makes an account and signs in with it', async () => {
    const fields = { login: 'eve@example.com', name: 'Eve \u202e', password };
    expect((await pages.submit(signUpPage, fields)).status).toBe(303);
    const eve = await findUserByLogin(pages.database, 'eve@example.com');
    expect(eve).toMatchObject({ name: 'Eve', emailVerified: false });
    const entries = {
      name: 'sign_ups',
      text: `select a.actor, a.target, a.outcome, a.address from audit a
        where a.action = 'user.sign_up'`,
    };
    expect(await pages.database.query(entries, [])).toEqual([
      { actor: eve?.id, target: eve?.id, outcome: 'done', address: '192.0.2.1' },
    ]);
    expect(pages.calls.at(-1)?.body).toMatchObject({ subject: eve?.id, remember: false });
  });

  test('refuses a login that is taken, no address, and a short password', async () => {
    const statusAndText = async (fields: Record<string, string>) => {
      const response = await pages.submit(signUpPage, fields);
      return `${response.status} ${/role="alert">([^<]*)/.exec(await response.text())?.[1]}`;
    };
    expect(await statusAndText({ login: 'ADA@example.com', password })).toMatch(/^409 There is an/);
    expect(await statusAndText({ login: 'ada', password })).toMatch(/^200 Please enter a whole/);
    expect(await statusAndText({ login: 'x@y.example', password: 'short' })).toMatch(/at least 8/);
  });

  test('is slowed down for one network, which has an entry', async () => {
    const ask = async () => {
      const token = tokenIn(await (await pages.get(signUpPage)).text());
      const body = new URLSearchParams({ token, login: 'ada@example.com', password });
      const headers = { 'x-test-address': '198.51.100.2' };
      return (await pages.post(signUpPage, body.toString(), headers)).status;
    };
    for (let round = 0; round < 11; round += 1) await ask();
    expect(await ask()).toBe(429);
    const entries = {
      name: 'sign_ups_slowed',
      text: "select a.address from audit a where a.action = 'user.sign_up_slowed' limit 1",
    };
    await expect
      .poll(() => pages.database.query(entries, []))
      .toEqual([{ address: '198.51.100.2' }]);
  });
});
