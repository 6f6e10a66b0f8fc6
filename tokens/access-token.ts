import { createReader, createWriter } from './codec.ts';
import type { Keyring } from './keyring.ts';

/**
 * What an access token says, opaque or JWT (hot path 5). Ids are '' and numbers 0 where the
 * client speaks for itself (client credentials). Times are seconds since the epoch.
 */
export interface AccessToken {
  readonly id: string;
  readonly chainId: string;
  readonly grantId: string;
  readonly grantVersion: number;
  readonly sessionId: string;
  /** True: it ends with the session. */
  readonly online: boolean;
  readonly loginBorn: number;
  readonly grantBorn: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly clientId: string;
  readonly subject: string;
  /** The pairwise subject of the client's ID tokens; '' where it is `subject`. */
  readonly obfuscatedSubject: string;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  /** JSON text of the login app's `session.access_token`; undefined: none. */
  readonly ext: string | undefined;
  /** True: `ext` is too large to ride along and stands in the chain's row. */
  readonly extByReference: boolean;
  /** JSON text of what userinfo adds (the login app's `session.id_token`); undefined: none. */
  readonly userinfo: string | undefined;
  /** True: `userinfo` stands in the chain's row. */
  readonly userinfoByReference: boolean;
}

export const accessTokenPrefix = 'gh_at_';
const version = 1;
/** Apart from every token's version, since both are sealed for the same purpose. */
const subjectVersion = 255;

/** Seals an opaque access token. */
export function sealAccessToken(ring: Keyring, token: AccessToken): string {
  const writer = createWriter()
    .u8(version)
    .uuid(token.id)
    .u8(
      (token.online ? 1 : 0) | (token.extByReference ? 2 : 0) | (token.userinfoByReference ? 4 : 0),
    )
    .optionalUuid(token.chainId)
    .optionalUuid(token.grantId)
    .u32(token.grantVersion)
    .optionalUuid(token.sessionId)
    .u48(token.loginBorn)
    .u48(token.grantBorn)
    .u48(token.issuedAt)
    .u48(token.expiresAt)
    .text(token.clientId)
    .text(token.subject)
    .text(token.obfuscatedSubject)
    .textList(token.scope)
    .textList(token.audience)
    .optionalText(token.ext)
    .optionalText(token.userinfo);
  return accessTokenPrefix + ring.seal('access_token', writer.finish());
}

/** The token in this text, or undefined for what was not sealed here as one. Expiry is not judged. */
export function openAccessToken(ring: Keyring, text: string): AccessToken | undefined {
  if (!text.startsWith(accessTokenPrefix)) return undefined;
  const bytes = ring.open('access_token', text.slice(accessTokenPrefix.length));
  if (bytes === undefined) return undefined;
  const r = createReader(bytes);
  if (r.u8() !== version) return undefined;
  const id = r.uuid();
  const flags = r.u8();
  const token: AccessToken = {
    id,
    online: (flags & 1) !== 0,
    extByReference: (flags & 2) !== 0,
    userinfoByReference: (flags & 4) !== 0,
    chainId: r.optionalUuid(),
    grantId: r.optionalUuid(),
    grantVersion: r.u32(),
    sessionId: r.optionalUuid(),
    loginBorn: r.u48(),
    grantBorn: r.u48(),
    issuedAt: r.u48(),
    expiresAt: r.u48(),
    clientId: r.text(),
    subject: r.text(),
    obfuscatedSubject: r.text(),
    scope: r.textList(),
    audience: r.textList(),
    ext: r.optionalText(),
    userinfo: r.optionalText(),
  };
  return r.finished() ? token : undefined;
}

/** The real subject of a pairwise client's JWT, so that only we can read it there. */
export function sealSubject(ring: Keyring, subject: string): string {
  return ring.seal('access_token', createWriter(64).u8(subjectVersion).text(subject).finish());
}

/** What {@link sealSubject} sealed; undefined for anything else. */
export function openSubject(ring: Keyring, text: string): string | undefined {
  const bytes = ring.open('access_token', text);
  if (bytes === undefined) return undefined;
  const reader = createReader(bytes);
  if (reader.u8() !== subjectVersion) return undefined;
  const subject = reader.text();
  return reader.finished() ? subject : undefined;
}
