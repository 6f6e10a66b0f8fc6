import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A start that cannot go on for want of keys; the message is for the operator. */
export class KeysError extends Error {
  override readonly name = 'KeysError';
}

/** Which key a secret part belongs to; bound to it as associated data. */
export interface Wrapped {
  readonly setName: string;
  readonly kid: string;
  readonly alg: string;
  readonly use: string;
}

/** The deployment's master keys: the first wraps, all unwrap. */
export interface MasterKeys {
  /** version 1 | master key id 8 | nonce 12 | ciphertext | tag 16 */
  wrap(what: Wrapped, secret: Uint8Array): Buffer;
  /** The secret part; undefined: wrapped with another master key, or changed since. */
  unwrap(what: Wrapped, wrapped: Buffer): Buffer | undefined;
}

const version = 0x01;
const idAt = 1;
const nonceAt = 9;
const ciphertextAt = 21;
const tagBytes = 16;
const masterBytes = 32;
const fileCharsMax = 65_536;

/** Where the master keys are: the configured file, else `master-key` in the data directory. */
export function masterKeyPath(config: {
  readonly masterKeys?: string | undefined;
  readonly dataDir: string;
}): string {
  return config.masterKeys ?? join(config.dataDir, 'master-key');
}

/** Reads the file of master keys; undefined: there is none. Anything else wrong is a KeysError. */
export async function readMasterKeys(path: string): Promise<MasterKeys | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new KeysError(`The master key file ${path} cannot be read.`, { cause: error });
  });
  return text === undefined ? undefined : parseMasterKeys(path, text);
}

/**
 * Makes a master key file, mode 600, and reads it back: where several processes start at once, all
 * end up with the key of one of them.
 */
export async function makeMasterKeys(path: string): Promise<MasterKeys> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const partial = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const text = `${randomBytes(masterBytes).toString('base64')}\n`;
  await writeFile(partial, text, { mode: 0o600, flush: true, flag: 'wx' });
  // A link, unlike a rename, never replaces what another start made meanwhile.
  await link(partial, path).catch(() => {});
  await rm(partial);
  return parseMasterKeys(path, await readFile(path, 'utf8'));
}

/** True if others than the owner may read the file (where the system knows modes). */
export async function isReadableByOthers(path: string): Promise<boolean> {
  const { mode } = await stat(path);
  return process.platform !== 'win32' && (mode & 0o077) !== 0;
}

/**
 * Parses one key a line: base64 of 32 bytes, with a label and a colon in front if wanted; empty
 * lines and lines that begin with `#` do not count.
 */
function parseMasterKeys(path: string, text: string): MasterKeys {
  if (text.length > fileCharsMax) throw new KeysError(`The master key file ${path} is too large.`);
  const lines = text.split('\n').map((line) => line.trim());
  const keys = lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => masterKeyOf(path, line));
  const [first] = keys;
  if (first === undefined) throw new KeysError(`The master key file ${path} holds no key.`);
  const byId = new Map(keys.map((key) => [key.id.toString('hex'), key]));
  return {
    wrap: (what, secret) => wrap(first, what, secret),
    unwrap(what, wrapped) {
      if (wrapped.length < ciphertextAt + tagBytes || wrapped[0] !== version) return undefined;
      const key = byId.get(wrapped.toString('hex', idAt, nonceAt));
      return key === undefined ? undefined : unwrap(key, what, wrapped);
    },
  };
}

interface MasterKey {
  /** Made from the key, so that a label may be changed or left out. */
  readonly id: Buffer;
  readonly key: KeyObject;
}

function masterKeyOf(path: string, line: string): MasterKey {
  const encoded = line.slice(line.indexOf(':') + 1).trim();
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.length !== masterBytes || bytes.toString('base64') !== encoded) {
    throw new KeysError(
      `The master key file ${path} has a line that is not 32 bytes in base64 ` +
        '(with a label and a colon in front if you like).',
    );
  }
  const id = createHash('sha256').update('gatehouse master key\0').update(bytes).digest();
  return { id: id.subarray(0, nonceAt - idAt), key: createSecretKey(bytes) };
}

function wrap(master: MasterKey, what: Wrapped, secret: Uint8Array): Buffer {
  const nonce = randomBytes(ciphertextAt - nonceAt);
  const cipher = createCipheriv('aes-256-gcm', master.key, nonce).setAAD(associated(what));
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
  const head = Buffer.concat([Buffer.of(version), master.id, nonce]);
  return Buffer.concat([head, ciphertext, cipher.getAuthTag()]);
}

function unwrap(master: MasterKey, what: Wrapped, wrapped: Buffer): Buffer | undefined {
  const nonce = wrapped.subarray(nonceAt, ciphertextAt);
  const options = { authTagLength: tagBytes };
  const decipher = createDecipheriv('aes-256-gcm', master.key, nonce, options);
  decipher.setAAD(associated(what)).setAuthTag(wrapped.subarray(-tagBytes));
  try {
    const secret = decipher.update(wrapped.subarray(ciphertextAt, -tagBytes));
    return Buffer.concat([secret, decipher.final()]);
  } catch {
    return undefined;
  }
}

// Not the issuer: whatever the keys seal is bound to it, and a deployment that gets another name
// must still start.
function associated({ setName, kid, alg, use }: Wrapped): Buffer {
  return Buffer.from(JSON.stringify([setName, kid, alg, use]));
}
