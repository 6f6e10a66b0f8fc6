import { execFile } from 'node:child_process';
import { chown, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import type { Layout } from './layout.ts';
import { type Passwords, roles, scramVerifier } from './passwords.ts';

export const databaseName = 'gatehouse';

/**
 * Makes a new PostgreSQL cluster. Complete or not there at all: it is built beside its place and
 * moved, so a start that was killed half-way leaves nothing to repair.
 */
export async function createCluster(
  binaries: Binaries,
  layout: Layout,
  superuserPassword: string,
): Promise<void> {
  const { account, clusterDir } = layout;
  const partial = `${clusterDir}.new-${process.pid}`;
  const passwordFile = `${partial}.password`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { mode: 0o700 });
  await writeFile(passwordFile, superuserPassword, { mode: 0o600 });
  if (account) {
    await chown(partial, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }
  const args = [
    `--pgdata=${partial}`,
    `--username=${roles.superuser}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // The same order of text on every machine, whatever locales are installed.
    '--locale=C',
    // PostgreSQL 17 was the first with it; bytes sort alike either way.
    ...(Number(binaries.majorVersion) >= 17
      ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8']
      : []),
    '--no-instructions',
  ];
  try {
    await promisify(execFile)(binaries.initdb, args, {
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
      cwd: '/',
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    });
    // Fails if another start was faster; then its cluster is the one.
    await rename(partial, clusterDir).catch(() => {});
  } catch (cause) {
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    throw new EmbeddedPostgresError(`PostgreSQL could not make its data in ${partial}: ${said}`, {
      cause,
    });
  } finally {
    await rm(passwordFile, { force: true });
    await rm(partial, { recursive: true, force: true });
  }
}

/** Makes what is missing of our roles and the database; `url` names the superuser and a database. */
export async function prepareDatabase(
  url: (database: string) => string,
  passwords: Passwords,
  statementStatistics: boolean,
): Promise<void> {
  await withClient(url('postgres'), async (client) => {
    for (const role of ['owner', 'server', 'usage'] as const) {
      const name = roles[role];
      const found = await client.query('select 1 from pg_roles where rolname = $1', [name]);
      if (found.rowCount !== 0) continue;
      const verifier = client.escapeLiteral(scramVerifier(passwords[role]));
      await client.query(`create role ${client.escapeIdentifier(name)} login password ${verifier}`);
    }
    const found = await client.query('select 1 from pg_database where datname = $1', [
      databaseName,
    ]);
    if (found.rowCount === 0) {
      await client.query(`create database ${databaseName} owner ${roles.owner}`);
    }
  });
  if (!statementStatistics) return;
  await withClient(url(databaseName), async (client) => {
    // An aid for operators: nothing of ours depends on it.
    await client.query('create extension if not exists pg_stat_statements').catch(() => {});
  });
}

/** Runs `work` on one connection of its own. */
export async function withClient<T>(
  connectionString: string,
  work: (client: pg.Client) => Promise<T>,
  applicationName?: string,
): Promise<T> {
  const client = new pg.Client({
    connectionString,
    connectionTimeoutMillis: 10_000,
    ...(applicationName === undefined ? {} : { application_name: applicationName }),
  });
  // A connection that breaks also fails the statement under way, which is where it is handled.
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
