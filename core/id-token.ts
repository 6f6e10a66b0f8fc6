/** What an ID token says of a login (OIDC Core §2). Times are seconds since the epoch. */
export interface IdTokenContent {
  readonly issuer: string;
  readonly subject: string;
  readonly clientId: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly authenticatedAt: number;
  readonly nonce: string | undefined;
  readonly atHash: string;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly sessionId: string;
  readonly tokenId: string;
  /** Claims of the login app; what the protocol says of the login wins over them. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** The claims, by their names on the wire; what is absent is left out. */
export function idTokenClaims(content: IdTokenContent): Readonly<Record<string, unknown>> {
  return {
    ...content.extra,
    iss: content.issuer,
    sub: content.subject,
    aud: [content.clientId],
    iat: content.issuedAt,
    exp: content.expiresAt,
    auth_time: content.authenticatedAt,
    jti: content.tokenId,
    at_hash: content.atHash,
    sid: content.sessionId,
    ...(content.nonce === undefined ? {} : { nonce: content.nonce }),
    ...(content.acr === '' ? {} : { acr: content.acr }),
    ...(content.amr.length === 0 ? {} : { amr: content.amr }),
  };
}
