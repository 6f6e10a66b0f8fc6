import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type Database, openDatabase } from '#server/store/database.ts';
import type { Mortal } from '#server/store/feed.ts';
import { giveGrants, type NewGrant } from '#server/store/grant.ts';
import { type NewChain, redeemCodes } from '#server/store/redemption.ts';
import type { RefreshAttempt } from '#server/store/refresh.ts';
import { beginSessions, type NewSession } from '#server/store/session.ts';
import { createTestDatabase, type TestDatabase } from './harness.ts';

/** A pool of the server role over a database of its own, and a connection that sees the rows. */
export interface TestStore {
  readonly database: Database;
  readonly rows: pg.Client;
  readonly urls: TestDatabase['urls'];
  close(): Promise<void>;
}

/** Opens the store of one test file. */
export async function openTestStore(): Promise<TestStore> {
  const test = await createTestDatabase();
  const database = openDatabase({
    url: test.urls.server,
    applicationName: 'gatehouse-pool',
    connectionsMax: 10,
    connectMsMax: 10_000,
    statementMsMax: 30_000,
  });
  const rows = new pg.Client({ connectionString: test.urls.owner });
  await rows.connect();
  return {
    database,
    rows,
    urls: test.urls,
    async close() {
      await rows.end();
      await database.close();
      await test.close();
    },
  };
}

const daySeconds = 86_400;

/** A login of a person of its own, unless `over` says otherwise. */
export function newSession(over: Partial<NewSession> = {}): NewSession {
  return {
    id: randomUUID(),
    subject: `user-${randomUUID()}`,
    loginBorn: 0,
    authenticatedAt: 1_700_000_000,
    acr: 'silver',
    amr: ['pwd', 'otp'],
    remember: false,
    idpSessionId: null,
    lifetimeSeconds: daySeconds,
    clientId: 'app',
    ...over,
  };
}

/** What an access token carries of a login of its own, unless `over` says otherwise. */
export function newMortal(over: Partial<Mortal> = {}): Mortal {
  return {
    tokenId: randomUUID(),
    chainId: randomUUID(),
    grantId: randomUUID(),
    grantVersion: 1,
    sessionId: randomUUID(),
    online: false,
    subject: `user-${randomUUID()}`,
    clientId: `app-${randomUUID()}`,
    loginBorn: 0,
    grantBorn: 0,
    ...over,
  };
}

/** A consent of the person of `session`, in the flow that made it. */
export function newGrant(session: NewSession, over: Partial<NewGrant> = {}): NewGrant {
  return {
    id: randomUUID(),
    flowId: session.id,
    subject: session.subject,
    clientId: session.clientId,
    sessionId: session.id,
    scope: ['openid', 'offline_access'],
    audience: [],
    loginBorn: session.loginBorn,
    grantBorn: session.loginBorn,
    remember: false,
    rememberSeconds: 0,
    skipped: false,
    detail: {},
    ...over,
  };
}

/** What redeeming the code of that consent writes. */
export function newChain(grant: NewGrant, over: Partial<NewChain> = {}): NewChain {
  return {
    id: grant.flowId,
    attempt: randomUUID(),
    clientId: grant.clientId,
    subject: grant.subject,
    grantId: grant.id,
    sessionId: grant.sessionId,
    online: false,
    refreshable: true,
    macKid: 'mac-1',
    scope: grant.scope,
    audience: grant.audience,
    resource: ['https://a.example', 'https://b.example'],
    cnf: null,
    loginBorn: grant.loginBorn,
    grantBorn: grant.grantBorn,
    authenticatedAt: 1_700_000_000,
    acr: 'silver',
    amr: ['pwd', 'otp'],
    claims: null,
    idleSeconds: daySeconds,
    absoluteSeconds: null,
    keepSeconds: 3600,
    ...over,
  };
}

/** A use of the first refresh token of that chain. */
export function newAttempt(chain: NewChain, over: Partial<RefreshAttempt> = {}): RefreshAttempt {
  return {
    chainId: chain.id,
    generation: 0,
    attempt: randomUUID(),
    clientId: chain.clientId,
    cnf: null,
    macKid: 'mac-2',
    scope: null,
    resource: null,
    graceSeconds: 60,
    idleSeconds: daySeconds,
    keepSeconds: 3600,
    ...over,
  };
}

export interface LiveLogin {
  readonly session: NewSession;
  readonly grant: NewGrant;
  readonly chain: NewChain;
}

/** Writes a login, its consent and its redeemed code, as a first login does. */
export async function writeLogin(
  database: Database,
  over: {
    readonly session?: Partial<NewSession>;
    readonly grant?: Partial<NewGrant>;
    readonly chain?: Partial<NewChain>;
  } = {},
): Promise<LiveLogin> {
  const session = newSession(over.session);
  const asked = newGrant(session, over.grant);
  const [begun] = await beginSessions(database, [session]);
  if (begun?.kind !== 'live') throw new Error(`the session is ${begun?.kind}`);
  const [given] = await giveGrants(database, [asked]);
  if (given?.kind !== 'granted') throw new Error(`the grant is ${given?.kind}`);
  const grant = { ...asked, id: given.id };
  const chain = newChain(grant, over.chain);
  const [outcome] = await redeemCodes(database, [chain]);
  if (outcome !== 'redeemed') throw new Error(`the code is ${outcome}`);
  return { session, grant, chain };
}
