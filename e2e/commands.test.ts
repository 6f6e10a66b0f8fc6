import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startServer, type TestServer } from '#server/testing/harness.ts';
import { finishProgram } from '#server/testing/program.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  await server?.stop();
});

function environment(): Record<string, string> {
  return {
    GATEHOUSE_PUBLIC_PORT: new URL(server.publicUrl).port,
    GATEHOUSE_ADMIN_PORT: new URL(server.adminUrl).port,
    GATEHOUSE_ADMIN_TOKEN: server.adminToken,
    GATEHOUSE_DATA_DIR: server.dataDir,
    GATEHOUSE_DATABASE_URL: server.database.urls.server,
    GATEHOUSE_DATABASE_OWNER_URL: server.database.urls.owner,
  };
}

async function gatehouse(line: string, stdin = '', env: Readonly<Record<string, string>> = {}) {
  return finishProgram(line.split(' '), { ...environment(), ...env }, stdin);
}

async function json(line: string, stdin = ''): Promise<ReadonlyMap<string, unknown>> {
  const { stdout, stderr, code } = await gatehouse(`${line} --json`, stdin);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return new Map(Object.entries(Object(JSON.parse(stdout))));
}

async function tokenStatus(clientId: string, secret: unknown): Promise<number> {
  const response = await fetch(`${server.publicUrl}/oauth2/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${clientId}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  await response.body?.cancel();
  return response.status;
}

describe('gatehouse client', () => {
  test('a client is made, works, gets a second secret beside the first, and is deleted', async () => {
    const made = await json('client create --id job --name Job');
    expect(made.get('grant_types')).toEqual(['client_credentials']);
    const first = made.get('client_secret');
    expect(await tokenStatus('job', first)).toBe(200);
    const second = (await json('client rotate-secret job')).get('client_secret');
    expect(await tokenStatus('job', first)).toBe(200);
    expect(await tokenStatus('job', second)).toBe(200);
    expect((await gatehouse('client rotate-secret job --end-old')).code).toBe(0);
    expect(await tokenStatus('job', first)).toBe(401);
    expect(await tokenStatus('job', second)).toBe(200);
    expect((await gatehouse('client list')).stdout).toMatch(/^job +Job +client_credentials +/m);
    expect((await gatehouse('client show job')).stdout).not.toMatch(/client_secret |gh_cs/);
    expect((await gatehouse('client delete job')).code).toBe(0);
    expect(await tokenStatus('job', second)).toBe(401);
  });

  test('with a redirect URI it is an app that people sign in to; --public has no secret', async () => {
    const made = await json('client create --public --redirect-uri https://app.example/callback');
    expect(made.get('token_endpoint_auth_method')).toBe('none');
    expect(made.get('grant_types')).toEqual(['authorization_code', 'refresh_token']);
    expect(made.has('client_secret')).toBe(false);
  });

  test('what `client show --json` prints, `client create --file -` takes', async () => {
    await json('client create --id one --redirect-uri https://one.example/callback');
    const { stdout } = await gatehouse('client show one --json');
    await gatehouse('client delete one');
    const again = await json('client create --file -', stdout);
    expect(again.get('redirect_uris')).toEqual(['https://one.example/callback']);
  });

  test('a listing of many pages is shown whole', async () => {
    const name = randomBytes(4).toString('hex');
    const count = 210;
    for (let n = 0; n < count; n += 30) {
      const made = Array.from({ length: 30 }, () =>
        fetch(`${server.adminUrl}/admin/clients`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${server.adminToken}`,
            'content-type': 'application/json',
          },
          body: JSON.stringify({ client_name: name }),
        }).then((response) => response.json()),
      );
      await Promise.all(made);
    }
    expect((await json(`client list --name ${name}`)).size).toBe(count);
  });

  test.each([
    ['client show nobody', 'There is no client "nobody"'],
    ['client delete nobody', 'There is no client "nobody"'],
    ['client create --redirect-uri not-a-uri', 'redirect_uris'],
    ['client create --public', 'A public client needs --redirect-uri'],
    ['client create --file /dev/null', '/dev/null is not JSON'],
  ])('%s is refused with a sentence', async (line, sentence) => {
    const { code, stderr } = await gatehouse(line);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
  });

  test('a wrong token, no token, no server: each says which setting', async () => {
    const wrong = await gatehouse('client list', '', {
      GATEHOUSE_ADMIN_TOKEN: 'wrong-token-wrong',
    });
    expect(wrong.stderr).toContain('does not accept the admin token');
    const none = await gatehouse('client list', '', { GATEHOUSE_ADMIN_TOKEN: '' });
    expect(none.stderr).toContain('There is no admin token');
    const away = await gatehouse('client list', '', { GATEHOUSE_ADMIN_PORT: '1' });
    expect(away.stderr).toContain('Gatehouse does not answer at http://127.0.0.1:1 (ECONNREFUSED)');
    expect([wrong.code, none.code, away.code]).toEqual([1, 1, 1]);
  });
});

describe('gatehouse user', () => {
  test('a user is made with a password from stdin, changed, disabled, enabled', async () => {
    const password = '--password-stdin';
    const made = await gatehouse(
      `user create Ada@Example.com --name Ada ${password}`,
      'a secret 1\n',
    );
    expect(made.stdout).toMatch(/^User Ada@Example\.com is made; subject [0-9a-f-]{36}\.$/m);
    const taken = await gatehouse(`user create ada@example.com ${password}`, 'a secret 2\n');
    expect(taken.stderr).toContain('The login "ada@example.com" is taken.');
    const changed = await gatehouse(
      `user set-password ada@example.com ${password}`,
      'a secret 3\n',
    );
    expect(changed).toMatchObject({ code: 0, stderr: '' });
    const disabled = await gatehouse('user disable ada@example.com');
    expect(disabled.stdout).toContain('Their sessions, grants and tokens are dead.');
    expect((await gatehouse('user list')).stdout).toMatch(/^Ada@Example\.com +Ada .* disabled$/m);
    expect((await gatehouse('user enable ada@example.com')).code).toBe(0);
    expect((await json('user list')).get('0')).toMatchObject({ disabled: false, name: 'Ada' });
  });

  test('disabling a user while no server runs says what is left to do', async () => {
    await gatehouse('user create bob@example.com --password-stdin', 'a secret 1\n');
    const away = { GATEHOUSE_ADMIN_PORT: '1' };
    const { code, stdout, stderr } = await gatehouse('user disable bob@example.com', '', away);
    expect(stdout).toContain('bob@example.com can no longer sign in.');
    expect(stderr).toContain('Their sessions and tokens still live: repeat this command');
    expect(code).toBe(1);
  });

  test.each([
    ['user create cy@example.com --password-stdin', 'short\n', 'Use at least 8 characters.'],
    ['user create cy@example.com --password-stdin', '', 'stdin is empty'],
    ['user create cy@example.com', 'a secret 1\n', 'pipe it in with --password-stdin'],
    ['user create c --password-stdin', 'a secret 1\n', 'A login has 3 to 255 characters'],
    [
      `user create cy@example.com --name ${'x'.repeat(256)} --password-stdin`,
      'a secret 1\n',
      'A name has at most 255 characters',
    ],
    [`user create ${'e\u0301'.repeat(150)} --password-stdin`, 'a secret 1\n', 'A login has 3 to'],
    ['user create \ufb03 --password-stdin', 'a secret 1\n', 'A login has 3 to'],
    ['user set-password cy@example.com --password-stdin', 'a secret 1\n', 'There is no user'],
    ['user disable cy@example.com', '', 'There is no user'],
    ['user list --limit many', '', '--limit must be a whole number'],
  ])('%s is refused with a sentence', async (line, stdin, sentence) => {
    const { code, stderr } = await gatehouse(line, stdin);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain('argon2');
    expect(code).toBe(1);
  });
});

describe('gatehouse schema', () => {
  test('status, plan and up on a database that is up to date', async () => {
    const status = await gatehouse('schema status');
    expect(status.stdout).toMatch(/^0001 +engine +expand +applied/m);
    expect(status.code).toBe(0);
    expect((await gatehouse('schema plan')).stdout).toContain('nothing would be run');
    expect((await gatehouse('schema up')).stdout).toContain('The schema was up to date.');
  });

  test('what is applied, or taken back, has its entries in the audit log', async () => {
    const owner = new pg.Client({ connectionString: server.database.urls.owner });
    await owner.connect();
    await owner.query('drop index client_by_owner');
    for (const table of ['schema_migration', 'schema_step']) {
      await owner.query(`delete from ${table} where number = 11`);
    }
    expect((await gatehouse('schema up')).stdout).toContain('applied migration 0011_client_lists');
    expect((await gatehouse('schema down --to 10')).stderr).toContain('no down section');
    expect((await gatehouse('schema down --to 11')).stdout).toBe('Nothing above 11 is applied.\n');
    const { rows } = await owner.query(
      `select a.action, a.outcome, a.detail->'migrations' as migrations
       from audit a where a.action like 'schema.%' order by a.at`,
    );
    await owner.end();
    const migrations = ['0011_client_lists (expand)'];
    expect(rows).toEqual([
      { action: 'schema.up', outcome: 'begun', migrations },
      { action: 'schema.up', outcome: 'done', migrations },
      { action: 'schema.down', outcome: 'begun', migrations },
      { action: 'schema.down', outcome: 'failed', migrations },
    ]);
  });

  test('without a database of its own or a running one it says how to get one', async () => {
    const none = { GATEHOUSE_DATABASE_URL: '', GATEHOUSE_DATABASE_OWNER_URL: '' };
    const { code, stderr } = await gatehouse('schema status', '', none);
    expect(stderr).toMatch(
      /GATEHOUSE_DATABASE_URL is not set, and no PostgreSQL runs in .*postgres/,
    );
    expect(code).toBe(1);
  });
});
