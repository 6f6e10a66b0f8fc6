import { fileURLToPath } from 'node:url';
import { type Migration, readMigrations } from '#migrate/online/migration.ts';
import type { Tell } from '#migrate/online/notice.ts';
import { down, type OnlineOptions, status, up } from '#migrate/online/runner.ts';
import type { Status } from '#migrate/online/status.ts';
import { grantRoles, sameRole } from './grants.ts';

export interface SchemaOptions {
  /**
   * The owner's URL. It must lead to PostgreSQL itself, not to a pooler in transaction mode:
   * GATEHOUSE_DATABASE_DIRECT_URL where there is one.
   */
  readonly ownerUrl: string;
  /** Where the SQL files are; absent: this release's own. */
  readonly directory?: string;
  /** Told what is done, for how long it waits and for whom. */
  readonly tell?: Tell;
}

export interface MigrateOptions extends SchemaOptions {
  /** Gets DML on every table; absent: no grants. See {@link roleOf}. */
  readonly serverRole?: string;
  /** May connect and see the schema, nothing more. */
  readonly usageRole?: string;
  /** The number of the last migration to apply; absent: all. */
  readonly until?: number;
}

/** Any number that nothing else in the database locks: "gatehouse" on a telephone's keys. */
export const schemaLockKey = 428_346_873;

/** This release's migrations, by number. */
export function releasedMigrations(
  directory = fileURLToPath(new URL('.', import.meta.url)),
): Promise<readonly Migration[]> {
  return readMigrations(directory);
}

/**
 * Brings the database to this release's schema, and lets the other roles in; see `up` of
 * migrate/online for what it refuses. Any number of nodes may start at once.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const roles = [options.serverRole, options.usageRole];
  const settled: OnlineOptions = {
    ...(await onlineOptions(options)),
    async afterwards(client) {
      for (const role of roles) {
        if (role === undefined || (await sameRole(client, role))) continue;
        await grantRoles(client, role, role === options.serverRole ? 'server' : 'usage');
      }
    },
  };
  await up(settled, options.until);
}

/** Takes all migrations above number `to` back; see `down` of migrate/online. */
export async function takeBack(options: SchemaOptions, to: number): Promise<void> {
  await down(await onlineOptions(options), to);
}

/** What was applied and what is to come. Changes nothing; refuses as {@link migrate} does. */
export async function migrationStatus(ownerUrl: string, directory?: string): Promise<Status> {
  const options = directory === undefined ? { ownerUrl } : { ownerUrl, directory };
  return status(await onlineOptions(options));
}

/** The role that a connection URL signs in as; undefined where it names none. */
export function roleOf(url: string): string | undefined {
  const { username } = new URL(url);
  return username === '' ? undefined : decodeURIComponent(username);
}

async function onlineOptions(options: SchemaOptions): Promise<OnlineOptions> {
  return {
    url: options.ownerUrl,
    migrations: await releasedMigrations(options.directory),
    applicationName: 'gatehouse-migrate',
    lockKey: schemaLockKey,
    ...(options.tell === undefined ? {} : { tell: options.tell }),
  };
}
