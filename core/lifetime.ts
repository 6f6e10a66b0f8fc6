import type { Client, Lifespans } from './client.ts';

/** The deployment's lifetimes, in seconds. */
export interface Lifetimes {
  readonly accessTokenSeconds: number;
  readonly idTokenSeconds: number;
  readonly codeSeconds: number;
  /** How long a refresh token lives unused. */
  readonly refreshTokenSeconds: number;
  /** How long a chain lives however it is used; undefined: no end. */
  readonly refreshTokenAbsoluteSeconds?: number | undefined;
  readonly refreshGraceSeconds: number;
}

/** What one issuance goes by: the client's own lifetimes where it has some, else the deployment's. */
export interface IssueLifetimes {
  readonly accessTokenSeconds: number;
  readonly idTokenSeconds: number;
  readonly refreshTokenSeconds: number;
}

export type IssuingGrant = keyof Client['lifespans'];

/** The lifetimes of what `grant` issues to `client`. */
export function issueLifetimes(
  client: Client,
  grant: IssuingGrant,
  defaults: Lifetimes,
): IssueLifetimes {
  const own: Lifespans = client.lifespans[grant];
  return {
    accessTokenSeconds: own.accessTokenSeconds ?? defaults.accessTokenSeconds,
    idTokenSeconds: own.idTokenSeconds ?? defaults.idTokenSeconds,
    refreshTokenSeconds: own.refreshTokenSeconds ?? defaults.refreshTokenSeconds,
  };
}

/** A replay of a code must be seen until this long after the code ended (hot path 3). */
export const replaySeconds = 600;

/**
 * Whether a redeemed code earns a refresh token: the client is registered for the grant and one of
 * its refresh scopes was granted; an empty list means always (hot path 7).
 */
export function earnsRefreshToken(
  client: Client,
  scope: readonly string[],
  defaultScopes: readonly string[],
): boolean {
  if (!client.grantTypes.has('refresh_token')) return false;
  const scopes = client.refreshTokenScopes ?? defaultScopes;
  return scopes.length === 0 || scopes.some((one) => scope.includes(one));
}

/** Scopes that detach a chain from the login (OIDC Core §11; `offline` is Hydra's). */
export function isOffline(scope: readonly string[]): boolean {
  return scope.includes('offline_access') || scope.includes('offline');
}
