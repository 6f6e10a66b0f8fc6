import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Account, canEnter, postgresAccount } from './account.ts';
import { relocatedDirectory } from './binaries.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';

/** Which file of an embedded PostgreSQL lies where, and who it runs as. */
export interface Layout {
  /** What the caller named: passwords, log and notes about the running server lie here. */
  readonly dataDir: string;
  /** PostgreSQL's own data directory. */
  readonly clusterDir: string;
  readonly passwordFile: string;
  readonly logFile: string;
  /** Undefined: it runs as ourselves. */
  readonly account: Account | undefined;
  /** The major version that made the data; undefined: there is none yet. */
  readonly clusterVersion: string | undefined;
}

/** Finds or makes the directories. Data that the unprivileged user could not reach is placed elsewhere. */
export async function placeCluster(
  dataDir: string,
  log: (sentence: string) => void,
): Promise<Layout> {
  await mkdir(dataDir, { recursive: true });
  // PostgreSQL's user passes through, and sees nothing: what lies here has mode 600.
  if (process.getuid?.() === 0) await chmod(dataDir, 0o711);
  const locationFile = join(dataDir, 'location');
  const noted = await readFile(locationFile, 'utf8').catch(() => '');
  let directory = noted.trim() || (await realpath(dataDir));
  let account = await postgresAccount(join(directory, 'cluster'));
  if (account !== undefined && !(await canEnter(account, directory))) {
    if (noted !== '' || (await versionOf(directory)) !== undefined) throw unreachable(directory);
    const fingerprint = createHash('sha256').update(directory).digest('hex').slice(0, 16);
    const elsewhere = relocatedDirectory(fingerprint);
    log(
      `${directory} cannot be reached by user "${account.name}", which PostgreSQL runs as: ` +
        `its data is kept in ${elsewhere}`,
    );
    await mkdir(elsewhere, { recursive: true, mode: 0o755 });
    await writeFile(locationFile, `${elsewhere}\n`);
    directory = elsewhere;
    account = await postgresAccount(join(directory, 'cluster'));
  }
  return {
    dataDir,
    clusterDir: join(directory, 'cluster'),
    passwordFile: join(dataDir, 'passwords.json'),
    logFile: join(dataDir, 'postgres.log'),
    account,
    clusterVersion: await versionOf(directory),
  };
}

export interface SocketPlace {
  readonly directory: string;
  /** Removes what was made for this start only. */
  remove(): Promise<void>;
}

/** The longest path of a socket is 103 bytes on some systems; its name takes 15 of them. */
const socketDirectoryBytesMax = 88;

/** A directory for the Unix socket: beside the data, or where that path is too long, a temporary one. */
export async function placeSocket(layout: Layout): Promise<SocketPlace> {
  const beside = join(layout.clusterDir, '..', 'socket');
  const fits = Buffer.byteLength(beside) <= socketDirectoryBytesMax;
  const directory = fits ? beside : await mkdtemp(join(tmpdir(), 'gatehouse-'));
  await mkdir(directory, { recursive: true });
  if (layout.account) await chown(directory, layout.account.uid, layout.account.gid);
  return {
    directory,
    async remove() {
      if (!fits) await rm(directory, { recursive: true, force: true });
    },
  };
}

async function versionOf(directory: string): Promise<string | undefined> {
  const text = await readFile(join(directory, 'cluster', 'PG_VERSION'), 'utf8').catch(() => '');
  return text.trim() || undefined;
}

function unreachable(directory: string) {
  return new EmbeddedPostgresError(
    `The user that PostgreSQL runs as cannot reach ${directory}. ` +
      'Allow passage through every directory above it (chmod o+x), or move the data.',
  );
}
