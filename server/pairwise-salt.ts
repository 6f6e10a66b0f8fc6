import { createHash, timingSafeEqual } from 'node:crypto';
import { KeysError, type MasterKeys, type Wrapped } from '#server/keys/master.ts';
import {
  dropPairwiseSaltSeal,
  putPairwiseSaltSeal,
  readPairwiseSaltSeal,
} from '#server/store/control.ts';
import { type Database, openForCommand } from '#server/store/database.ts';

/** What the seal is bound to, as that of a key is. */
const what: Wrapped = { setName: 'gatehouse.pairwise-salt', kid: '', alg: 'SHA-256', use: 'check' };

/**
 * Makes sure that all nodes of a deployment salt pairwise subjects alike: the first one says how,
 * and a KeysError refuses a node that would do otherwise. The seal is renewed at each start, so
 * that a former master key is not needed for its sake.
 */
export async function ensurePairwiseSalt(
  database: Database,
  master: Pick<MasterKeys, 'wrap' | 'unwrap'>,
  salt: string,
): Promise<void> {
  const digest = createHash('sha256').update('gatehouse pairwise salt\0').update(salt).digest();
  const before = await readPairwiseSaltSeal(database);
  if (before === undefined) {
    await putPairwiseSaltSeal(database, undefined, master.wrap(what, digest));
    // Another node may have been the first.
    const now = await readPairwiseSaltSeal(database);
    return ensureSame(master, digest, now);
  }
  ensureSame(master, digest, before);
  await putPairwiseSaltSeal(database, before, master.wrap(what, digest));
}

function ensureSame(
  master: Pick<MasterKeys, 'unwrap'>,
  digest: Buffer,
  seal: Buffer | undefined,
): void {
  const known = seal === undefined ? undefined : master.unwrap(what, seal);
  if (known === undefined) {
    throw new KeysError(
      'What the database knows of the pairwise salt is not wrapped with a master key of this ' +
        'machine. Take the master key file of the nodes that run.',
    );
  }
  if (known.length === digest.length && timingSafeEqual(known, digest)) return;
  throw new KeysError(
    'The pairwise salt is not the one of this deployment: apps with pairwise subjects would see ' +
      'other identifiers of the same people. Copy the file pairwise-salt from the data directory ' +
      'of another node or from the backup, or set GATEHOUSE_PAIRWISE_SALT as it was. To change it ' +
      'on purpose: `gatehouse pairwise-salt forget` (docs/ops/scaling-out.md).',
  );
}

/** Lets the next node that starts say which pairwise salt is the right one. */
export async function forgetPairwiseSalt(url: string): Promise<void> {
  const database = openForCommand(url);
  try {
    await dropPairwiseSaltSeal(database);
  } finally {
    await database.close();
  }
}
