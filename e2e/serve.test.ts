import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { createServer as createHttpsServer, request as requestHttps } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loopbackCertificate } from '#server/testing/certificate.ts';
import { createTestDatabase, type TestDatabase, testPort } from '#server/testing/harness.ts';
import { finishProgram, type Program, runProgram, stillRunning } from '#server/testing/program.ts';

const state = { directory: '', publicPort: 0, adminPort: 0 };
const started: Program[] = [];
let database: TestDatabase;

beforeAll(async () => {
  state.directory = await mkdtemp(join(tmpdir(), 'gatehouse-serve-'));
  state.publicPort = await testPort();
  state.adminPort = await testPort();
  database = await createTestDatabase();
});

afterAll(async () => {
  for (const program of started) program.signal('SIGKILL');
  await Promise.all(started.map((program) => program.ended()));
  await database?.close();
  await rm(state.directory, { recursive: true, force: true });
});

function environment(more: Readonly<Record<string, string>> = {}) {
  return {
    GATEHOUSE_PUBLIC_PORT: String(state.publicPort),
    GATEHOUSE_ADMIN_PORT: String(state.adminPort),
    GATEHOUSE_DATA_DIR: state.directory,
    GATEHOUSE_DATABASE_URL: database.urls.server,
    ...more,
  };
}

async function serve(args: readonly string[], more?: Readonly<Record<string, string>>) {
  const program = runProgram(['serve', ...args], environment(more));
  started.push(program);
  await program.wrote('"event":"ready"');
  return program;
}

/** The processes that answer `count` requests, each on a connection of its own, are all alive. */
async function answers(count: number): Promise<void> {
  const url = `http://127.0.0.1:${state.publicPort}/health/ready`;
  for (let n = 0; n < count; n += 1) {
    const status = await new Promise((resolve, reject) => {
      request(url, { agent: new Agent() }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      })
        .on('error', reject)
        .end();
    });
    expect(status).toBe(200);
  }
}

describe('gatehouse serve', () => {
  test('one worker is the process itself; SIGTERM drains it to exit code 0', async () => {
    const program = await serve([]);
    await answers(2);
    expect(program.descendants()).toEqual([]);
    program.signal('SIGTERM');
    expect((await program.ended()).code).toBe(0);
  });

  test('called by npm, as the runbooks do: SIGTERM reaches it, and drains it', async () => {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const npm = spawn('npm', ['run', '-s', 'gatehouse', '--', 'serve'], {
      cwd: root,
      env: {
        ...environment(),
        PATH: `${root}node_modules/.bin:/usr/local/bin:/usr/bin:/bin`,
        HOME: state.directory,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const group = npm.pid ?? 0;
    let output = '';
    npm.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    try {
      while (!output.includes('"event":"ready"')) await sleep(20);
      npm.kill('SIGTERM');
      await once(npm, 'exit');
      await expect.poll(() => output).toContain('"drained":true,"event":"stopped"');
    } finally {
      endGroup(group);
    }
  });

  test('--workers 2 answers from two processes, and one that dies is replaced', async () => {
    const program = await serve(['--workers', '2']);
    const [first = 0, second = 0] = program.descendants();
    expect(second).not.toBe(0);
    await answers(4);
    process.kill(first, 'SIGKILL');
    await program.wrote('"event":"worker_replaced"');
    expect(program.descendants()).toHaveLength(2);
    expect(program.descendants()).not.toContain(first);
    await answers(4);
    const pids = program.descendants();
    program.signal('SIGTERM');
    expect((await program.ended()).code).toBe(0);
    expect(await stillRunning(pids, 20_000)).toEqual([]);
  });

  test('workers end with their primary, however it ends', async () => {
    const program = await serve([], { GATEHOUSE_WORKERS: '2' });
    const pids = program.descendants();
    expect(pids).toHaveLength(2);
    program.signal('SIGKILL');
    expect(await stillRunning(pids, 20_000)).toEqual([]);
  });

  test('a request under way ends well; a second signal does not wait for one', async () => {
    for (const impatient of [false, true]) {
      const program = await serve(['--workers', '2']);
      const pending = slowRequest();
      await pending.sent;
      program.signal('SIGTERM');
      await program.wrote('"event":"draining"');
      await sleep(700);
      if (impatient) {
        program.signal('SIGTERM');
        expect((await program.ended()).code).toBe(143);
        expect(await pending.answer).toBe('no answer');
      } else {
        pending.finish();
        expect(await pending.answer).toBe('401');
        expect((await program.ended()).code).toBe(0);
      }
    }
  });
});

/** Whatever of it is left. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nothing is.
  }
}

/** A token request whose body comes in two parts. */
function slowRequest() {
  const body = 'grant_type=client_credentials';
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': body.length,
    // Answered at once by whoever has begun to read the request.
    expect: '100-continue',
    authorization: `Basic ${Buffer.from('nobody:nothing').toString('base64')}`,
  };
  const url = `http://127.0.0.1:${state.publicPort}/oauth2/token`;
  const sending = request(url, { method: 'POST', headers, agent: new Agent() });
  const answer = new Promise<string>((resolve) => {
    sending.on('response', (response) => {
      response.resume().on('end', () => resolve(String(response.statusCode)));
    });
    sending.on('error', () => resolve('no answer'));
  });
  const sent = once(sending, 'continue');
  sending.write(body.slice(0, 5));
  return { sent, answer, finish: () => sending.end(body.slice(5)) };
}

describe('what keeps it from serving is a sentence on stderr, and exit code 1', () => {
  const closed = 'postgres://gatehouse_server:hunter2@127.0.0.1:1/gatehouse';
  test.each<[string, () => Record<string, string>, RegExp]>([
    [
      'no database',
      () => ({ GATEHOUSE_DATABASE_URL: '' }),
      /GATEHOUSE_DATABASE_URL is not set, and `serve` starts no PostgreSQL.*`npm start`/,
    ],
    [
      'a database that is away',
      () => ({ GATEHOUSE_DATABASE_URL: closed }),
      /^PostgreSQL at 127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\): start it, or correct GATEHOUSE_DATABASE_URL\.$/m,
    ],
    [
      'a wrong password',
      () => ({ GATEHOUSE_DATABASE_URL: withPassword(database.urls.server, 'hunter2') }),
      /does not let "gatehouse_server" in: check user and password in GATEHOUSE_DATABASE_URL/,
    ],
    [
      'a wrong password beside a right owner',
      () => ({
        GATEHOUSE_DATABASE_URL: withPassword(database.urls.server, 'hunter2'),
        GATEHOUSE_DATABASE_OWNER_URL: database.urls.owner,
      }),
      /does not let "gatehouse_server" in: check user and password in GATEHOUSE_DATABASE_URL/,
    ],
    [
      'a database that is not there',
      () => ({ GATEHOUSE_DATABASE_URL: inDatabase(database.urls.server, 'none') }),
      /There is no database "none"/,
    ],
    [
      'no schema',
      () => ({ GATEHOUSE_DATABASE_URL: inDatabase(database.urls.superuser, 'postgres') }),
      /The database has no schema yet: run `gatehouse schema up`/,
    ],
    [
      'a wrong setting',
      () => ({ GATEHOUSE_CODE_SECONDS: '1 year' }),
      /GATEHOUSE_CODE_SECONDS must be a duration/,
    ],
    [
      'a master key that is none',
      () => ({ GATEHOUSE_MASTER_KEYS: '/dev/null' }),
      /The master key file \/dev\/null holds no key/,
    ],
    [
      'a certificate that is none',
      () => ({ GATEHOUSE_TLS_CERT: '/dev/null', GATEHOUSE_TLS_KEY: '/dev/null' }),
      /^GATEHOUSE_TLS_CERT and GATEHOUSE_TLS_KEY must be a certificate \(PEM\) and its key: /m,
    ],
    [
      'a data directory that is none',
      () => ({ GATEHOUSE_DATA_DIR: '/dev/null/data' }),
      /^\/dev\/null\/data cannot be made \(ENOTDIR\): let GATEHOUSE_DATA_DIR name a directory/m,
    ],
    [
      'an admin token that is empty',
      () => {
        const dataDir = mkdtempSync(join(state.directory, 'empty-'));
        writeFileSync(join(dataDir, 'admin-token'), '');
        return { GATEHOUSE_DATA_DIR: dataDir, GATEHOUSE_ADMIN_TOKEN: '' };
      },
      /admin-token is empty: remove it, and start again\.$/m,
    ],
    [
      'a password that breaks its URL',
      () => ({
        GATEHOUSE_DATABASE_URL: 'postgres://gatehouse_server:hun/ter2@127.0.0.1/gatehouse',
      }),
      /GATEHOUSE_DATABASE_URL must be a postgres:\/\/ URL; in a password write/,
    ],
  ])('%s', async (_name, env, sentence) => {
    const { code, stdout, stderr } = await finishProgram(['serve'], environment(env()));
    expect(stderr).toMatch(sentence);
    expect(stderr + stdout).not.toMatch(/hunter2|\n\s+at /);
    expect(code).toBe(1);
  });

  test('a worker that cannot start says why, once', async () => {
    const env = environment({ GATEHOUSE_MASTER_KEYS: '/dev/null' });
    const { code, stderr } = await finishProgram(['serve', '--workers', '2'], env);
    expect(stderr.match(/holds no key/g)).toHaveLength(1);
    expect(code).toBe(1);
  });

  test('a worker that fails for a reason of ours: its log is whole when the others are killed', async () => {
    const failpoint = 'control_raise_access_seconds.before=error';
    const env = environment({ GATEHOUSE_INSECURE_FAILPOINTS: failpoint });
    const { code, stdout, stderr } = await finishProgram(['serve', '--workers', '3'], env);
    expect(stdout).toContain('"event":"worker_failed"');
    expect(stderr).toContain('A worker failed; see its log.');
    expect(code).toBe(1);
  });

  test('a port in use', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(state.adminPort, '127.0.0.1', resolve));
    const { code, stderr } = await finishProgram(['serve'], environment());
    other.close();
    expect(stderr).toContain(`127.0.0.1:${state.adminPort} is in use`);
    expect(stderr).toContain('change GATEHOUSE_ADMIN_PORT');
    expect(code).toBe(1);
  });

  test('with a certificate all speaks https: both listeners, commands, and traces by EXTRA_CA', async () => {
    const { cert, key } = loopbackCertificate();
    const certFile = join(state.directory, 'cert.pem');
    const keyFile = join(state.directory, 'key.pem');
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    const sent: string[] = [];
    const collector = createHttpsServer({ cert, key }, (incoming, answer) => {
      sent.push(String(incoming.url));
      incoming.resume().on('end', () => answer.end());
    });
    const otlpPort = await testPort();
    await new Promise<void>((resolve) => collector.listen(otlpPort, '127.0.0.1', resolve));
    const env = {
      GATEHOUSE_TLS_CERT: certFile,
      GATEHOUSE_TLS_KEY: keyFile,
      GATEHOUSE_OTLP_ENDPOINT: `https://127.0.0.1:${otlpPort}`,
      GATEHOUSE_OTLP_SAMPLE_RATIO: '1',
      GATEHOUSE_EXTRA_CA: certFile,
    };
    const program = await serve([], env);
    const url = `https://127.0.0.1:${state.publicPort}`;
    const discovery = await textAt(`${url}/.well-known/openid-configuration`, cert);
    expect(discovery).toContain(`"issuer":"${url}"`);
    expect(await finishProgram(['client', 'list'], environment(env))).toMatchObject({ code: 0 });
    program.signal('SIGTERM');
    expect((await program.ended()).code).toBe(0);
    collector.close();
    expect(program.output()).not.toContain('traces_not_sent');
    expect(new Set(sent)).toEqual(new Set(['/v1/traces']));
  });

  test('unsafe settings are said at every start', async () => {
    const program = await serve([], { GATEHOUSE_RATE_LIMITS: 'off' });
    expect(program.output()).toContain('WARNING: GATEHOUSE_RATE_LIMITS is off');
    program.signal('SIGINT');
    expect((await program.ended()).code).toBe(0);
  });
});

/** What is answered there, by a server with exactly this certificate. */
function textAt(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    requestHttps(url, { ca }, (response) => text(response).then(resolve, reject))
      .on('error', reject)
      .end();
  });
}

function withPassword(url: string, password: string): string {
  const changed = new URL(url);
  changed.password = password;
  return changed.href;
}

function inDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
