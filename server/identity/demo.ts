import { randomBytes, randomInt } from 'node:crypto';
import { chmod, link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '#server/store/database.ts';
import { openPasswords } from './password.ts';
import { findUserByLogin, insertUser, replacePasswordHash } from './user.ts';

export const demoLogin = 'demo@example.com';

export interface DemoUser {
  readonly login: string;
  readonly password: string;
  /** The file that holds the password, mode 600. */
  readonly file: string;
}

/**
 * Makes sure that the demo user exists and has the password in `<dataDir>/demo-password`, which is
 * made at first. May run in several processes at once. Where the file was lost, a new password
 * takes the old one's place: whoever owns the directory owns the demo user.
 */
export async function ensureDemoUser(database: Database, dataDir: string): Promise<DemoUser> {
  const file = join(dataDir, 'demo-password');
  const password = await ensurePasswordFile(dataDir, file);
  const passwords = openPasswords();
  const existing = await findUserByLogin(database, demoLogin);
  if (existing && (await passwords.verify(existing.passwordHash, password)) === 'right') {
    return { login: demoLogin, password, file };
  }
  const passwordHash = await passwords.hash(password);
  if (existing) {
    await replacePasswordHash(database, existing.id, existing.passwordHash, passwordHash);
  } else {
    await insertUser(database, { login: demoLogin, name: 'Demo User', passwordHash });
  }
  return { login: demoLogin, password, file };
}

async function ensurePasswordFile(dataDir: string, file: string): Promise<string> {
  const found = await readPassword(file);
  if (found !== undefined) return found;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  // Written whole under another name, then linked: no process ever reads half a password, and of
  // several that start at once exactly one names the file.
  const draft = `${file}.${randomBytes(8).toString('hex')}`;
  await writeFile(draft, `${readablePassword()}\n`, { mode: 0o600, flag: 'wx' });
  try {
    await link(draft, file);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    await unlink(draft);
  }
  const made = await readPassword(file);
  if (made === undefined) throw new Error('demo-password vanished while it was being made');
  return made;
}

async function readPassword(file: string): Promise<string | undefined> {
  try {
    const password = (await readFile(file, 'utf8')).trim();
    await chmod(file, 0o600);
    if (password === '') throw new Error('demo-password is empty: remove the file and start again');
    return password;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Three groups of five from 31 characters that are not mistaken for each other: 74 bits. */
function readablePassword(): string {
  const alphabet = 'abcdefghjkmnpqrstuvwxyz23456789';
  const group = () =>
    Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join('');
  return [group(), group(), group()].join('-');
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
