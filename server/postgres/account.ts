import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { EmbeddedPostgresError } from './embedded-error.ts';

const run = promisify(execFile);

/** The unprivileged user of the operating system that PostgreSQL runs as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const ownName = 'gatehouse';

/**
 * The account to run PostgreSQL as: undefined means as ourselves. PostgreSQL refuses to run as
 * root, so for root it is the owner of an existing cluster, else our own system user (made when
 * missing), else one that every system has.
 */
export async function postgresAccount(clusterDir: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(clusterDir).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) {
    return { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid };
  }
  const found =
    (await lookUp(ownName)) ??
    (await createOwn()) ??
    (await lookUp('postgres')) ??
    (await lookUp('nobody'));
  if (found === undefined) {
    throw new EmbeddedPostgresError(
      'PostgreSQL does not run as root, and no unprivileged user was found or could be created. ' +
        'Start Gatehouse as another user, or set GATEHOUSE_DATABASE_URL to a PostgreSQL of your own.',
    );
  }
  return found;
}

/** True if the account can execute the file at `path`, every directory above it included. */
export function canExecute(account: Account, path: string): Promise<boolean> {
  return asAccount(account, 'test -x "$0"', path);
}

/** True if the account can look into the directory at `path`, with all directories above it. */
export function canEnter(account: Account, path: string): Promise<boolean> {
  return asAccount(account, 'cd "$0"', path);
}

function asAccount(account: Account, script: string, path: string): Promise<boolean> {
  const options = { uid: account.uid, gid: account.gid, cwd: '/', env: {} };
  return run('/bin/sh', ['-c', script, path], options).then(
    () => true,
    () => false,
  );
}

async function lookUp(name: string): Promise<Account | undefined> {
  try {
    const uid = await run('id', ['-u', name]);
    const gid = await run('id', ['-g', name]);
    return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

async function createOwn(): Promise<Account | undefined> {
  const options = ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin'];
  // useradd refuses while another one holds the lock on the user database: look again, then retry.
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const made = await run('useradd', [...options, ownName]).then(
      () => true,
      (error: unknown) => !(error instanceof Error && 'code' in error && error.code === 'ENOENT'),
    );
    const account = await lookUp(ownName);
    if (account !== undefined || !made) return account;
    await sleep(200);
  }
  return undefined;
}
