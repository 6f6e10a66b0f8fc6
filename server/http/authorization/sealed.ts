import { createHash } from 'node:crypto';
import type { Node } from '#server/node.ts';
import { putReference, readReference } from '#server/store/flow-reference.ts';
import type { Keyring, SealPurpose } from '#tokens/keyring.ts';

/** Sealed text up to this length rides in the URL; what is longer is stored by reference. */
export const urlSealedCharsMax = 1024;
/** So many bytes are never longer than that when they are sealed. */
export const urlPlainBytesMax = 720;
/** A code may be longer: it is a single parameter, and the client posts it back. */
export const codeSealedCharsMax = 2048;
const referencePrefix = 'ref.';

/**
 * Seals `bytes` for a URL; where that is too long, stores it and gives a reference to it: the same
 * one for the same bytes, so that a step that is taken again and again stores nothing more. `bytes`
 * must hold something that nobody guesses, for whoever knows the reference may go on with it.
 */
export async function sealForUrl(
  node: Node,
  ring: Keyring,
  purpose: SealPurpose,
  bytes: Buffer,
  options: { readonly charsMax: number; readonly lifetimeSeconds: number },
): Promise<string> {
  const sealed = ring.seal(purpose, bytes);
  if (sealed.length <= options.charsMax) return sealed;
  const id = referenceId(purpose, bytes);
  await putReference(
    node.database,
    id,
    Buffer.from(sealed, 'base64url'),
    Math.max(1, options.lifetimeSeconds),
  );
  return referencePrefix + id;
}

function referenceId(purpose: SealPurpose, bytes: Buffer): string {
  const hex = createHash('sha256').update(`${purpose}\0`).update(bytes).digest('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
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
