import { randomUUID } from 'node:crypto';
import { Hono } from 'hono';
import { createAudit } from '#server/audit/audit.ts';
import { loadConfig } from '#server/config/config.ts';
import type { Env } from '#server/http/frame/answer.ts';
import { identityRoutes } from '#server/identity/routes.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { type Database, openDatabase, type Statement } from '#server/store/database.ts';
import { randomKeyMaterial } from '#tokens/material.ts';
import { createKeyring } from '#tokens/ring.ts';
import { createSealer } from '#tokens/seal.ts';
import { createTestDatabase } from './harness.ts';

/** One call of the pages at the handshake door. */
export interface DoorCall {
  readonly method: 'GET' | 'PUT';
  readonly path: string;
  readonly body: unknown;
}

/** What the handshake door answers, in Hydra's words. */
export type DoorAnswer = (call: DoorCall) => { readonly status: number; readonly json: unknown };

/** The built-in pages over a database of their own, as one browser sees them. */
export interface TestPages {
  /** Every call at the door so far. */
  readonly calls: readonly DoorCall[];
  /** The names of all statements so far. */
  readonly statements: readonly string[];
  readonly database: Database;
  get(path: string): Promise<Response>;
  /** Posts a form; `token` is taken from the page at `path` unless it is given. */
  submit(path: string, fields: Readonly<Record<string, string>>): Promise<Response>;
  post(path: string, body: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** A browser without this one's cookies. */
  stranger(): TestPages;
  close(): Promise<void>;
}

export interface TestPagesOptions {
  readonly door: DoorAnswer;
  readonly env?: Readonly<Record<string, string>>;
  /** PostgreSQL's time; absent: this process's. */
  readonly nowMs?: () => number;
  /** Another database than one of its own. */
  readonly databaseUrl?: string;
}

/** Starts the pages in this process. */
export async function openTestPages(options: TestPagesOptions): Promise<TestPages> {
  const testDatabase = await createTestDatabase();
  const env = { GATEHOUSE_LOG_LEVEL: 'silent', ...options.env };
  const config = loadConfig({ env, readFile: () => '{}' });
  const pool = openDatabase({
    url: options.databaseUrl ?? testDatabase.urls.server,
    applicationName: 'pages-test',
    connectionsMax: 4,
    connectMsMax: 5_000,
    statementMsMax: 5_000,
  });
  const calls: DoorCall[] = [];
  const statements: string[] = [];
  const database: Database = {
    ...pool,
    query(statement: Statement, values) {
      statements.push(statement.name);
      return pool.query(statement, values);
    },
  };
  const log = createLog({ level: 'silent' });
  const audit = createAudit(pool, log, createMetrics());
  const now = Date.now();
  const ring = createKeyring(randomKeyMaterial(config.issuer, now), now, createSealer());
  const app = new Hono<Env>();
  app.use(async (c, next) => {
    c.set('requestId', randomUUID());
    c.set('address', c.req.header('x-test-address') ?? '192.0.2.1');
    c.set('route', '');
    await next();
  });
  app.route(
    '/',
    identityRoutes({
      audit,
      config,
      database,
      seal: () => ring,
      nowMs: options.nowMs ?? (() => Date.now()),
      log,
      rateLimits: config.rateLimits,
      handshake: async (method, path, body) => {
        const call = { method, path, body };
        calls.push(call);
        return options.door(call);
      },
    }),
  );
  const close = async () => {
    await audit.close();
    await pool.close();
    await testDatabase.close();
  };
  return browser(app, config.issuer, { calls, statements, database, close });
}

function browser(
  app: Hono<Env>,
  issuer: string,
  shared: Pick<TestPages, 'calls' | 'statements' | 'database' | 'close'>,
): TestPages {
  const jar = new Map<string, string>();
  const send = async (path: string, init: RequestInit) => {
    const headers = new Headers(init.headers);
    headers.set('cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '));
    const response = await app.request(new URL(path, issuer), { ...init, headers });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      if (name !== undefined && value !== undefined) jar.set(name, value);
    }
    return response;
  };
  const post: TestPages['post'] = (path, body, headers) =>
    send(path, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    });
  return {
    ...shared,
    get: (path) => send(path, {}),
    post,
    async submit(path, fields) {
      const token = fields.token ?? tokenIn(await (await send(path, {})).text());
      return post(path, new URLSearchParams({ ...fields, token }).toString());
    },
    stranger: () => browser(app, issuer, shared),
  };
}

/** The form token that a page holds, or ''. */
export function tokenIn(page: string): string {
  return /name="token" value="([^"]+)"/.exec(page)?.[1] ?? '';
}
