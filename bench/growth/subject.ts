import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { loadConfig } from '#server/config/config.ts';
import { openKeys } from '#server/keys/keys.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { type Swept, sweepOnce } from '#server/operation/sweeper.ts';
import { freePort } from '#server/postgres/port.ts';
import { openDatabase } from '#server/store/database.ts';
import { startServer, type TestDatabase } from '#server/testing/harness.ts';
import type { OwnPostgres } from '#server/testing/own-postgres.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { makeRefreshToken } from '#tokens/refresh-token.ts';
import { type Deployment, deploymentOf, type RegisteredClient } from '../../e2e/deployment.ts';
import { type Half, pickFlows, type SeededFlow, seed } from './seed.ts';

/** A server that runs over a seeded database. */
export interface Subject {
  readonly rows: number;
  readonly deployment: Deployment;
  readonly superuser: pg.Client;
  readonly databaseName: string;
  readonly urls: TestDatabase['urls'];
  readonly serverPid: number;
  /** A registered app that takes part in the seeded rows; with an id, that one. */
  client(id?: string): RegisteredClient;
  /** The next seeded logins of registered apps, spread over the whole table. */
  readonly flows: (count: number) => Promise<readonly SeededFlow[]>;
  /** The same of others: rounds that use each login many times leave those above as they were. */
  readonly cpuFlows: (count: number) => Promise<readonly SeededFlow[]>;
  /** Lets sweepers in, which were kept away. */
  freeSweep(): Promise<void>;
  /** Sweeps all tables once, as a node does every five minutes. */
  sweep(): Promise<Swept>;
  /** The refresh token of a seeded chain, as the server would have made it. */
  refreshToken(flow: SeededFlow): string;
  close(): Promise<void>;
}

export interface SubjectOptions {
  readonly postgres: OwnPostgres;
  /** 0: its tables are empty. */
  readonly rows: number;
  readonly analyze: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Before the server starts. */
  readonly before?: (client: pg.Client) => Promise<void>;
  /** Told what takes its time. */
  readonly say?: (sentence: string) => void;
}

const silent = createLog({ level: 'silent', write: () => {} });
const registeredApps = 4;
/** Keeps the sweeper of the server away: it would remove, while it is measured, what was seeded. */
const sweepLock = 'select pg_advisory_lock(4744002)';
const sweepUnlock = 'select pg_advisory_unlock(4744002)';

/** Makes a database of its own in this PostgreSQL, starts a server on it, and seeds it. */
export async function openSubject(options: SubjectOptions): Promise<Subject> {
  const { postgres, rows } = options;
  const databaseName = `rows_${rows}_${randomBytes(3).toString('hex')}`;
  const urls = await createDatabase(postgres, databaseName);
  const superuser = new pg.Client({ connectionString: urls.superuser, application_name: 'seed' });
  // A connection that breaks fails the statement under way, which is where it is told.
  superuser.on('error', () => {});
  await superuser.connect();
  await superuser.query('create extension if not exists pg_stat_statements');
  await superuser.query(sweepLock);
  await options.before?.(superuser);
  const server = await startServer({
    readyMsMax: 300_000,
    database: { urls, close: async () => {} },
    env: {
      GATEHOUSE_PUBLIC_PORT: String(await freePort()),
      GATEHOUSE_ADMIN_PORT: String(await freePort()),
      GATEHOUSE_LOG_LEVEL: 'warn',
      GATEHOUSE_REFRESH_GRACE_SECONDS: '1',
      ...options.env,
    },
  });
  const deployment = deploymentOf(server);
  const clients = new Map<string, RegisteredClient>();
  for (let i = 0; i < registeredApps; i++) {
    const made = await deployment.register();
    clients.set(made.id, made);
  }
  const keys = await readKeyring(urls.server, server.dataDir, deployment.issuer);
  const { rows: mac } = await superuser.query<{ kid: string }>(
    `select k.kid from key k where k.use = 'mac' and k.set_name like '%refresh%'
       and k.active_at <= now() order by k.active_at desc limit 1`,
  );
  if (rows > 0) {
    options.say?.(`seeding ${rows} rows`);
    await seed(superuser, {
      rows,
      clientIds: [...clients.keys()],
      macKid: mac[0]?.kid ?? '',
      analyze: options.analyze,
    });
  }
  const flowsOf = (half: Half) => {
    let next = 0;
    return async (count: number) => {
      const picked = await pickFlows(superuser, rows, half, next, count);
      next += count;
      return picked;
    };
  };
  return {
    rows,
    deployment,
    superuser,
    databaseName,
    urls,
    serverPid: server.pid,
    client(id) {
      const found = id === undefined ? [...clients.values()][0] : clients.get(id);
      if (found === undefined) throw new Error(`${id} is no registered app`);
      return found;
    },
    flows: flowsOf('plans'),
    cpuFlows: flowsOf('cpu'),
    async freeSweep() {
      await superuser.query(sweepUnlock);
    },
    async sweep() {
      await superuser.query(sweepUnlock);
      try {
        return await sweepOnce({ url: urls.server, log: silent, metrics: createMetrics() });
      } finally {
        await superuser.query(sweepLock);
      }
    },
    refreshToken({ id: chainId, generation }) {
      const macKid = mac[0]?.kid ?? '';
      const token = makeRefreshToken(keys, { chainId, generation, macKid });
      if (token === undefined) throw new Error('the MAC key of the seed is not there');
      return token;
    },
    async close() {
      await server.stop();
      await superuser.end();
    },
  };
}

async function createDatabase(postgres: OwnPostgres, name: string): Promise<TestDatabase['urls']> {
  const { urls } = postgres.database;
  const inDatabase = (url: string, database: string) => {
    const changed = new URL(url);
    changed.pathname = `/${database}`;
    return changed.href;
  };
  const client = new pg.Client({ connectionString: inDatabase(urls.superuser, 'postgres') });
  await client.connect();
  await client.query(`create database ${name} template gatehouse`);
  await client.end();
  return {
    owner: inDatabase(urls.owner, name),
    server: inDatabase(urls.server, name),
    usage: inDatabase(urls.usage, name),
    superuser: inDatabase(urls.superuser, name),
  };
}

/** The keys of a server that runs, read as a second node would. */
async function readKeyring(url: string, dataDir: string, issuer: string): Promise<Keyring> {
  const env = {
    GATEHOUSE_DATABASE_URL: url,
    GATEHOUSE_DATA_DIR: dataDir,
    GATEHOUSE_ISSUER: issuer,
  };
  const config = loadConfig({ env, readFile: () => '' });
  const database = openDatabase({
    url,
    applicationName: 'seed',
    connectionsMax: 1,
    connectMsMax: 5000,
    statementMsMax: 5000,
  });
  const keys = await openKeys({
    database,
    config,
    audit: { write: async () => {} },
    log: silent,
    metrics: createMetrics(),
  });
  const ring = keys.current();
  keys.close();
  await database.close();
  return ring;
}
