import { join } from 'node:path';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { type Deployment, deploy } from './deployment.ts';

type Environment = Readonly<Record<string, string>>;

/** Two server processes on one PostgreSQL, as one deployment. */
export interface TwoNodes {
  readonly a: Deployment;
  readonly b: Deployment;
  /** Both, to be taken in turn. */
  readonly nodes: readonly [Deployment, Deployment];
  readonly database: TestDatabase;
  readonly masterKeyPath: string;
  close(): Promise<void>;
}

export interface TwoNodesOptions {
  /** Settings of both. */
  readonly env?: Environment;
  /** Settings of the second node alone, by the database's URLs. */
  readonly envOfB?: (urls: TestDatabase['urls']) => Environment;
  /** Absent: a database of its own. */
  readonly database?: TestDatabase;
}

/** Starts both; the second has the first one's issuer, keys, salt and admin token. */
export async function deployTwo(options: TwoNodesOptions = {}): Promise<TwoNodes> {
  const database = options.database ?? (await createTestDatabase());
  const shared = { GATEHOUSE_PAIRWISE_SALT: 'the-salt-of-both-nodes', ...options.env };
  const a = await deploy({ database, env: shared });
  const masterKeyPath = join(a.server.dataDir, 'master-key');
  const env = {
    ...shared,
    GATEHOUSE_ISSUER: a.issuer,
    GATEHOUSE_MASTER_KEYS: masterKeyPath,
    GATEHOUSE_ADMIN_TOKEN: a.server.adminToken,
    ...options.envOfB?.(database.urls),
  };
  const b = await deploy({ database, env });
  return {
    a,
    b,
    nodes: [a, b],
    database,
    masterKeyPath,
    async close() {
      await Promise.all([a.close(), b.close()]);
      if (options.database === undefined) await database.close();
    },
  };
}
