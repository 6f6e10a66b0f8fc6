import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { roles } from '#server/postgres/passwords.ts';
import { freePort } from '#server/postgres/port.ts';
import { migrate } from '#server/schema/migrate.ts';
import { type Connection, openConnection } from '../driver/connection.ts';
import { object } from '../driver/id-token.ts';
import { get, json, post } from '../driver/message.ts';
import {
  type App,
  createVisitor,
  type Endpoints,
  type Journey,
  type Manners,
  refusalOf,
  scope,
} from '../driver/visitor.ts';
import { openDatabaseGauge } from '../measure/database.ts';
import { type Child, startChild } from './child.ts';
import { type Deployment, redirectUri } from './deployment.ts';
import { startFreshPostgres } from './postgres.ts';

export interface GatehouseOptions {
  readonly processes: number;
  /** Arguments of Node itself, for a profile. */
  readonly nodeArgs?: readonly string[];
  /** Settings by their names in the environment; they win over those of the benchmark. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What only Gatehouse has. */
export interface Gatehouse extends Deployment {
  readonly product: 'gatehouse';
  readonly endpoints: Endpoints;
  readonly adminPort: number;
  readonly adminToken: string;
  /** Asks an admin door; throws unless the status is 2xx. */
  admin(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
}

const readyMsMax = 60_000;

/** Starts it with a new PostgreSQL, as `gatehouse serve --workers N` in production. */
export async function startGatehouse(options: GatehouseOptions): Promise<Gatehouse> {
  const postgres = await startFreshPostgres();
  const { urls } = postgres;
  await migrate({ ownerUrl: urls.owner, serverRole: roles.server, usageRole: roles.usage });
  const publicPort = await freePort();
  const adminPort = await freePort();
  const adminToken = randomBytes(24).toString('base64url');
  const issuer = `http://127.0.0.1:${publicPort}`;
  const child = startChild(['cli/main.ts', 'serve', '--workers', String(options.processes)], {
    ...(options.nodeArgs === undefined ? {} : { nodeArgs: options.nodeArgs }),
    logFile: join(postgres.directory, 'server.log'),
    env: {
      GATEHOUSE_PUBLIC_PORT: String(publicPort),
      GATEHOUSE_ADMIN_PORT: String(adminPort),
      GATEHOUSE_SAMPLE_PORT: 'off',
      GATEHOUSE_DATA_DIR: postgres.directory,
      GATEHOUSE_ADMIN_TOKEN: adminToken,
      GATEHOUSE_DATABASE_URL: urls.server,
      GATEHOUSE_DATABASE_OWNER_URL: urls.owner,
      GATEHOUSE_DATABASE_USAGE_URL: urls.usage,
      GATEHOUSE_LOGIN_URL: 'http://127.0.0.1:9/login',
      GATEHOUSE_CONSENT_URL: 'http://127.0.0.1:9/consent',
      // One address makes all requests here: its limit would be all that is measured.
      GATEHOUSE_RATE_LIMITS: 'off',
      ...options.env,
    },
  });
  const endpoints: Endpoints = {
    issuer,
    publicPort,
    authorization: '/oauth2/auth',
    token: '/oauth2/token',
    userinfo: '/userinfo',
    revocation: '/oauth2/revoke',
    jwks: '/.well-known/jwks.json',
  };
  const bearer = `authorization: Bearer ${adminToken}`;
  const adminConnection = openConnection(adminPort);
  let turn: Promise<unknown> = Promise.resolve();
  function admin(method: string, path: string, body?: unknown) {
    const answered = turn.then(() => askAdmin(adminConnection, bearer, method, path, body));
    turn = answered.catch(() => {});
    return answered;
  }
  try {
    await untilReady(child, publicPort);
    const apps = { RS256: await register(admin, 'RS256'), ES256: await register(admin, 'ES256') };
    const gauge = await openDatabaseGauge(urls.superuser);
    return {
      product: 'gatehouse',
      processes: options.processes,
      serverPid: child.pid,
      postgresPid: postgres.pid,
      gauge,
      apps,
      endpoints,
      adminPort,
      adminToken,
      admin,
      visitor: () =>
        createVisitor(
          openConnection(publicPort),
          mannersOf(endpoints, openConnection(adminPort), bearer),
        ),
      async heapBytes() {
        // A connection of its own: with several processes the next one answers.
        const connection = openConnection(adminPort);
        const metrics = await connection.send(get('/metrics', bearer));
        connection.close();
        return Number(/^nodejs_heap_size_used_bytes (\S+)$/m.exec(metrics.body)?.[1]);
      },
      ensureAlive() {
        if (child.hasEnded()) throw new Error(`Gatehouse has ended:\n${child.tail()}`);
      },
      async stop() {
        adminConnection.close();
        await gauge.close();
        await child.stop();
        await postgres.remove();
      },
    };
  } catch (error) {
    await child.stop();
    await postgres.remove();
    throw error;
  }
}

async function untilReady(child: Child, port: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < readyMsMax; waitedMs += 50) {
    if (child.hasEnded()) throw new Error(`Gatehouse has ended:\n${child.tail()}`);
    const connection = openConnection(port);
    const status = await connection.send(get('/health/ready')).then(
      (answer) => answer.status,
      () => 0,
    );
    connection.close();
    if (status === 200) return;
    await sleep(50);
  }
  throw new Error(`Gatehouse was not ready after ${readyMsMax} ms:\n${child.tail()}`);
}

async function register(admin: Gatehouse['admin'], alg: App['alg']): Promise<App> {
  const made = await admin('POST', '/admin/clients', {
    client_name: `Benchmark ${alg}`,
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    redirect_uris: [redirectUri],
    scope,
    token_endpoint_auth_method: 'client_secret_post',
    id_token_signed_response_alg: alg,
  });
  return { id: String(made.client_id), secret: String(made.client_secret), redirectUri, alg };
}

/** The headless handshake: a login app that answers at once, by the admin doors. */
export function mannersOf(endpoints: Endpoints, connection: Connection, bearer: string): Manners {
  async function accept(kind: 'login' | 'consent', location: string, body: unknown) {
    const challenge = new URL(location).searchParams.get(`${kind}_challenge`);
    if (challenge === null) throw new Error(`no ${kind}_challenge: ${location}`);
    const path =
      `/admin/oauth2/auth/requests/${kind}/accept` +
      `?${kind}_challenge=${encodeURIComponent(challenge)}`;
    const accepted = await askAdmin(connection, bearer, 'PUT', path, body);
    return String(accepted.redirect_to);
  }
  return {
    endpoints,
    parameters: {},
    clientCredentials: {},
    async handshake(journey: Journey, location: string) {
      const login = { subject: journey.subject, remember: false };
      const consentAt = await journey.visit(await accept('login', location, login));
      const consent = { grant_scope: scope.split(' '), remember: false, session: {} };
      return journey.visit(await accept('consent', consentAt, consent));
    },
    introspect: (_app, token) =>
      connection.send(post('/admin/oauth2/introspect', { token }, bearer)),
    close: () => connection.close(),
  };
}

async function askAdmin(
  connection: Connection,
  bearer: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const answer = await connection.send(json(method, path, body, bearer));
  if (answer.status < 200 || answer.status > 299) {
    throw refusalOf(answer, `${method} ${path.split('?')[0]}`);
  }
  return answer.body === '' ? {} : object(answer.body);
}
