import { join } from 'node:path';
import type { Status } from '#migrate/online/status.ts';
import type { Config } from '#server/config/config.ts';
import { variableName } from '#server/config/names.ts';
import { withClient } from '#server/postgres/cluster.ts';
import { findRunningPostgres } from '#server/postgres/running.ts';
import { migrationStatus } from '#server/schema/migrate.ts';
import { Failure } from './command.ts';
import { databaseFailure } from './failure.ts';

/** A database URL and the setting it came from, for messages. */
export interface DatabaseAddress {
  readonly url: string;
  readonly setting: string;
}

/** The URLs of one database, by what they are for. */
export interface DatabaseAddresses {
  /** Owns the tables, and leads to PostgreSQL itself. */
  readonly owner: DatabaseAddress;
  readonly server: DatabaseAddress;
  readonly usage: DatabaseAddress;
}

/** The addresses that the settings name; undefined: the embedded PostgreSQL is meant. */
export function configuredAddresses(config: Config): DatabaseAddresses | undefined {
  const { databaseUrl, ownerDatabaseUrl, usageDatabaseUrl, directDatabaseUrl } = config;
  if (databaseUrl === undefined) return undefined;
  const server = { url: databaseUrl, setting: variableName('databaseUrl') };
  const named = (url: string | undefined, setting: string) =>
    url === undefined ? undefined : { url, setting };
  return {
    server,
    owner:
      named(directDatabaseUrl, variableName('directDatabaseUrl')) ??
      named(ownerDatabaseUrl, variableName('ownerDatabaseUrl')) ??
      server,
    usage: named(usageDatabaseUrl, variableName('usageDatabaseUrl')) ?? server,
  };
}

/** The addresses that the settings name, else those of the embedded PostgreSQL if it runs. */
export async function reachableAddresses(config: Config): Promise<DatabaseAddresses> {
  const configured = configuredAddresses(config);
  if (configured !== undefined) return configured;
  const directory = embeddedDirectory(config);
  const urls = await findRunningPostgres(directory);
  if (urls === undefined) {
    throw new Failure(
      `${variableName('databaseUrl')} is not set, and no PostgreSQL runs in ${directory}: ` +
        '`npm start` starts it.',
    );
  }
  const setting = variableName('databaseUrl');
  return {
    owner: { url: urls.owner, setting },
    server: { url: urls.server, setting },
    usage: { url: urls.usage, setting },
  };
}

/** Where the embedded PostgreSQL of a deployment lies. */
export function embeddedDirectory(config: Config): string {
  return join(config.dataDir, 'postgres');
}

/** What was applied and what is to come; errors are sentences. */
export function statusOf({ url, setting }: DatabaseAddress): Promise<Status> {
  return migrationStatus(url).catch((error: unknown) => {
    throw databaseFailure(error, url, setting);
  });
}

/** Throws {@link Failure} unless this release can run on the database as it is. */
export async function ensureSchema(addresses: DatabaseAddresses): Promise<void> {
  const { applied, pending: missing } = await statusOf(addresses.owner);
  // A contract only removes: this release runs without it as well.
  const pending = missing.filter(({ phase }) => phase !== 'contract');
  const remedy =
    'run `gatehouse schema up` (`npm run gatehouse -- schema up`), then run this again.';
  if (applied.length === 0) throw new Failure(`The database has no schema yet: ${remedy}`);
  if (pending.length > 0) {
    const count = pending.length === 1 ? 'A migration is' : `${pending.length} migrations are`;
    throw new Failure(`The database's schema is too old. ${count} missing: ${remedy}`);
  }
  const { url, setting } = addresses.server;
  if (url === addresses.owner.url) return;
  await withClient(url, (client) => client.query('select 1')).catch((error: unknown) => {
    throw databaseFailure(error, url, setting);
  });
}
