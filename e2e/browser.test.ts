import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startServer, type TestServer, testPort } from '#server/testing/harness.ts';
import { sampleClient, sampleClientId } from '../sample/registration.ts';
import { browserPath } from '../tools/browser.mjs';

const executablePath = browserPath();
const root = fileURLToPath(new URL('..', import.meta.url));
const password = 'correct horse battery';

/** One window of one person. */
interface Window {
  readonly page: Page;
  /** The pages that it has seen so far that axe-core objects to, with what it says. */
  readonly objections: () => Promise<readonly string[]>;
}

describe.skipIf(executablePath === undefined)('people in a browser', () => {
  let server: TestServer;
  let sample: ChildProcess;
  let sampleUrl: string;
  let browser: Browser;
  const contexts: BrowserContext[] = [];
  const state = { people: 0 };

  beforeAll(async () => {
    server = await startServer({ env: { GATEHOUSE_SIGN_UP: 'on' } });
    const port = await testPort();
    sampleUrl = `http://127.0.0.1:${port}`;
    sample = await startSample(server, sampleUrl, port);
    browser = await chromium.launch({
      ...(executablePath === undefined ? {} : { executablePath }),
      // Chromium's sandbox does not start for root.
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    });
  });

  afterAll(async () => {
    await browser?.close();
    await end(sample);
    await server?.stop();
  });

  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
  });

  async function open(options: BrowserContextOptions = {}): Promise<Window> {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(15_000);
    contexts.push(context);
    const page = await context.newPage();
    return { page, objections: () => objectionsTo(page) };
  }

  /** Opens the app and sends it to sign in. */
  async function connect(page: Page): Promise<void> {
    await page.goto(sampleUrl);
    await page.click('#connect');
  }

  /** Somebody who has an account and has not let any app in. */
  async function newcomer(): Promise<string> {
    state.people += 1;
    const login = `person-${state.people}@example.com`;
    const { page } = await open();
    await connect(page);
    await page.click('text=Create one');
    await page.fill('#login', login);
    await page.fill('#name', `Person ${state.people}`);
    await page.fill('#password', password);
    await page.click('#submit');
    await page.click('#deny');
    await page.waitForURL(`${sampleUrl}/`);
    return login;
  }

  async function signIn(page: Page, login: string, typed = password): Promise<void> {
    await page.fill('#login', login);
    await page.fill('#password', typed);
    await page.click('#submit');
  }

  test.each([
    ['with JavaScript', true],
    ['without JavaScript', false],
  ])('%s: connect, call the API, refresh, sign out', async (_name, javaScriptEnabled) => {
    const login = await newcomer();
    const { page } = await open({ javaScriptEnabled });
    await connect(page);
    expect(await page.title()).toBe('Sign in to Acme Notes');
    await signIn(page, login, 'not the password');
    expect(await page.textContent('#message')).toContain('is not right');
    expect(await page.inputValue('#login')).toBe(login);
    expect(await page.inputValue('#password')).toBe('');
    await page.check('#remember');
    await signIn(page, login);

    expect(await page.title()).toBe('Allow Acme Notes?');
    expect(await page.textContent('#redirect-host')).toBe(new URL(sampleUrl).host);
    expect(await page.textContent('main')).toContain(login);
    await page.click('#accept');
    await page.waitForURL(`${sampleUrl}/`);
    expect(await page.textContent('#who')).toBe(login);
    expect(await page.textContent('#claim-name')).toMatch(/^Person \d+$/);

    await page.click('#call-api');
    expect(await page.textContent('#notice')).toContain('The API answered 200');
    await page.click('#refresh');
    expect(await page.textContent('#notice')).toContain('Refreshed');
    await page.click('#call-api');
    expect(await page.textContent('#notice')).toContain('Groceries');

    await page.click('#sign-out');
    await page.click('#confirm');
    await page.waitForURL(`${sampleUrl}/signed-out*`);
    await connect(page);
    expect(await page.title()).toBe('Sign in to Acme Notes');
  });

  test('the keyboard is enough', async () => {
    const login = await newcomer();
    const { page } = await open();
    const press = (keys: readonly string[]) =>
      keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
    await page.goto(sampleUrl);
    await press(['Tab', 'Enter']);
    await page.waitForSelector('#login:focus');
    await page.keyboard.type(login);
    await press(['Tab']);
    await page.keyboard.type(password);
    await press(['Tab', 'Space']);
    expect(await page.isChecked('#remember')).toBe(true);
    await press(['Enter']);
    await page.waitForSelector('#accept');
    // Past four scopes (`openid` cannot be declined), the second of them declined.
    await press(['Tab', 'Tab', 'Space', 'Tab', 'Tab', 'Tab']);
    expect(await page.evaluate('document.activeElement.id')).toBe('accept');
    await press(['Enter']);
    await page.waitForURL(`${sampleUrl}/`);
    expect(await page.textContent('#granted')).toBe('openid offline_access email notes.read');
  });

  test.each([
    ['in the light', { colorScheme: 'light' }],
    ['in the dark', { colorScheme: 'dark' }],
    ['on a narrow screen', { viewport: { width: 320, height: 568 } }],
  ] as const)('%s: axe-core objects to nothing and nothing sticks out', async (_name, options) => {
    const login = await newcomer();
    const { page, objections } = await open(options);
    await connect(page);
    expect(await objections()).toEqual([]);
    await page.click('text=Create one');
    expect(await objections()).toEqual([]);
    await page.goBack();
    await signIn(page, login, 'not the password');
    expect(await objections()).toEqual([]);
    await page.check('#remember');
    await signIn(page, login);
    await page.waitForSelector('#accept');
    expect(await objections()).toEqual([]);
    await page.click('#accept');
    await page.click('#sign-out');
    await page.waitForSelector('#confirm');
    expect(await objections()).toEqual([]);
    for (const path of ['/ui/signed-out', '/ui/error?error=x&error_description=y']) {
      await page.goto(`${server.publicUrl}${path}`);
      expect(await objections()).toEqual([]);
    }
  });

  test('who cancels or denies comes back to the app, which gets nothing', async () => {
    const login = await newcomer();
    const { page } = await open();
    await connect(page);
    await page.click('#cancel');
    await page.waitForURL(`${sampleUrl}/`);
    expect(await page.textContent('#notice')).toContain('access_denied');
    await connect(page);
    await signIn(page, login);
    await page.click('#deny');
    await page.waitForURL(`${sampleUrl}/`);
    expect(await page.textContent('#notice')).toContain('access_denied');
  });

  test('what was declined is not granted', async () => {
    const login = await newcomer();
    const { page } = await open();
    await connect(page);
    await signIn(page, login);
    await page.uncheck('[id="scope-notes.read"]');
    await page.uncheck('#scope-offline_access');
    expect(await page.isDisabled('#scope-openid')).toBe(true);
    await page.click('#accept');
    await page.waitForURL(`${sampleUrl}/`);
    expect(await page.textContent('#granted')).toBe('openid profile email');
    expect(await page.isVisible('#refresh')).toBe(false);
    await page.click('#call-api');
    expect(await page.textContent('#notice')).toMatch(/403|insufficient_scope/);
  });

  test('who is remembered is not asked again, and disconnecting ends the tokens', async () => {
    const login = await newcomer();
    const { page } = await open();
    await connect(page);
    await page.check('#remember');
    await signIn(page, login);
    await page.click('#accept');
    await page.waitForURL(`${sampleUrl}/`);
    await page.click('#disconnect');
    expect(await page.textContent('#notice')).toContain('stopped working');
    await page.click('#connect');
    await page.waitForURL(`${sampleUrl}/`);
    expect(await page.textContent('#who')).toBe(login);
  });

  test('the API and the callback refuse who was not let in', async () => {
    const challenge = async (headers: Record<string, string>) => {
      const { status, headers: answered } = await fetch(`${sampleUrl}/api/notes`, { headers });
      return `${status} ${answered.get('www-authenticate')}`;
    };
    expect(await challenge({})).toBe('401 Bearer');
    expect(await challenge({ authorization: 'Bearer made-up' })).toBe(
      '401 Bearer error="invalid_token"',
    );
    expect((await fetch(`${sampleUrl}/callback?code=a&state=b`)).status).toBe(400);
  });

  test('staying signed in changes nothing', async () => {
    const login = await newcomer();
    const { page } = await open();
    await connect(page);
    await page.check('#remember');
    await signIn(page, login);
    await page.click('#accept');
    await page.click('#sign-out');
    await page.click('#cancel');
    expect(await page.title()).toBe('You are still signed in');
    await connect(page);
    await page.waitForURL(`${sampleUrl}/`);
    expect(await page.textContent('#who')).toBe(login);
  });
});

/** What axe-core objects to on a page, and whether the page is wider than its window. */
async function objectionsTo(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate<readonly string[]>(`axe.run(document).then(({ violations }) => [
    ...violations.map(({ id, nodes }) => id + ': ' + nodes.map((node) => node.html).join(' ')),
    ...(document.documentElement.scrollWidth > innerWidth ? ['wider than the window'] : []),
  ])`);
  return found.map((objection) => `${page.url().slice(0, 60)} ${objection}`);
}

/** Registers the sample app at the admin door and starts it as a process of its own. */
async function startSample(server: TestServer, url: string, port: number): Promise<ChildProcess> {
  const registered = await fetch(`${server.adminUrl}/admin/clients`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.adminToken}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(sampleClient(url)),
  });
  const answer: unknown = await registered.json();
  const secret = new Map<string, unknown>(Object.entries(Object(answer))).get('client_secret');
  if (registered.status !== 201 || typeof secret !== 'string') {
    throw new Error(`the sample app was not registered: ${registered.status}`);
  }
  const child = spawn(process.execPath, ['sample/main.ts'], {
    cwd: root,
    stdio: 'ignore',
    env: {
      PATH: '/usr/bin:/bin',
      SAMPLE_PORT: String(port),
      SAMPLE_ISSUER: server.publicUrl,
      SAMPLE_CLIENT_ID: sampleClientId,
      SAMPLE_CLIENT_SECRET: secret,
    },
  });
  const pollMs = 50;
  for (let waitedMs = 0; waitedMs < 40_000; waitedMs += pollMs) {
    const up = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (up) return child;
    await sleep(pollMs);
  }
  child.kill('SIGKILL');
  throw new Error('the sample app did not start');
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
