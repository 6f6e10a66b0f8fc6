import { type Refusal, refuse } from '#core/refusal.ts';
import type { Node } from '#server/node.ts';
import { verifyJws } from '#tokens/jws.ts';
import type { Keyring } from '#tokens/keyring.ts';

/** What a valid hint says; it authenticates nobody. */
export interface IdTokenHint {
  readonly subject: string;
  readonly clientId: string;
  readonly sessionId: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Reads an `id_token_hint` (OIDC Core §3.1.2.1, RP-Initiated Logout §2): signed by any key that is
 * still published, of this issuer; it may have expired. Refuses with `hint_invalid`.
 */
export function verifyIdTokenHint(
  node: Node,
  ring: Keyring,
  text: string | undefined,
): IdTokenHint | undefined | Refusal {
  if (text === undefined) return undefined;
  const claims = verifyJws((kid) => ring.verificationKey(kid), text, { typ: 'JWT' });
  if (claims === undefined || claims.iss !== node.config.issuer) return refuse('hint_invalid');
  const clientId = Array.isArray(claims.aud) ? claims.aud[0] : claims.aud;
  if (typeof claims.sub !== 'string' || typeof clientId !== 'string') return refuse('hint_invalid');
  const sessionId = typeof claims.sid === 'string' ? claims.sid : undefined;
  return { subject: claims.sub, clientId, sessionId, claims };
}
