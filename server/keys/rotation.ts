import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { SigningAlg } from '#core/client.ts';
import type { MasterKeys } from '#server/keys/master.ts';
import type { Slot } from '#server/keys/slots.ts';
import type { NewKey } from '#server/store/key.ts';
import { isSigningAlg, publicJwk } from '#tokens/jws.ts';
import { newPrivateKey, newSecret, newSecretKid, thumbprint } from '#tokens/material.ts';

/** What the schedule looks at of a stored key. */
export interface Standing {
  readonly id: string;
  readonly setName: string;
  readonly kid: string;
  readonly alg: string;
  readonly use: string;
  readonly activeAtMs: number;
}

/** A key to be made. */
export interface Due {
  readonly slot: Slot;
  readonly id: string;
  readonly activeInSeconds: number;
}

/**
 * The keys that must be made now: at once where a slot has none that is active, and ahead of use
 * where the newest will have signed for `rotationSeconds` (0: never). The id comes from the key that
 * is succeeded, so nodes that decide the same at the same time make one key, not many.
 */
export function dueKeys(
  slots: readonly Slot[],
  keys: readonly Standing[],
  nowMs: number,
  rotationSeconds: number,
): readonly Due[] {
  return slots.flatMap((slot) => {
    const ours = keys
      .filter((key) => key.setName === slot.setName && key.alg === slot.alg && key.use === slot.use)
      .sort((a, b) => b.activeAtMs - a.activeAtMs || (a.kid < b.kid ? 1 : -1));
    const [newest] = ours;
    const name = [slot.setName, slot.alg, slot.use];
    if (newest === undefined || ours.every((key) => key.activeAtMs > nowMs)) {
      return [{ slot, id: uuidFrom([...name, ...ours.map((key) => key.id)]), activeInSeconds: 0 }];
    }
    const dueAtMs = newest.activeAtMs + (rotationSeconds - slot.leadSeconds) * 1000;
    if (rotationSeconds === 0 || dueAtMs > nowMs) return [];
    return [{ slot, id: uuidFrom([...name, newest.id]), activeInSeconds: slot.leadSeconds }];
  });
}

/** Makes the key that is due: a random secret, or a key pair for the slot's algorithm. */
export async function makeKey(due: Due, master: Pick<MasterKeys, 'wrap'>): Promise<NewKey> {
  const { setName, alg } = due.slot;
  const { id, activeInSeconds } = due;
  if (!isSigningAlg(alg)) {
    const what = { setName, kid: newSecretKid(), alg, use: due.slot.use };
    const wrapped = master.wrap(what, newSecret().export());
    return { ...what, id, activeInSeconds, publicJwk: undefined, wrapped };
  }
  const privateKey = await newPrivateKey(alg);
  const use = 'sig' as const;
  const made = { setName, kid: thumbprint(privateKey), alg, use, privateKey };
  return { ...signingRow(made, master), id, activeInSeconds };
}

/** A private key on its way into the table. */
export interface PrivateKey {
  readonly setName: string;
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly use: 'sig' | 'enc';
  readonly privateKey: KeyObject;
}

/** What is stored of a private key: its public JWK, and the rest wrapped. */
export function signingRow(
  key: PrivateKey,
  master: Pick<MasterKeys, 'wrap'>,
): Omit<NewKey, 'id' | 'activeInSeconds'> {
  const { setName, kid, alg, use, privateKey } = key;
  const publicKey = createPublicKey(privateKey);
  return {
    setName,
    kid,
    alg,
    use,
    publicJwk: publicJwk({ kid, alg, publicKey }, use),
    wrapped: master.wrap(
      { setName, kid, alg, use },
      privateKey.export({ format: 'der', type: 'pkcs8' }),
    ),
  };
}

/** A UUID (RFC 9562 §5.8, version 8) from a hash of what it names. */
function uuidFrom(parts: readonly string[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  const head = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}`;
  return `${head}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
