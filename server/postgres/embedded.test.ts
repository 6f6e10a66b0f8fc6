import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from './cluster.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts';

let directory = '';
const started: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gatehouse-embedded-'));
  await chmod(directory, 0o755);
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(started.map((postgres) => postgres.stop()));
  await rm(directory, { recursive: true, force: true });
});

async function start(dataDir: string, log?: (sentence: string) => void) {
  const postgres = await startEmbeddedPostgres({ dataDir, ...(log ? { log } : {}) });
  started.push(postgres);
  return postgres;
}

/** Another process that starts PostgreSQL on `dataDir` and then only waits. */
async function startElsewhere(dataDir: string): Promise<ChildProcess> {
  const module = fileURLToPath(new URL('./embedded.ts', import.meta.url));
  const code = `
    const { startEmbeddedPostgres } = await import(${JSON.stringify(module)});
    await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)} });
    console.log('ready');
    setInterval(() => {}, 60_000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

async function one(url: string, text: string): Promise<unknown> {
  const rows = await withClient(url, (client) => client.query({ text, rowMode: 'array' }));
  return rows.rows[0]?.[0];
}

test('data outlives a restart, with durable settings, a role per job and files of mode 600', async () => {
  const dataDir = join(directory, 'restart');
  const first = await start(dataDir);
  expect(await one(first.urls.owner, 'select current_user::text')).toBe('gatehouse_owner');
  expect(await one(first.urls.server, 'select current_user::text')).toBe('gatehouse_server');
  expect(await one(first.urls.usage, 'select current_user::text')).toBe('gatehouse_usage');
  const tcp = first.urls.owner.replace(/localhost:.*$/, `127.0.0.1:${first.port}/gatehouse`);
  expect(await one(tcp, 'select inet_server_addr()::text')).toBe('127.0.0.1/32');
  expect(await one(first.urls.owner, 'show fsync')).toBe('on');
  expect(await one(first.urls.owner, 'show synchronous_commit')).toBe('on');
  const extension = 'select count(*)::int from pg_stat_statements limit 1';
  expect(await one(first.urls.superuser, extension)).toBeTypeOf('number');
  await withClient(first.urls.owner, (client) => client.query('create table kept (n int)'));
  await expect(
    withClient(first.urls.server, (client) => client.query('create table refused (n int)')),
  ).rejects.toThrow(/permission denied/);
  expect((await stat(join(dataDir, 'passwords.json'))).mode & 0o777).toBe(0o600);
  await first.stop();
  expect(await first.ended).toMatchObject({ expected: true });
  const second = await start(dataDir);
  expect(await one(second.urls.owner, 'select count(*)::int from kept')).toBe(0);
  await second.stop();
});

test('a role password is in no statement that statistics or logs could keep', async () => {
  const dataDir = join(directory, 'passwords');
  const postgres = await start(dataDir);
  const secrets: unknown = JSON.parse(await readFile(join(dataDir, 'passwords.json'), 'utf8'));
  const statements = await one(
    postgres.urls.superuser,
    `select string_agg(query, ' ') from pg_stat_statements where query like 'create role%'`,
  );
  for (const secret of Object.values(Object(secrets))) expect(statements).not.toContain(secret);
  await postgres.stop();
});

test('a second start on the same directory is refused while the first runs, and works after its SIGKILL', async () => {
  const dataDir = join(directory, 'killed');
  const holder = await startElsewhere(dataDir);
  await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow(
    new RegExp(`already runs on .*started by process ${holder.pid}.*GATEHOUSE_DATA_DIR`),
  );
  holder.kill('SIGKILL');
  const next = await start(dataDir);
  expect(await one(next.urls.owner, 'select 1')).toBe(1);
  await next.stop();
});

test('a PostgreSQL left behind without a watchdog is shut down by the next start', async () => {
  const dataDir = join(directory, 'orphaned');
  const holder = await startElsewhere(dataDir);
  const childrenFile = `/proc/${holder.pid}/task/${holder.pid}/children`;
  const offspring = (await readFile(childrenFile, 'utf8')).trim().split(' ').map(Number);
  for (const pid of offspring) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    if (command.includes('gatehouse-watchdog')) process.kill(pid, 'SIGKILL');
  }
  holder.kill('SIGKILL');
  const said: string[] = [];
  const next = await start(dataDir, (sentence) => said.push(sentence));
  expect(said.join()).toMatch(/an earlier start left behind/);
  expect(await one(next.urls.owner, 'select 1')).toBe(1);
  await next.stop();
});

test('a crash of PostgreSQL itself is told, and loses nothing that was committed', async () => {
  const dataDir = join(directory, 'crashed');
  const first = await start(dataDir);
  await withClient(first.urls.owner, (client) => client.query('create table kept (n int)'));
  process.kill(first.pid, 'SIGKILL');
  expect(await first.ended).toMatchObject({ expected: false, signal: 'SIGKILL' });
  const second = await start(dataDir);
  expect(await one(second.urls.owner, 'select count(*)::int from kept')).toBe(0);
  await second.stop();
});

test('a path too long for a socket, and a pid file that names a stranger, are no obstacle', async () => {
  const dataDir = join(directory, 'deep'.repeat(20), 'data');
  await mkdir(dataDir, { recursive: true });
  const first = await start(dataDir);
  expect(decodeURIComponent(first.urls.owner)).toContain(join(tmpdir(), 'gatehouse-'));
  const pidFile = join(dataDir, 'cluster', 'postmaster.pid');
  const lines = (await readFile(pidFile, 'utf8')).split('\n');
  await first.stop();
  await writeFile(pidFile, [String(process.pid), ...lines.slice(1)].join('\n'), { mode: 0o666 });
  await chmod(pidFile, 0o666);
  const second = await start(dataDir);
  expect(await one(second.urls.owner, 'select 1')).toBe(1);
  await second.stop();
});

test('a taken port is named', async () => {
  const first = await start(join(directory, 'port-1'));
  await expect(
    startEmbeddedPostgres({ dataDir: join(directory, 'port-2'), port: first.port }),
  ).rejects.toThrow(`PostgreSQL cannot listen on 127.0.0.1:${first.port}: the port is taken.`);
  await first.stop();
});

test.runIf(process.getuid?.() === 0)(
  'as root, data below a private directory is kept where the unprivileged user can reach it',
  async () => {
    const locked = join(directory, 'private');
    await mkdir(locked, { mode: 0o700 });
    const dataDir = join(locked, 'data');
    const said: string[] = [];
    const first = await start(dataDir, (sentence) => said.push(sentence));
    expect(said.join()).toContain('cannot be reached by user');
    await withClient(first.urls.owner, (client) => client.query('create table kept (n int)'));
    await first.stop();
    const second = await start(dataDir);
    expect(await one(second.urls.owner, 'select count(*)::int from kept')).toBe(0);
    await second.stop();
    const location = (await readFile(join(dataDir, 'location'), 'utf8')).trim();
    await rm(location, { recursive: true });
  },
);
