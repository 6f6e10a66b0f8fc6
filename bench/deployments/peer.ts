import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePort } from '#server/postgres/port.ts';
import { openConnection } from '../driver/connection.ts';
import { get, post } from '../driver/message.ts';
import {
  type App,
  createVisitor,
  type Endpoints,
  type Journey,
  type Manners,
  secretOf,
} from '../driver/visitor.ts';
import { openDatabaseGauge } from '../measure/database.ts';
import type { PeerOrder } from '../peer/configuration.ts';
import { schema } from '../peer/schema.ts';
import { startChild } from './child.ts';
import { type Deployment, redirectUri } from './deployment.ts';
import { startFreshPostgres } from './postgres.ts';

export interface PeerOptions {
  /** Arguments of Node itself, for a profile. */
  readonly nodeArgs?: readonly string[];
}

/** What `oidc-provider` has beside the doors of a {@link Deployment}. */
export interface Peer extends Deployment {
  readonly product: 'oidc-provider';
  readonly issuer: string;
}

/** Starts `oidc-provider`, one process, with a new PostgreSQL set up like that of Gatehouse. */
export async function startPeer(options: PeerOptions = {}): Promise<Peer> {
  const postgres = await startFreshPostgres();
  const gauge = await openDatabaseGauge(postgres.urls.superuser);
  await gauge.run(schema);
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const apps = { RS256: appOf('RS256'), ES256: appOf('ES256') };
  const child = startChild(['bench/peer/server.ts'], {
    ...(options.nodeArgs === undefined ? {} : { nodeArgs: options.nodeArgs }),
    logFile: join(postgres.directory, 'peer.log'),
    env: { NODE_ENV: 'production' },
  });
  const order: PeerOrder = {
    issuer,
    port,
    // Its rows belong to the superuser here: there are no roles to keep apart.
    databaseUrl: postgres.urls.superuser,
    apps: Object.values(apps),
  };
  child.process.send(order);
  const gone = once(child.process, 'exit').then(() => 'gone' as const);
  if ((await Promise.race([once(child.process, 'message'), gone])) === 'gone') {
    await gauge.close();
    await postgres.remove();
    throw new Error(`oidc-provider has ended:\n${child.tail()}`);
  }
  const endpoints: Endpoints = {
    issuer,
    publicPort: port,
    authorization: '/auth',
    token: '/token',
    userinfo: '/me',
    revocation: '/token/revocation',
    jwks: '/jwks',
  };
  return {
    product: 'oidc-provider',
    processes: 1,
    issuer,
    serverPid: child.pid,
    postgresPid: postgres.pid,
    gauge,
    apps,
    visitor: () => createVisitor(openConnection(port), mannersOf(endpoints)),
    async heapBytes() {
      const connection = openConnection(port);
      const { body } = await connection.send(get('/heap'));
      connection.close();
      return Number(body);
    },
    ensureAlive() {
      if (child.hasEnded()) throw new Error(`oidc-provider has ended:\n${child.tail()}`);
    },
    async stop() {
      await gauge.close();
      await child.stop();
      await postgres.remove();
    },
  };
}

function appOf(alg: App['alg']): App {
  const secret = randomBytes(32).toString('base64url');
  return { id: `benchmark-${alg}`, secret, redirectUri, alg };
}

function mannersOf(endpoints: Endpoints): Manners {
  const connection = openConnection(endpoints.publicPort);
  const submit = (journey: Journey, location: string, action: string) =>
    journey.send((cookies) =>
      post(`${location}/${action}`, { subject: journey.subject }, ...cookies),
    );
  return {
    endpoints,
    // Without it a web application is never given offline_access (OpenID Connect Core §11).
    parameters: { prompt: 'consent' },
    clientCredentials: {},
    async handshake(journey, location) {
      const resumed = await journey.visit(await submit(journey, location, 'login'));
      return journey.visit(await submit(journey, resumed, 'consent'));
    },
    introspect: (app, token) =>
      connection.send(post('/token/introspection', { token, ...secretOf(app) })),
    close: () => connection.close(),
  };
}
