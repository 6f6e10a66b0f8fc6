import { once } from 'node:events';
import { join } from 'node:path';
import { roles } from '#server/postgres/passwords.ts';
import { freePort } from '#server/postgres/port.ts';
import { migrate } from '#server/schema/migrate.ts';
import { openConnection } from '../driver/connection.ts';
import { get } from '../driver/message.ts';
import { type App, createVisitor, type Endpoints } from '../driver/visitor.ts';
import type { FloorOrder } from '../floor/server.ts';
import { openDatabaseGauge } from '../measure/database.ts';
import { startChild } from './child.ts';
import { type Deployment, redirectUri } from './deployment.ts';
import { mannersOf } from './gatehouse.ts';
import { startFreshPostgres } from './postgres.ts';

/** Starts the floor (bench/floor/server.ts) with Gatehouse's tables. It knows logins only. */
export async function startFloor(): Promise<Deployment> {
  const postgres = await startFreshPostgres();
  const { urls } = postgres;
  await migrate({ ownerUrl: urls.owner, serverRole: roles.server, usageRole: roles.usage });
  const gauge = await openDatabaseGauge(urls.superuser);
  const port = await freePort();
  const logFile = join(postgres.directory, 'floor.log');
  const child = startChild(['bench/floor/server.ts'], { logFile });
  const order: FloorOrder = { port, databaseUrl: urls.server };
  child.process.send(order);
  const gone = once(child.process, 'exit').then(() => 'gone' as const);
  if ((await Promise.race([once(child.process, 'message'), gone])) === 'gone') {
    await gauge.close();
    await postgres.remove();
    throw new Error(`the floor has ended:\n${child.tail()}`);
  }
  const endpoints: Endpoints = {
    issuer: `http://127.0.0.1:${port}`,
    publicPort: port,
    authorization: '/oauth2/auth',
    token: '/oauth2/token',
    userinfo: '/userinfo',
    revocation: '/oauth2/revoke',
    jwks: '/keys',
  };
  const bearer = 'authorization: Bearer as-long-as-a-real-one-0123456789abcdef';
  return {
    product: 'floor',
    processes: 1,
    serverPid: child.pid,
    postgresPid: postgres.pid,
    gauge,
    apps: { RS256: appOf('RS256'), ES256: appOf('ES256') },
    visitor: () =>
      createVisitor(openConnection(port), mannersOf(endpoints, openConnection(port), bearer)),
    async heapBytes() {
      const connection = openConnection(port);
      const { body } = await connection.send(get('/heap'));
      connection.close();
      return Number(body);
    },
    ensureAlive() {
      if (child.hasEnded()) throw new Error(`the floor has ended:\n${child.tail()}`);
    },
    async stop() {
      await gauge.close();
      await child.stop();
      await postgres.remove();
    },
  };
}

function appOf(alg: App['alg']): App {
  return { id: alg, secret: 'as-long-as-a-real-one-0123456789abcdef', redirectUri, alg };
}
