import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, ConfigError } from '#server/config/config.ts';

/** The token that opens every admin door: the setting, or `<dataDir>/admin-token`, made at first. */
export function readAdminToken(config: Config): Promise<string> {
  if (config.adminToken !== undefined) return Promise.resolve(config.adminToken);
  return secretFile(config.dataDir, 'admin-token');
}

/** What pairwise subjects are salted with: the setting, or `<dataDir>/pairwise-salt`. */
export function readPairwiseSalt(config: Config): Promise<string> {
  if (config.pairwiseSalt !== undefined) return Promise.resolve(config.pairwiseSalt);
  return secretFile(config.dataDir, 'pairwise-salt');
}

/**
 * The secret in a file of the data directory, mode 600; where it is missing, `make` makes it, or
 * 256 random bits. Several processes may start at once: the file is written whole under another
 * name and then linked, so all of them read the one that came first. An empty file is refused.
 */
export async function secretFile(
  dataDir: string,
  name: string,
  make: () => string = () => randomBytes(32).toString('base64url'),
): Promise<string> {
  const file = join(dataDir, name);
  const found = await readSecret(file);
  if (found !== undefined) return found;
  await mkdir(dataDir, { recursive: true });
  const draft = `${file}.${randomBytes(8).toString('hex')}`;
  await writeFile(draft, `${make()}\n`, { mode: 0o600, flag: 'wx' });
  try {
    await link(draft, file);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    await unlink(draft);
  }
  const made = await readSecret(file);
  if (made === undefined) throw new Error(`${name} vanished while it was being made`);
  return made;
}

async function readSecret(file: string): Promise<string | undefined> {
  try {
    const secret = (await readFile(file, 'utf8')).trim();
    if (secret === '') throw new ConfigError([`${file} is empty: remove it, and start again.`]);
    await chmod(file, 0o600);
    return secret;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
