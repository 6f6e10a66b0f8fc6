import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { EmbeddedPostgresError } from './embedded-error.ts';

/** The roles of a Gatehouse database, and PostgreSQL's superuser, which only the start uses. */
export const roles = {
  owner: 'gatehouse_owner',
  server: 'gatehouse_server',
  usage: 'gatehouse_usage',
  superuser: 'postgres',
} as const;

export type Role = keyof typeof roles;
export type Passwords = Readonly<Record<Role, string>>;

/** Reads the passwords at `path`, or makes them (mode 600) unless the cluster exists already. */
export async function passwordsAt(path: string, clusterExists: boolean): Promise<Passwords> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text !== undefined) return parse(path, text);
  if (clusterExists) {
    throw new EmbeddedPostgresError(
      `${path} is missing, so nobody can sign in to the PostgreSQL data beside it. ` +
        'Restore that file from the backup the data came from.',
    );
  }
  const made = Object.fromEntries(
    Object.keys(roles).map((role) => [role, randomBytes(24).toString('base64url')]),
  );
  const partial = `${path}.${process.pid}`;
  await writeFile(partial, `${JSON.stringify(made, undefined, 2)}\n`, { mode: 0o600, flush: true });
  // A link, unlike a rename, never replaces what another start made meanwhile: read what is there.
  await link(partial, path).catch(() => {});
  await rm(partial);
  return parse(path, await readFile(path, 'utf8'));
}

/**
 * What PostgreSQL stores of a password (RFC 5803, SCRAM-SHA-256). Sent instead of the password, so
 * that none is ever part of a statement, which logs and statistics would keep.
 */
export function scramVerifier(password: string, salt: Uint8Array = randomBytes(16)): string {
  const iterations = 4096;
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const hmac = (data: string) => createHmac('sha256', salted).update(data).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  const saltText = Buffer.from(salt).toString('base64');
  const serverKey = hmac('Server Key').toString('base64');
  return `SCRAM-SHA-256$${iterations}:${saltText}$${storedKey}:${serverKey}`;
}

function parse(path: string, text: string): Passwords {
  const damaged = new EmbeddedPostgresError(
    `${path} does not hold the database passwords. Restore that file from a backup.`,
  );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damaged;
  }
  if (typeof value !== 'object' || value === null) throw damaged;
  const found = new Map(Object.entries(value));
  const read = (role: Role): string => {
    const password: unknown = found.get(role);
    if (typeof password !== 'string' || password === '') throw damaged;
    return password;
  };
  return {
    owner: read('owner'),
    server: read('server'),
    usage: read('usage'),
    superuser: read('superuser'),
  };
}
