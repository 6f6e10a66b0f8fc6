import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';

/** A migrated, empty database of one test file. */
export interface TestDatabase {
  readonly urls: {
    readonly owner: string;
    readonly server: string;
    readonly usage: string;
    readonly superuser: string;
  };
  /** Ends what is still connected, and drops it. */
  close(): Promise<void>;
}

/** Clones the migrated template: well under a second. The first call of a run starts PostgreSQL. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const urls = await ask('POST', 'databases');
  const read = (role: string): string => {
    const url = urls.get(role);
    if (typeof url !== 'string') throw new Error(`the test services gave no URL for ${role}`);
    return url;
  };
  const name = new URL(read('owner')).pathname.slice(1);
  return {
    urls: {
      owner: read('owner'),
      server: read('server'),
      usage: read('usage'),
      superuser: read('superuser'),
    },
    async close() {
      await ask('DELETE', `databases/${name}`);
    },
  };
}

/** A port of the loopback interface that no other test of this run gets. */
export async function testPort(): Promise<number> {
  return Number((await ask('POST', 'ports')).get('port'));
}

export interface TestServerOptions {
  /** Settings by their names in the environment; they win over those of the harness. */
  readonly env?: Readonly<Record<string, string>>;
  /** GATEHOUSE_WORKERS. */
  readonly workers?: number;
  /** The database to use; absent: one of its own, dropped when the server stops. */
  readonly database?: TestDatabase;
  /** How long it may take until /health/ready answers 200; absent: 30 s. */
  readonly readyMsMax?: number;
}

export interface TestServer {
  readonly publicUrl: string;
  readonly adminUrl: string;
  readonly adminToken: string;
  readonly pid: number;
  readonly dataDir: string;
  readonly database: TestDatabase;
  /** Everything it has written to stdout and stderr so far. */
  output(): string;
  /** Ends it by `signal` (absent: SIGTERM, a graceful drain) and cleans up; gives the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
/** A drain that takes longer is a failure of its own. */
const stopMsMax = 20_000;
const readMsMax = 5_000;

/**
 * Starts a real server, `cli/main.ts serve`, as a process of its own with nothing of our
 * environment, and waits until it is ready.
 */
export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const database = options.database ?? (await createTestDatabase());
  const dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-server-'));
  await chmod(dataDir, 0o755);
  const publicPort = options.env?.GATEHOUSE_PUBLIC_PORT ?? (await testPort());
  const adminPort = options.env?.GATEHOUSE_ADMIN_PORT ?? (await testPort());
  const adminToken = randomBytes(24).toString('base64url');
  const child = spawn(process.execPath, ['cli/main.ts', 'serve'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: '/usr/bin:/bin',
      GATEHOUSE_PUBLIC_PORT: String(publicPort),
      GATEHOUSE_ADMIN_PORT: String(adminPort),
      GATEHOUSE_SAMPLE_PORT: 'off',
      GATEHOUSE_DATA_DIR: dataDir,
      GATEHOUSE_ADMIN_TOKEN: adminToken,
      GATEHOUSE_DATABASE_URL: database.urls.server,
      GATEHOUSE_DATABASE_OWNER_URL: database.urls.owner,
      GATEHOUSE_DATABASE_USAGE_URL: database.urls.usage,
      GATEHOUSE_RATE_LIMITS: 'off',
      GATEHOUSE_WORKERS: String(options.workers ?? 1),
      ...options.env,
    },
  });
  const written: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => written.push(text));
  }
  const output = () => written.join('');
  const closed = once(child, 'close');
  const publicUrl = `http://127.0.0.1:${publicPort}`;
  const cleanUp = async () => {
    if (options.database === undefined) await database.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    await untilReady(
      child,
      `${publicUrl}/health/ready`,
      options.readyMsMax ?? 30_000,
      output,
      closed,
    );
  } catch (error) {
    await end(child, closed, 'SIGKILL');
    await cleanUp();
    throw error;
  }
  return {
    publicUrl,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    adminToken: options.env?.GATEHOUSE_ADMIN_TOKEN ?? adminToken,
    pid: child.pid ?? 0,
    dataDir,
    database,
    output,
    async stop(signal = 'SIGTERM') {
      const code = await end(child, closed, signal);
      await cleanUp();
      return code;
    },
  };
}

async function untilReady(
  child: ChildProcess,
  url: string,
  msMax: number,
  output: () => string,
  closed: Promise<unknown>,
): Promise<void> {
  const pollMs = 50;
  for (let waitedMs = 0; waitedMs < msMax; waitedMs += pollMs) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      await readOut(closed);
      throw new Error(`the server ended before it was ready:\n${output().slice(-4_000)}`);
    }
    const status = await fetch(url).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200) return;
    await sleep(pollMs);
  }
  throw new Error(`the server was not ready after ${msMax} ms:\n${output().slice(-4_000)}`);
}

async function end(
  child: ChildProcess,
  closed: Promise<unknown>,
  signal: NodeJS.Signals,
): Promise<number | null> {
  if (child.pid === undefined) return child.exitCode;
  if (child.exitCode !== null || child.signalCode !== null) {
    await readOut(closed);
    return child.exitCode;
  }
  const exited = once(child, 'exit');
  child.kill(signal);
  const late = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
  await exited;
  clearTimeout(late);
  await readOut(closed);
  return child.exitCode;
}

/** What it wrote last may still be in the pipe; what outlives it would keep that open. */
async function readOut(closed: Promise<unknown>): Promise<void> {
  await Promise.race([closed, sleep(readMsMax, undefined, { ref: false })]);
}

async function ask(method: 'POST' | 'DELETE', what: string): Promise<ReadonlyMap<string, unknown>> {
  const response = await fetch(`${inject('testServices')}/${what}`, { method });
  if (!response.ok) throw new Error(`the test services answered: ${await response.text()}`);
  const body: unknown = await response.json();
  return new Map(Object.entries(Object(body)));
}
