/** How a client proves who it is at the token endpoint (RFC 7591 §2, `token_endpoint_auth_method`). */
export type ClientAuthMethod = 'none' | 'client_secret_basic' | 'client_secret_post';

/** Lifetimes in seconds for one grant type; undefined: the deployment's default. */
export interface Lifespans {
  readonly accessTokenSeconds?: number;
  readonly idTokenSeconds?: number;
  readonly refreshTokenSeconds?: number;
}

/**
 * An OAuth client as the engine decides with it: parsed once when it is loaded, immutable.
 * Its wire form (Hydra's `oAuth2Client`) is {@link Client.metadata}; never holds a secret.
 */
export interface Client {
  readonly clientId: string;
  readonly name: string;
  readonly disabled: boolean;
  readonly authMethod: ClientAuthMethod;
  readonly redirectUris: readonly string[];
  readonly postLogoutRedirectUris: readonly string[];
  readonly grantTypes: ReadonlySet<string>;
  readonly responseTypes: ReadonlySet<string>;
  /** Scope patterns it may ask for; matching is Hydra's wildcard strategy (see scope.ts). */
  readonly scope: readonly string[];
  /** Audiences it may ask for by `audience` (Hydra). */
  readonly audience: readonly string[];
  /** Resource indicators it may ask for (RFC 8707); empty: any absolute URI that is registered. */
  readonly resources: readonly string[];
  readonly subjectType: 'public' | 'pairwise';
  readonly sectorIdentifier: string | undefined;
  readonly idTokenAlg: SigningAlg | undefined;
  readonly userinfoAlg: SigningAlg | undefined;
  readonly accessTokenStrategy: 'opaque' | 'jwt' | undefined;
  readonly skipConsent: boolean;
  readonly skipLogoutConsent: boolean;
  readonly allowedCorsOrigins: readonly string[];
  /** Seconds; undefined: the deployment's default; 0: strict. */
  readonly refreshGraceSeconds: number | undefined;
  /** Scopes that earn a refresh token; undefined: the deployment's list; empty: always. */
  readonly refreshTokenScopes: readonly string[] | undefined;
  /** The one exemption from PKCE (R1): confidential OpenID clients that then must send `nonce`. */
  readonly insecureNoPkce: boolean;
  readonly lifespans: {
    readonly authorizationCode: Lifespans;
    readonly refreshToken: Lifespans;
    readonly clientCredentials: Lifespans;
  };
  /** The registered document by its names on the wire, without secrets. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Algorithms that Gatehouse signs with. */
export type SigningAlg = 'RS256' | 'PS256' | 'ES256' | 'EdDSA';
