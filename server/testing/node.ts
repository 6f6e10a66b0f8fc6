import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAudit } from '#server/audit/audit.ts';
import { createClientCache } from '#server/clients.ts';
import { loadConfig } from '#server/config/config.ts';
import { openFeed } from '#server/feed/feed.ts';
import { openKeys } from '#server/keys/keys.ts';
import type { Node } from '#server/node.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { openDatabase } from '#server/store/database.ts';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';

export interface TestNode {
  readonly node: Node;
  readonly database: TestDatabase;
  /** The log's lines so far. */
  logged(): string;
  close(): Promise<void>;
}

export interface TestNodeOptions {
  /** Settings by their names in the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Share the database and the keys of another node: two nodes of one deployment. */
  readonly beside?: TestNode;
}

/** A real node without listeners: its own pool, feed, keys and caches over a real database. */
export async function openTestNode(options: TestNodeOptions = {}): Promise<TestNode> {
  const database = options.beside?.database ?? (await createTestDatabase());
  const dataDir = options.beside?.node.config.dataDir ?? (await makeDataDir());
  const config = loadConfig({
    env: {
      GATEHOUSE_DATA_DIR: dataDir,
      GATEHOUSE_DATABASE_URL: database.urls.server,
      ...options.env,
    },
    readFile: () => '',
  });
  const lines: string[] = [];
  const log = createLog({ level: 'debug', write: (line) => lines.push(line) });
  const metrics = createMetrics();
  const pool = openDatabase({
    url: database.urls.server,
    applicationName: 'gatehouse-pool',
    connectionsMax: 4,
    connectMsMax: 5000,
    statementMsMax: 10_000,
  });
  const audit = createAudit(pool, log, metrics);
  const clients = createClientCache({ database: pool, metrics });
  const keys = await openKeys({ database: pool, config, audit, log, metrics });
  const feed = await openFeed({
    url: database.urls.server,
    database: pool,
    factsMax: config.factsMax,
    log,
    metrics,
    onClientChanged: (clientId) => clients.invalidate(clientId),
    onKeysChanged: () => keys.reload(),
    onGap: () => clients.clear(),
  });
  return {
    node: { config, database: pool, feed, keys, clients, audit, log, metrics },
    database,
    logged: () => lines.join(''),
    async close() {
      keys.close();
      await audit.close();
      await feed.close();
      await pool.close();
      if (options.beside !== undefined) return;
      await database.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function makeDataDir(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-node-'));
  await chmod(dataDir, 0o700);
  return dataDir;
}
