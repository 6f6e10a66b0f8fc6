import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import type { MasterKeys } from '#server/keys/master.ts';
import {
  accessTokenSet,
  idTokenSet,
  isBuiltInSet,
  isReservedSet,
  pepperSet,
  refreshMacSet,
  sealSets,
} from '#server/keys/slots.ts';
import type { KeyRow } from '#server/store/key.ts';
import { isSigningAlg } from '#tokens/jws.ts';
import type { GroupKey, KeyMaterial, PublishedKey, SealGroup, SecretKey } from '#tokens/ring.ts';

/** Key objects by what their rows hold, so that a key is parsed once in a process's life. */
export type Parsed = ReadonlyMap<string, KeyObject>;

/**
 * Unwraps the rows that the engine uses (sets that administrators made are not among them).
 * `unreadable` lists the rows that no master key at hand opens.
 */
export function unwrapKeys(
  rows: readonly KeyRow[],
  master: MasterKeys,
  before: Parsed,
): { readonly parsed: Parsed; readonly unreadable: readonly KeyRow[] } {
  const parsed = new Map<string, KeyObject>();
  const unreadable: KeyRow[] = [];
  for (const row of rows) {
    if (!isReservedSet(row.setName) && !isBuiltInSet(row.setName)) continue;
    const key = before.get(contentOf(row)) ?? unwrapKey(row, master);
    if (key === undefined) unreadable.push(row);
    else parsed.set(contentOf(row), key);
  }
  return { parsed, unreadable };
}

/**
 * All that a key object depends on. Not the row's id: a key that is made where others were deleted
 * takes up the id of the first one (server/keys/rotation.ts).
 */
function contentOf({ setName, kid, alg, use, wrapped }: KeyRow): string {
  return [setName, kid, alg, use, wrapped.toString('base64')].join('\n');
}

function unwrapKey(row: KeyRow, master: MasterKeys): KeyObject | undefined {
  const secret = master.unwrap(row, row.wrapped);
  if (secret === undefined) return undefined;
  if (row.use === 'seal' || row.use === 'mac') return createSecretKey(secret);
  return createPrivateKey({ key: secret, format: 'der', type: 'pkcs8' });
}

/** The material of a Keyring from rows and their key objects. */
export function materialOf(issuer: string, rows: readonly KeyRow[], parsed: Parsed): KeyMaterial {
  const secretsOf = (setName: string): SecretKey[] =>
    rows.flatMap((row) => {
      const secret = row.setName === setName ? parsed.get(contentOf(row)) : undefined;
      const { kid, activeAtMs, expiresAtMs } = row;
      return secret === undefined ? [] : [{ kid, secret, activeAtMs, expiresAtMs }];
    });
  const groupOf = (group: SealGroup): GroupKey[] =>
    secretsOf(sealSets[group]).map((key) => ({ ...key, group }));
  return {
    issuer,
    dataKeys: [
      ...groupOf('flow'),
      ...groupOf('code'),
      ...groupOf('access_token'),
      ...groupOf('session_cookie'),
    ],
    refreshMacKeys: secretsOf(refreshMacSet),
    peppers: secretsOf(pepperSet),
    signingKeys: [
      ...publishedOf(idTokenSet, 'id_token', rows, parsed),
      ...publishedOf(accessTokenSet, 'access_token', rows, parsed),
    ],
  };
}

function publishedOf(
  setName: string,
  set: PublishedKey['set'],
  rows: readonly KeyRow[],
  parsed: Parsed,
): PublishedKey[] {
  return rows.flatMap((row) => {
    const privateKey = parsed.get(contentOf(row));
    const { kid, alg, activeAtMs, expiresAtMs } = row;
    if (row.setName !== setName || privateKey === undefined || !isSigningAlg(alg)) return [];
    const publicKey = createPublicKey(privateKey);
    return [{ set, kid, alg, privateKey, publicKey, activeAtMs, expiresAtMs }];
  });
}
