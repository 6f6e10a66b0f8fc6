import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { newId } from '#server/identifiers.ts';
import { secretFile } from '#server/secrets.ts';
import type { Database } from '#server/store/database.ts';
import { openPasswords } from './password.ts';
import { findUserByLogin, insertUser, replacePasswordHash } from './user.ts';

export const demoLogin = 'demo@example.com';
const fileName = 'demo-password';

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
  const file = join(dataDir, fileName);
  const password = await secretFile(dataDir, fileName, readablePassword);
  const passwords = openPasswords();
  const existing = await findUserByLogin(database, demoLogin);
  if (existing && (await passwords.verify(existing.passwordHash, password)) === 'right') {
    return { login: demoLogin, password, file };
  }
  const passwordHash = await passwords.hash(password);
  if (existing) {
    await replacePasswordHash(database, existing.id, existing.passwordHash, passwordHash);
  } else {
    const trail = {
      action: 'user.create',
      actorKind: 'system',
      requestId: newId(),
      address: '',
    } as const;
    await insertUser(database, { login: demoLogin, name: 'Demo User', passwordHash }, trail);
  }
  return { login: demoLogin, password, file };
}

/** Three groups of five from 31 characters that are not mistaken for each other: 74 bits. */
function readablePassword(): string {
  const alphabet = 'abcdefghjkmnpqrstuvwxyz23456789';
  const group = () =>
    Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join('');
  return [group(), group(), group()].join('-');
}
