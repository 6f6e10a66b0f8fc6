import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTo, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { finishProgram, runProgram } from '#server/testing/program.ts';
import { type Deployment, deploy, type Json, type RegisteredClient } from './deployment.ts';
import { connect, refresh } from './login-app.ts';

let deployment: Deployment;
let client: RegisteredClient;

beforeAll(async () => {
  deployment = await deploy();
  client = await deployment.register();
});
afterAll(() => deployment?.close());

const nobody = '00000000-0000-4000-8000-000000000000';

const environment = (): Record<string, string> => ({
  GATEHOUSE_PUBLIC_PORT: new URL(deployment.server.publicUrl).port,
  GATEHOUSE_ADMIN_PORT: new URL(deployment.server.adminUrl).port,
  GATEHOUSE_ADMIN_TOKEN: deployment.server.adminToken,
  GATEHOUSE_DATA_DIR: deployment.server.dataDir,
});

const run = (args: readonly string[], stdin = '') => finishProgram(args, environment(), stdin);

async function done(args: readonly string[], stdin = ''): Promise<string> {
  const { stdout, stderr, code } = await run(args, stdin);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return stdout;
}

const list = async (...args: readonly string[]): Promise<readonly Json[]> =>
  JSON.parse(await done([...args, '--json']));
const active = async (token: string) => (await deployment.introspect(token)).active;

describe('gatehouse token', () => {
  test('a token from stdin is shown, and revoked at once; what is dead is said to be', async () => {
    const { access, refresh: spent } = await connect(deployment, client);
    const shown = await done(['token', 'introspect'], `${access}\n`);
    expect(shown).toMatch(/^active +true$/m);
    expect(shown).toContain(client.id);
    expect(await done(['token', 'revoke'], spent)).toBe('The token is revoked.\n');
    expect(JSON.parse(await done(['token', 'introspect', '--json'], access))).toEqual({
      active: false,
    });
    for (const dead of [access, spent]) {
      expect(await done(['token', 'revoke'], dead)).toBe('The token was dead already.\n');
    }
  });

  test('everything of a person, of a chain, of an app', async () => {
    const eve = await connect(deployment, client, { login: { subject: 'eve' } });
    const bob = await connect(deployment, client, { login: { subject: 'bob' } });
    await done(['token', 'revoke', '--subject', 'eve', '--reason', 'left the company']);
    expect([await active(eve.access), await active(bob.access)]).toEqual([false, true]);
    const [entry] = await list('audit', 'list', '--target', 'eve');
    expect(entry).toMatchObject({ reason: 'left the company' });
    const other = await deployment.register();
    const theirs = await connect(deployment, other);
    await done(['token', 'revoke', '--client', other.id]);
    expect([await active(theirs.access), await active(bob.access)]).toEqual([false, true]);
  });

  test.each([
    [['token', 'introspect'], '', 'stdin is empty'],
    [['token', 'revoke'], 'gh_at_nonsense', 'This is no token of this issuer.'],
    [['token', 'revoke', '--subject', 'a', '--client', 'b'], '', 'exclude each other'],
    [['token', 'revoke', '--chain', 'x'], '', 'chain must be a UUID'],
    [['token', 'revoke', '--subject', 'ada@example.com'], '', 'not the login: `user list`'],
    [['token', 'revoke', '--client', 'no-such-app'], '', 'nothing of a client "no-such-app"'],
    [['token', 'revoke', '--chain', nobody], '', `nothing of a chain "${nobody}" to revoke`],
    [['session', 'sign-out', 'ada@example.com'], '', 'has not signed in lately. Give the subject'],
    [['session', 'revoke', nobody], '', `There is no session "${nobody}"`],
  ])('%j is refused with a sentence', async (args, stdin, sentence) => {
    const { code, stderr } = await run(args, stdin);
    expect(stderr).toContain(sentence);
    expect(code).toBe(1);
  });

  test('a token as an argument is not taken', async () => {
    const { code, stderr } = await run(['token', 'introspect', 'gh_at_secret']);
    expect(stderr).toContain('does not take');
    expect(code).toBe(2);
  });
});

describe('gatehouse grant', () => {
  test('listed, shown, narrowed, revoked', async () => {
    const tokens = await connect(deployment, client, { login: { subject: 'gina' } });
    const [grant] = await list('grant', 'list', 'gina');
    expect(grant).toMatchObject({ client_id: client.id, state: 'live', version: 1 });
    const id = String(grant?.grant_id);
    expect(await done(['grant', 'list', 'gina', '--client', client.id])).toMatch(
      new RegExp(`^${id} +${client.id} +live +openid offline_access`, 'm'),
    );
    expect(await done(['grant', 'show', id])).toMatch(/^state +live$/m);
    expect(await done(['grant', 'narrow', id, '--scope', 'offline_access'])).toBe(
      `Grant ${id} now allows: offline_access\n`,
    );
    expect(await active(tokens.access)).toBe(false);
    expect((await refresh(deployment, client, tokens.refresh)).body.scope).toBe('offline_access');
    await done(['grant', 'revoke', id]);
    expect((await refresh(deployment, client, tokens.refresh)).status).toBe(400);
    expect(await done(['grant', 'show', id])).toMatch(/^state +revoked$/m);
  });

  test('nothing is said to be nothing; what is not there is a failure', async () => {
    expect(await done(['grant', 'list', 'nobody'])).toBe('nobody has allowed nothing.\n');
    expect(await list('grant', 'list', 'nobody')).toEqual([]);
    for (const verb of ['show', 'revoke']) {
      const { code, stderr } = await run(['grant', verb, 'x']);
      expect(stderr).toContain('There is no grant "x"');
      expect(code).toBe(1);
    }
    expect((await run(['grant', 'narrow', 'x'])).stderr).toContain('Say what remains');
  });

  test('many are shown over several pages, and no more than --limit', async () => {
    for (let n = 0; n < 5; n += 1) {
      await connect(deployment, await deployment.register(), { login: { subject: 'max' } });
    }
    expect(await list('grant', 'list', 'max')).toHaveLength(5);
    const pages = await deployment.admin('GET', '/admin/grants?subject=max&page_size=2');
    expect(pages.list).toHaveLength(2);
    const next = /<([^>]+)>; rel="next"/.exec(pages.headers.get('link') ?? '')?.[1] ?? '';
    expect((await deployment.admin('GET', next)).list).toHaveLength(2);
    expect(await done(['grant', 'list', 'max', '--limit', '3'])).toContain('These are 3;');
  });
});

describe('gatehouse session', () => {
  const subject = 'sam';
  const login = { subject, remember: true, remember_for: 3600 };

  test('listed; signing out keeps apps connected, revoking does not', async () => {
    expect(await done(['session', 'list', subject])).toBe('sam has not signed in lately.\n');
    const first = await connect(deployment, client, { login });
    const second = await connect(deployment, client, { login });
    const sessions = await list('session', 'list', subject);
    expect(sessions.map(({ state }) => state)).toEqual(['live', 'live']);
    const [newest, older] = sessions.map(({ session_id }) => String(session_id));
    await done(['session', 'revoke', String(newest)]);
    expect((await refresh(deployment, client, second.refresh)).status).toBe(400);
    await done(['session', 'sign-out', subject]);
    expect((await refresh(deployment, client, first.refresh)).status).toBe(200);
    const states = await list('session', 'list', subject);
    expect(states.map(({ session_id, state }) => [session_id, state])).toEqual([
      [newest, 'revoked'],
      [older, 'signed_out'],
    ]);
    const page = await deployment.admin('GET', `/admin/sessions?subject=${subject}&page_size=1`);
    const next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
    expect((await deployment.admin('GET', next)).list).toMatchObject([{ session_id: older }]);
  });
});

describe('gatehouse credential', () => {
  test('made with a role, listed without its secret, deleted by name', async () => {
    expect(await done(['credential', 'list'])).toContain('There are no credentials');
    const made = JSON.parse(
      await done(['credential', 'create', 'login app', '--role', 'handshake', '--json']),
    );
    const listed = await done(['credential', 'list']);
    expect(listed).toMatch(/login app +handshake/);
    expect(listed).not.toContain(made.secret);
    expect(await done(['credential', 'delete', 'login app'])).toContain(made.id);
    expect((await run(['credential', 'delete', 'login app'])).code).toBe(1);
    const wrong = await run(['credential', 'create', 'x', '--role', 'king']);
    expect(wrong.stderr).toContain('role must be');
    expect((await run(['credential', 'create', 'x'])).stderr).toContain('--role');
  });
});

describe('gatehouse key', () => {
  test('rotated at once on every set, also our own; what was made before still opens', async () => {
    const { access, refresh: token } = await connect(deployment, client);
    const before = await list('key', 'list');
    const sets = [...new Set(before.map(({ set }) => String(set)))];
    expect(sets).toContain('gatehouse.refresh');
    expect(JSON.stringify(before)).not.toMatch(/"(d|k|wrapped|n)":/);
    for (const set of sets) {
      expect(await done(['key', 'rotate', set])).toContain(`Made ${set} `);
    }
    const after = await list('key', 'list');
    const activeNow = after.filter(({ state }) => state === 'active').map(({ kid }) => kid);
    expect(before.filter(({ kid }) => activeNow.includes(kid))).toEqual([]);
    expect(activeNow).toHaveLength(before.length);
    expect(await active(access)).toBe(true);
    expect((await refresh(deployment, client, token)).status).toBe(200);
  });

  test('deleting the old one of a set kills what it made; the last one and peppers stay', async () => {
    const { access, refresh: token } = await connect(deployment, client);
    const set = 'gatehouse.access-token';
    const [current] = (await list('key', 'list', '--set', set)).filter(
      ({ state }) => state === 'active',
    );
    const kid = String(current?.kid);
    await done(['key', 'rotate', set]);
    expect(await active(access)).toBe(true);
    await done(['key', 'delete', set, kid]);
    expect(await active(access)).toBe(false);
    expect((await refresh(deployment, client, token)).status).toBe(200);
    expect((await run(['key', 'delete', set, kid])).stderr).toContain('There is no key');
    const [last] = (await list('key', 'list', '--set', 'gatehouse.flow')).filter(
      ({ state }) => state === 'active',
    );
    const [pepper] = await list('key', 'list', '--set', 'pepper');
    expect((await run(['key', 'delete', 'pepper', String(pepper?.kid)])).stderr).toContain(
      'pepper',
    );
    const flows = await list('key', 'list', '--set', 'gatehouse.flow');
    for (const { kid: other } of flows) {
      if (other !== last?.kid) await done(['key', 'delete', 'gatehouse.flow', String(other)]);
    }
    const refused = await run(['key', 'delete', 'gatehouse.flow', String(last?.kid)]);
    expect(refused.stderr).toContain('has no other of its kind');
    expect(await done(['key', 'list', '--set', 'none'])).toContain('There is no key in the set');
    expect((await run(['key', 'rotate', 'none'])).code).toBe(1);
  });
});

describe('gatehouse audit', () => {
  test('by time, by action, as JSON, and nothing', async () => {
    await deployment.register({ client_name: 'Looked for' });
    const shown = await done(['audit', 'list', '--since', '1h', '--action', 'client.*']);
    expect(shown).toMatch(/Z +client\.create +done +admin_token +client /);
    expect(await list('audit', 'list', '--to', '2020-01-01T00:00:00Z')).toEqual([]);
    expect(await done(['audit', 'list', '--actor', 'nobody'])).toContain('no such entries');
    expect(await done(['audit', 'list', '--limit', '2'])).toContain('These are 2;');
    for (const [args, sentence] of [
      [['--since', 'yesterday'], '--since is a time'],
      [['--since', '1h', '--from', '2026-01-01T00:00:00Z'], 'exclude'],
      [['--action', 'client.destroy'], 'action must be'],
      [['--limit', '0'], '--limit must be'],
    ] as const) {
      const { code, stderr } = await run(['audit', 'list', ...args]);
      expect(stderr).toContain(sentence);
      expect(code).toBe(1);
    }
  });

  test('--follow shows each entry once, as it comes, until it is interrupted', async () => {
    const follower = runProgram(['audit', 'list', '--follow', '--limit', '1'], environment());
    await follower.wrote('\n');
    const { id } = await deployment.register();
    await follower.wrote(`client ${id}`);
    await sleep(1500);
    follower.signal('SIGINT');
    const { stdout } = await follower.ended();
    expect(stdout.split(`client ${id}`)).toHaveLength(2);
  });
});

test('--follow ends when nobody reads it any more', async () => {
  const line = '"$0" cli/main.ts audit list --follow --limit 1 | head -n 1';
  const piped = spawn('sh', ['-c', line, process.execPath], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { PATH: '/usr/bin:/bin', ...environment() },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  await once(piped.stdout, 'data');
  for (let n = 0; n < 80 && piped.exitCode === null; n += 1) {
    await deployment.register();
    await sleep(500);
  }
  const { exitCode } = piped;
  if (exitCode === null && piped.pid !== undefined) process.kill(-piped.pid, 'SIGKILL');
  expect(exitCode).toBe(0);
});

test('--follow keeps to --since and its filters where nothing has happened yet', async () => {
  const { id } = await deployment.register();
  await sleep(1500);
  const args = ['audit', 'list', '--follow', '--since', '1s', '--action', 'client.create'];
  const asked = () => deployment.server.output().split('"route":"/admin/audit"').length;
  const before = asked();
  const follower = runProgram(args, environment());
  // It has looked once and found nothing: for the newest entry of all, and for those it shows.
  await expect.poll(asked).toBeGreaterThan(before + 1);
  const { id: next } = await deployment.register();
  await follower.wrote(`client ${next}`);
  follower.signal('SIGINT');
  expect((await follower.ended()).stdout).not.toContain(id);
});

test('--follow waits for a node that restarts', async () => {
  const { hostname, port } = new URL(deployment.server.adminUrl);
  const sockets = new Set<Socket>();
  let isAway = false;
  const node = createServer((socket) => {
    if (isAway) return void socket.destroy();
    const onward = connectTo(Number(port), hostname);
    for (const one of [socket, onward]) sockets.add(one.on('error', () => {}));
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve));
  const address = node.address();
  const there = typeof address === 'object' ? String(address?.port) : '';
  const env = { ...environment(), GATEHOUSE_ADMIN_PORT: there };
  const follower = runProgram(['audit', 'list', '--follow', '--action', 'client.create'], env);
  await follower.wrote('\n');
  isAway = true;
  for (const socket of sockets) socket.destroy();
  await follower.wrote('Asking again until it answers.');
  const { id } = await deployment.register();
  isAway = false;
  await follower.wrote(`client ${id}`);
  follower.signal('SIGINT');
  const { stderr } = await follower.ended();
  expect(stderr.split('Asking again')).toHaveLength(2);
  node.close();
});

test('without a server, with a wrong token: each command says what to do', async () => {
  for (const args of [
    ['key', 'list'],
    ['grant', 'list', 'x'],
    ['audit', 'list'],
  ]) {
    const away = await finishProgram(args, { ...environment(), GATEHOUSE_ADMIN_PORT: '1' });
    expect(away.stderr).toContain('Is it running?');
    const wrong = { ...environment(), GATEHOUSE_ADMIN_TOKEN: 'wrong-token-wrong' };
    expect((await finishProgram(args, wrong)).stderr).toContain('does not accept the admin token');
  }
});
