import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { databaseName } from './cluster.ts';
import { passwordsAt, type Role, roles } from './passwords.ts';

/**
 * The URLs of the embedded PostgreSQL that another process runs on `dataDir`; undefined: none runs
 * there. Starts nothing and makes nothing.
 */
export async function findRunningPostgres(
  dataDir: string,
): Promise<Readonly<Record<Role, string>> | undefined> {
  const passwordFile = join(dataDir, 'passwords.json');
  if (!(await exists(passwordFile))) return undefined;
  const noted = await readFile(join(dataDir, 'location'), 'utf8').catch(() => '');
  const directory = noted.trim() || (await realpath(dataDir));
  const pidFile = join(directory, 'cluster', 'postmaster.pid');
  const lines = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n');
  // PostgreSQL's postmaster.pid: process, data directory, start, port, socket directory, ..., state.
  const [pid, , , port, socketDirectory, , , state] = lines.map((line) => line.trim());
  if (port === undefined || !socketDirectory || state !== 'ready') return undefined;
  if (!(await exists(join(socketDirectory, `.s.PGSQL.${port}`))) || !isAlive(Number(pid))) {
    return undefined;
  }
  const passwords = await passwordsAt(passwordFile, true);
  const urlOf = (role: Role) =>
    `postgres://${roles[role]}:${passwords[role]}@localhost:${port}/${databaseName}` +
    `?host=${encodeURIComponent(socketDirectory)}`;
  return {
    owner: urlOf('owner'),
    server: urlOf('server'),
    usage: urlOf('usage'),
    superuser: urlOf('superuser'),
  };
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
