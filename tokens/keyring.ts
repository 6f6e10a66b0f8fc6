import type { KeyObject } from 'node:crypto';
import type { SigningAlg } from '#core/client.ts';

/** What a data key seals; one purpose each, bound as associated data together with the issuer. */
export type SealPurpose =
  | 'login_challenge'
  | 'login_verifier'
  | 'consent_challenge'
  | 'consent_verifier'
  | 'logout_challenge'
  | 'logout_verifier'
  | 'code'
  | 'access_token'
  | 'session_cookie'
  | 'page';

/** A key that signs; its `kid` is published in the JWKS before and after it is in use. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly privateKey: KeyObject;
}

/** A published key that verifies: the algorithm is the key's, never the token's (security 28). */
export interface VerificationKey {
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly publicKey: KeyObject;
}

/**
 * The keys in force on this node. Immutable: a rotation makes a new Keyring, and requests take the
 * current one once, at entry.
 */
export interface Keyring {
  /** Seals `plaintext` for one purpose: base64url text `version | kid | subkey salt | nonce | ct | tag`. */
  seal(purpose: SealPurpose, plaintext: Uint8Array): string;
  /** The plaintext, or undefined for whatever was not sealed here for this purpose. Never throws. */
  open(purpose: SealPurpose, text: string): Buffer | undefined;
  /** The kid of the MAC key that new refresh tokens are made with. */
  readonly refreshMacKid: string;
  /** HMAC-SHA-256 cut to 16 bytes under a refresh MAC key; undefined: that key is not known. */
  refreshMac(kid: string, data: Uint8Array): Buffer | undefined;
  /** The pepper for new hashes of secrets. */
  readonly pepperKid: string;
  /** HMAC-SHA-256 (32 bytes) under a pepper; undefined: that pepper is not known. */
  pepper(kid: string, data: Uint8Array): Buffer | undefined;
  /** The key that signs with `alg` now. Access tokens (JWT) and ID tokens have key sets of their own. */
  signingKey(set: 'id_token' | 'access_token', alg: SigningAlg): SigningKey | undefined;
  /** Any published key by `kid`. */
  verificationKey(kid: string): VerificationKey | undefined;
  /** The public key set as served at the JWKS endpoint: JSON text, made once. */
  readonly jwks: string;
}
