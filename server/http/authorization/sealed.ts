import { randomUUID } from 'node:crypto';
import type { Node } from '#server/node.ts';
import { putReference, readReference } from '#server/store/flow-reference.ts';
import type { Keyring, SealPurpose } from '#tokens/keyring.ts';

/** Sealed text up to this length rides in the URL; what is longer is stored by reference. */
export const urlSealedCharsMax = 1024;
/** A code may be longer: it is a single parameter, and the client posts it back. */
export const codeSealedCharsMax = 2048;
const referencePrefix = 'ref.';

/** Seals `bytes` for a URL; where that is too long, stores it and gives a reference to it. */
export async function sealForUrl(
  node: Node,
  ring: Keyring,
  purpose: SealPurpose,
  bytes: Buffer,
  options: { readonly charsMax: number; readonly lifetimeSeconds: number },
): Promise<string> {
  const sealed = ring.seal(purpose, bytes);
  if (sealed.length <= options.charsMax) return sealed;
  const id = randomUUID();
  await putReference(
    node.database,
    id,
    Buffer.from(sealed, 'base64url'),
    Math.max(1, options.lifetimeSeconds),
  );
  return referencePrefix + id;
}

/** Opens what {@link sealForUrl} made; undefined for anything else. */
export async function openFromUrl(
  node: Node,
  ring: Keyring,
  purpose: SealPurpose,
  text: string,
): Promise<Buffer | undefined> {
  if (!text.startsWith(referencePrefix)) return ring.open(purpose, text);
  const id = text.slice(referencePrefix.length);
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(id)) return undefined;
  const sealed = await readReference(node.database, id);
  return sealed === undefined ? undefined : ring.open(purpose, sealed.toString('base64url'));
}
