import { randomInt } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrationOf } from '#migrate/online/migration.ts';
import { up } from '#migrate/online/runner.ts';
import { withClient } from '#server/postgres/cluster.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#server/postgres/embedded.ts';
import { roles } from '#server/postgres/passwords.ts';
import { isFree } from '#server/postgres/port.ts';
import { migrate, releasedMigrations, schemaLockKey } from '#server/schema/migrate.ts';

/** What test files share: one PostgreSQL, and the numbers of ports that nobody else was given. */
export interface Services {
  /** Clones the migrated template; the URLs by role. */
  createDatabase(): Promise<Readonly<Record<string, string>>>;
  dropDatabase(name: string): Promise<void>;
  port(): Promise<number>;
  close(): Promise<void>;
}

/** Below the range of outgoing connections, and apart from what other programs here prefer. */
const firstPort = 10_240;
const lastPort = 19_999;

/**
 * Starts nothing until the first test file asks. `installation` is the directory over the `bin` of
 * a PostgreSQL of this machine; '': the one that npm brings.
 */
export function openServices(installation = '', nextSchema = false): Services {
  let running: Promise<{ postgres: EmbeddedPostgres; dataDir: string }> | undefined;
  // Ports go up from a random one, so that two test runs on one machine seldom meet.
  let next = randomInt(firstPort, lastPort);
  let created = 0;
  let turn: Promise<unknown> = Promise.resolve();
  const oneByOne = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work);
    turn = result.catch(() => {});
    return result;
  };
  const postgres = async () => {
    running ??= startTemplate(installation, nextSchema);
    return (await running).postgres;
  };
  return {
    createDatabase: () =>
      oneByOne(async () => {
        const { urls } = await postgres();
        created += 1;
        const name = `test_${created}`;
        await withClient(inDatabase(urls.superuser, 'postgres'), (client) =>
          client.query(`create database ${name} template gatehouse owner ${roles.owner}`),
        );
        return Object.fromEntries(
          Object.entries(urls).map(([role, url]) => [role, inDatabase(url, name)]),
        );
      }),
    dropDatabase: async (name) => {
      const { urls } = await postgres();
      if (!/^test_\d+$/.test(name)) throw new Error(`${name} is not a test database`);
      await withClient(inDatabase(urls.superuser, 'postgres'), (client) =>
        client.query(`drop database if exists ${name} with (force)`),
      );
    },
    port: () =>
      oneByOne(async () => {
        for (;;) {
          next = next >= lastPort ? firstPort : next + 1;
          if (await isFree(next)) return next;
        }
      }),
    async close() {
      if (running === undefined) return;
      // A start that failed was reported to whoever asked, and left nothing to close.
      const { postgres, dataDir } = (await running.catch(() => undefined)) ?? {};
      if (postgres === undefined || dataDir === undefined) return;
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function startTemplate(installation: string, nextSchema: boolean) {
  const dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-test-'));
  await chmod(dataDir, 0o755);
  const postgres = await startEmbeddedPostgres({
    dataDir,
    ...(installation === '' ? {} : { installation }),
    // Thrown away at the end: nothing here has to survive a loss of power.
    settings: { fsync: 'off', full_page_writes: 'off', max_connections: '300' },
  });
  await migrate({
    ownerUrl: postgres.urls.owner,
    serverRole: roles.server,
    usageRole: roles.usage,
  });
  if (nextSchema) await putNextSchema(postgres.urls.owner);
  return { postgres, dataDir };
}

/** What a next release might add: this release must not mind (R8). */
async function putNextSchema(ownerUrl: string): Promise<void> {
  const sql = await readFile(new URL('./next.expand.sql', import.meta.url), 'utf8');
  await up({
    url: ownerUrl,
    migrations: [...(await releasedMigrations()), migrationOf('9000_next.expand.sql', sql)],
    applicationName: 'next-release',
    lockKey: schemaLockKey,
  });
}

function inDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
