import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, testPort } from '#server/testing/harness.ts';
import { finishProgram, type Program, runProgram, stillRunning } from '#server/testing/program.ts';

const state = { directory: '', ports: [0, 0, 0] };
const started: Program[] = [];

beforeAll(async () => {
  state.directory = await mkdtemp(join(tmpdir(), 'gatehouse-start-'));
  await chmod(state.directory, 0o755);
  state.ports = [await testPort(), await testPort(), await testPort()];
});

afterAll(async () => {
  for (const program of started) program.signal('SIGKILL');
  await Promise.all(started.map((program) => stillRunning(program.descendants(), 10_000)));
  await rm(state.directory, { recursive: true, force: true });
});

const dataDir = () => join(state.directory, 'data');

function environment(more: Readonly<Record<string, string>> = {}) {
  const [publicPort = 0, adminPort = 0, samplePort = 0] = state.ports;
  return {
    GATEHOUSE_PUBLIC_PORT: String(publicPort),
    GATEHOUSE_ADMIN_PORT: String(adminPort),
    GATEHOUSE_SAMPLE_PORT: String(samplePort),
    GATEHOUSE_DATA_DIR: dataDir(),
    ...more,
  };
}

async function start(more?: Readonly<Record<string, string>>): Promise<Program> {
  const program = runProgram(['start'], environment(more));
  started.push(program);
  await program.wrote('Gatehouse is ready.');
  await program.wrote('Stop with Ctrl-C.');
  return program;
}

async function get(port: number | undefined, path: string, token?: string) {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
  const body: unknown = await response.json().catch(() => undefined);
  return { status: response.status, body };
}

async function secret(name: string): Promise<string> {
  expect((await stat(join(dataDir(), name))).mode & 0o777).toBe(0o600);
  return (await readFile(join(dataDir(), name), 'utf8')).trim();
}

/** Tries to end it by `signal`, and gives what remains of it. */
async function leftAfter(program: Program, signal: NodeJS.Signals) {
  const pids = program.descendants();
  expect(pids.length).toBeGreaterThan(2);
  program.signal(signal);
  const { code } = await program.ended();
  return { code, left: await stillRunning(pids, 20_000) };
}

describe('npm start, from nothing', () => {
  test('says where everything is; all of it answers; Ctrl-C leaves nothing running', async () => {
    const [publicPort, adminPort, samplePort] = state.ports;
    const program = await start();
    expect(program.output()).toContain('Making a database in');
    const issuer = `http://127.0.0.1:${publicPort}`;
    for (const line of [
      `http://127.0.0.1:${samplePort}`,
      `demo@example.com  ${await secret('demo-password')}`,
      `${issuer}/.well-known/openid-configuration`,
      `http://127.0.0.1:${adminPort}`,
      join(dataDir(), 'admin-token'),
    ]) {
      expect(program.output()).toContain(line);
    }
    const token = await secret('admin-token');
    expect(program.output()).not.toContain(token);
    const discovery = await get(publicPort, '/.well-known/openid-configuration');
    expect(discovery).toMatchObject({ status: 200, body: { issuer } });
    expect(await get(adminPort, '/admin/clients/sample-app')).toMatchObject({ status: 401 });
    expect(await get(adminPort, '/admin/clients/sample-app', token)).toMatchObject({
      status: 200,
      body: { redirect_uris: [`http://127.0.0.1:${samplePort}/callback`] },
    });
    expect(await get(samplePort, '/')).toMatchObject({ status: 200 });
    await secret('master-key');

    expect(await leftAfter(program, 'SIGINT')).toEqual({ code: 0, left: [] });
    expect(program.output()).toContain('Gatehouse has stopped.');
  });

  test('a second start finds what the first made, and registers the sample app as it is now', async () => {
    const [, adminPort] = state.ports;
    const before = await secret('admin-token');
    const moved = await testPort();
    const program = await start({ GATEHOUSE_SAMPLE_PORT: String(moved) });
    expect(program.output()).toContain('Starting the database in');
    expect(await secret('admin-token')).toBe(before);
    const found = await get(adminPort, '/admin/clients/sample-app', before);
    expect(found.body).toMatchObject({ redirect_uris: [`http://127.0.0.1:${moved}/callback`] });

    // The commands find the running one by the data directory alone.
    const listed = await finishProgram(['user', 'list', '--json'], environment());
    expect(JSON.parse(listed.stdout)).toMatchObject([{ login: 'demo@example.com' }]);

    expect(await leftAfter(program, 'SIGTERM')).toEqual({ code: 0, left: [] });
  });

  test('SIGKILL of the main process leaves nothing running, and the next start recovers', async () => {
    const killed = await start();
    expect(await leftAfter(killed, 'SIGKILL')).toEqual({ code: null, left: [] });
    const next = await start({ GATEHOUSE_WORKERS: '2' });
    const [publicPort] = state.ports;
    expect(await get(publicPort, '/health/ready')).toMatchObject({ status: 200 });
    expect(await leftAfter(next, 'SIGTERM')).toEqual({ code: 0, left: [] });
  });

  test('a signal in the middle of a start ends it, and leaves nothing running', async () => {
    const program = runProgram(['start'], environment());
    started.push(program);
    await program.wrote('Starting the database');
    program.signal('SIGTERM');
    expect((await program.ended()).code).toBe(0);
    expect(program.output()).toContain('Gatehouse has stopped.');
    // PostgreSQL removes it when it has shut down in order.
    const pidFile = join(dataDir(), 'postgres', 'cluster', 'postmaster.pid');
    expect(await stat(pidFile).catch(() => 'none')).toBe('none');
  });

  test('when PostgreSQL dies, everything stops with a sentence', async () => {
    const program = await start({ GATEHOUSE_SAMPLE_PORT: 'off' });
    const pids = program.descendants();
    const pidFile = join(dataDir(), 'postgres', 'cluster', 'postmaster.pid');
    const postgres = Number((await readFile(pidFile, 'utf8')).split('\n')[0]);
    expect(pids).toContain(postgres);
    process.kill(postgres, 'SIGKILL');
    const { code, stderr } = await program.ended();
    expect(stderr).toMatch(/PostgreSQL ended by itself \(SIGKILL\); .*postgres\.log may say why\./);
    expect(code).toBe(1);
    expect(await stillRunning(pids, 20_000)).toEqual([]);
  });
});

test('with a database of its own operator it brings none, and migrates that one', async () => {
  const database = await createTestDatabase();
  const dataDir = join(state.directory, 'elsewhere');
  const env = {
    GATEHOUSE_DATA_DIR: dataDir,
    GATEHOUSE_DATABASE_URL: database.urls.server,
    GATEHOUSE_DATABASE_OWNER_URL: database.urls.owner,
  };
  const program = await start(env);
  expect(await stat(join(dataDir, 'postgres')).catch(() => 'none')).toBe('none');

  // The one child there is, the sample app, ends by itself: everything stops.
  const [sample = 0, ...others] = program.descendants();
  expect(others).toEqual([]);
  process.kill(sample, 'SIGKILL');
  const { code, stderr } = await program.ended();
  expect(stderr).toContain('The sample app ended by itself (SIGKILL).');
  expect(code).toBe(1);
  await database.close();
});

describe('what keeps it from starting is said at once', () => {
  test.each([
    [0, 'GATEHOUSE_PUBLIC_PORT'],
    [1, 'GATEHOUSE_ADMIN_PORT'],
    [2, 'GATEHOUSE_SAMPLE_PORT'],
  ])('a port in use names the setting that changes it: %s, %s', async (index, setting) => {
    const port = state.ports[index] ?? 0;
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    const { code, stderr } = await finishProgram(['start'], environment());
    other.close();
    expect(stderr).toContain(`127.0.0.1:${port} is in use`);
    expect(stderr).toContain(`change ${setting}`);
    expect(code).toBe(1);
  });

  test('settings that cannot be used', async () => {
    const env = environment({ GATEHOUSE_PUBLIC_PRT: '1', GATEHOUSE_WORKERS: 'many' });
    const { code, stderr, stdout } = await finishProgram(['start'], env);
    expect(stderr).toContain('did you mean GATEHOUSE_PUBLIC_PORT?');
    expect(stderr).toContain('GATEHOUSE_WORKERS must be a whole number');
    expect(stdout).toBe('');
    expect(code).toBe(1);
  });
});
