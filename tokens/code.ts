import { createReader, createWriter } from './codec.ts';

/**
 * An authorization code: the decision itself (hot path 2). Nothing is written when it is
 * issued. Times are seconds since the epoch.
 */
export interface Code {
  /** The flow's id: one consent yields one code identity. */
  readonly id: string;
  readonly expiresAt: number;
  readonly clientId: string;
  /** As the request gave it; '' where it gave none and the client has only one. */
  readonly redirectUri: string;
  /** The S256 challenge (32 bytes), or empty for a client that is exempt from PKCE. */
  readonly challenge: Buffer;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  readonly subject: string;
  /** The pairwise subject that the login app forced; '' where none. */
  readonly forcedSubject: string;
  readonly grantId: string;
  readonly grantVersion: number;
  readonly sessionId: string;
  readonly loginBorn: number;
  readonly grantBorn: number;
  readonly authenticatedAt: number;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly nonce: string | undefined;
  /** JSON text: what the chain keeps of session claims and the claims parameter. */
  readonly claims: string | undefined;
}

export const codePrefix = 'gh_ac_';
const version = 1;

/** The bytes of a code, to be sealed. */
export function encodeCode(code: Code): Buffer {
  return createWriter()
    .u8(version)
    .uuid(code.id)
    .u48(code.expiresAt)
    .text(code.clientId)
    .text(code.redirectUri)
    .bytes(code.challenge)
    .textList(code.scope)
    .textList(code.audience)
    .textList(code.resource)
    .text(code.subject)
    .text(code.forcedSubject)
    .uuid(code.grantId)
    .u32(code.grantVersion)
    .uuid(code.sessionId)
    .u48(code.loginBorn)
    .u48(code.grantBorn)
    .u48(code.authenticatedAt)
    .text(code.acr)
    .textList(code.amr)
    .optionalText(code.nonce)
    .optionalText(code.claims)
    .finish();
}

/** The code in these bytes, or undefined where they are not one. */
export function decodeCode(bytes: Buffer): Code | undefined {
  const r = createReader(bytes);
  if (r.u8() !== version) return undefined;
  const code: Code = {
    id: r.uuid(),
    expiresAt: r.u48(),
    clientId: r.text(),
    redirectUri: r.text(),
    challenge: r.bytes(),
    scope: r.textList(),
    audience: r.textList(),
    resource: r.textList(),
    subject: r.text(),
    forcedSubject: r.text(),
    grantId: r.uuid(),
    grantVersion: r.u32(),
    sessionId: r.uuid(),
    loginBorn: r.u48(),
    grantBorn: r.u48(),
    authenticatedAt: r.u48(),
    acr: r.text(),
    amr: r.textList(),
    nonce: r.optionalText(),
    claims: r.optionalText(),
  };
  return r.finished() ? code : undefined;
}
