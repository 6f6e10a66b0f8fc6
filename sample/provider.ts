import * as oidc from 'openid-client';
import type { Settings } from './settings.ts';

/** Knows the authorization server; asks it for its metadata once, at first use. */
export type Provider = () => Promise<oidc.Configuration>;

/** A provider for these settings. A discovery that failed is tried again at the next use. */
export function createProvider(settings: Settings): Provider {
  const issuer = new URL(settings.issuer);
  // Plain HTTP only where the issuer says so itself, which only a loopback issuer may.
  const execute = issuer.protocol === 'http:' ? [oidc.allowInsecureRequests] : [];
  let discovered: Promise<oidc.Configuration> | undefined;
  return () => {
    discovered ??= oidc
      .discovery(
        issuer,
        settings.clientId,
        settings.clientSecret,
        oidc.ClientSecretBasic(settings.clientSecret),
        { execute },
      )
      .catch((error: unknown) => {
        discovered = undefined;
        throw error;
      });
    return discovered;
  };
}
