import { randomUUID, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { createSecureContext } from 'node:tls';
import type { Hono } from 'hono';
import { type Refusal, refusals } from '#core/refusal.ts';
import { joinRelease } from '#migrate/online/releases.ts';
import { auditActions } from '#server/audit/actions.ts';
import { createAudit } from '#server/audit/audit.ts';
import { system } from '#server/audit/entry.ts';
import { createClientCache } from '#server/clients.ts';
import { baseUrl, type Config, ConfigError, insecureWarnings } from '#server/config/config.ts';
import { variableName } from '#server/config/names.ts';
import type { Engine } from '#server/engine.ts';
import { armFailpoints, withFailpoints } from '#server/failpoints.ts';
import { openFeed } from '#server/feed/feed.ts';
import { openPositionFile } from '#server/feed/position.ts';
import { createAdminGate } from '#server/http/admin/authentication.ts';
import { redirectTo } from '#server/http/authorization/authorization-answer.ts';
import type { Ctx, Env } from '#server/http/frame/answer.ts';
import { type Listener, listen } from '#server/http/frame/listen.ts';
import { answerProblem } from '#server/identity/error.ts';
import { openKeys } from '#server/keys/keys.ts';
import { createLever } from '#server/lever.ts';
import type { Node } from '#server/node.ts';
import type { Log } from '#server/operation/log.ts';
import { createMetrics, type Metrics } from '#server/operation/metrics.ts';
import { createRateLimits } from '#server/operation/rate-limits.ts';
import { startSweeper } from '#server/operation/sweeper.ts';
import { openTracing } from '#server/operation/tracing.ts';
import { ensurePairwiseSalt } from '#server/pairwise-salt.ts';
import { releasedMigrations, schemaLockKey } from '#server/schema/migrate.ts';
import { raiseAccessSeconds } from '#server/store/control.ts';
import { type Database, openDatabase } from '#server/store/database.ts';
import { adminApp } from './admin-app.ts';
import { publicApp } from './public-app.ts';
import { readAdminToken, readPairwiseSalt } from './secrets.ts';
import { createWrites } from './writes.ts';

/** A server that answers. */
export interface RunningServer {
  readonly publicPort: number;
  readonly adminPort: number;
  /** Stops accepting, finishes what is under way within `drainSecondsMax`, and lets go of everything. */
  stop(): Promise<void>;
}

/** How long the pool waits for a connection, and for an answer; then the wire says 503. */
const connectMsMax = 2000;
const statementMsMax = 5000;

/**
 * Opens everything that one process needs, in order, and listens when it is ready. One of several
 * workers gives `share`: what makes its metrics those of all.
 */
export async function runServer(
  given: Config,
  plainLog: Log,
  share: (own: Metrics) => Metrics = (own) => own,
): Promise<RunningServer> {
  const config = { ...given, adminToken: await readAdminToken(given) };
  if (config.databaseUrl === undefined) throw new Error('runServer needs a database URL');
  const tracing = await openTracing(config, plainLog);
  const log = tracing?.log(plainLog) ?? plainLog;
  const metrics = share(createMetrics());
  const failpoints = armFailpoints(config.insecureFailpoints);
  const pool = openDatabase({
    url: config.databaseUrl,
    applicationName: 'gatehouse-pool',
    connectionsMax: config.databaseConnectionsMax,
    connectMsMax,
    statementMsMax,
  });
  const reached = withFailpoints(pool, failpoints);
  const database = tracing?.database(reached) ?? reached;
  await raiseAccessSeconds(database, config.accessTokenSeconds);
  const opened = await openNode(config, database, log, metrics);
  const node = { ...opened, tracing, feed: tracing?.feed(opened.feed) ?? opened.feed };
  const pairwiseSalt = await readPairwiseSalt(config);
  await ensurePairwiseSalt(database, node.keys, pairwiseSalt);
  const writes = createWrites(database, metrics);
  const engine: Engine = {
    ...node,
    failpoints,
    writes: tracing?.writes(writes) ?? writes,
    lever: createLever({ ...node, accessTokenSeconds: config.accessTokenSeconds }),
    rateLimits: config.rateLimits ? createRateLimits() : undefined,
    pairwiseSalt,
    errorPage: (c, refusal) => showError(config, c, refusal),
  };
  watch(engine);
  tellInsecure(engine);
  const admin = adminApp(engine, createAdminGate(engine));
  const listeners = await listenBoth(config, publicApp(engine, admin), admin);
  const sweeper = startSweeper({
    // its lock belongs to the connection, so a pooler must not stand between
    url: config.directDatabaseUrl ?? config.databaseUrl,
    log,
    metrics,
    failpoints,
    auditDays: config.auditDays,
  });
  return {
    publicPort: listeners.public.port,
    adminPort: listeners.admin.port,
    async stop() {
      await Promise.all([
        listeners.public.close(config.drainSecondsMax),
        listeners.admin.close(config.drainSecondsMax),
      ]);
      await sweeper.stop();
      engine.lever.close();
      engine.keys.close();
      await engine.audit.close();
      await engine.feed.close();
      await database.close();
      await tracing?.close();
      log.flush();
    },
  };
}

/** Clients, keys and feed: the feed invalidates the other two. */
async function openNode(
  config: Config,
  database: Database,
  log: Log,
  metrics: Metrics,
): Promise<Node> {
  const audit = createAudit(database, log, metrics);
  const clients = createClientCache({ database, metrics });
  const keys = await openKeys({ database, config, audit, log, metrics });
  const newest = (await releasedMigrations()).at(-1);
  const feed = await openFeed({
    url: config.databaseUrl ?? '',
    database,
    factsMax: config.factsMax,
    log,
    metrics,
    onConnected: (client) => joinRelease(client, schemaLockKey, newest?.number ?? 0),
    onClientChanged: (clientId) => clients.invalidate(clientId),
    onKeysChanged: () => keys.reload(),
    position: await openPositionFile(config.dataDir, log),
    onGap: () => clients.clear(),
  });
  return { config, database, feed, keys, clients, audit, log, metrics };
}

/** What is unsafe about the settings belongs to the history of a deployment, not only to a terminal. */
function tellInsecure({ config, audit }: Engine): void {
  const warnings = insecureWarnings(config);
  if (warnings.length === 0) return;
  audit.count({
    action: 'setting.insecure',
    actor: system,
    target: { kind: auditActions['setting.insecure'].target, id: hostname() },
    reason: warnings.join(' '),
    requestId: randomUUID(),
    address: '',
  });
}

function watch(engine: Engine): void {
  const { metrics, feed, database } = engine;
  metrics.gauge('feed_lag_seconds', () => feed.lagSeconds());
  metrics.gauge('facts_in_memory', () => feed.size());
  metrics.gauge('facts_over_limit', () => (feed.isOver() ? 1 : 0));
  metrics.gauge('database_connections', () => database.counts().total);
  metrics.gauge('database_connections_idle', () => database.counts().idle);
  metrics.gauge('database_waiting', () => database.counts().waiting);
}

async function listenBoth(config: Config, publicSide: Hono<Env>, adminSide: Hono<Env>) {
  const tls = tlsOf(config);
  const admin = await listen(adminSide, { host: config.adminHost, port: config.adminPort, tls });
  const open: Listener = await listen(publicSide, {
    host: config.publicHost,
    port: config.publicPort,
    tls,
  });
  return { public: open, admin };
}

/** Certificate and key as they are listened with; refuses what OpenSSL would not take. */
function tlsOf({ tlsCert, tlsKey }: Config): { cert: string; key: string } | undefined {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  try {
    const tls = { cert: readFileSync(tlsCert, 'utf8'), key: readFileSync(tlsKey, 'utf8') };
    // An empty certificate is none to OpenSSL, and nobody could connect.
    void new X509Certificate(tls.cert);
    createSecureContext(tls);
    return tls;
  } catch (error) {
    const files = `${variableName('tlsCert')} and ${variableName('tlsKey')}`;
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`${files} must be a certificate (PEM) and its key: ${why}.`]);
  }
}

/** Built-in: a page right here. A deployment's own error page is a redirect with parameters. */
function showError(config: Config, c: Ctx, refusal: Refusal): Response | Promise<Response> {
  const { error, status, description } = refusals[refusal.refused];
  const said = refusal.hint ?? description;
  if (config.errorUrl === `${baseUrl(config)}/ui/error`) {
    // A page challenges nobody, and 401 would have to (RFC 9110 §15.5.2).
    return answerProblem(c, { status: status === 401 ? 400 : status, error, description: said });
  }
  const query = new URLSearchParams({
    error,
    error_description: said,
    request_id: c.get('requestId'),
  });
  return redirectTo(`${config.errorUrl}${config.errorUrl.includes('?') ? '&' : '?'}${query}`);
}
