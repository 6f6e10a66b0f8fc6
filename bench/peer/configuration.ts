import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { AdapterFactory, Configuration, JWK } from 'oidc-provider';
import type { App } from '../driver/visitor.ts';

/** What the parent process tells the peer, over IPC. */
export interface PeerOrder {
  readonly issuer: string;
  readonly port: number;
  readonly databaseUrl: string;
  readonly apps: readonly App[];
}

const day = 86_400;

/**
 * The same service as Gatehouse gives by default, by the documented options of `oidc-provider`:
 * the same lifetimes, keys and scopes, rotation of refresh tokens, opaque access tokens.
 */
export function configurationOf(order: PeerOrder, adapter: AdapterFactory): Configuration {
  return {
    adapter,
    // Clients in its configuration live in memory: it never reads them from the database.
    clients: order.apps.map((app) => ({
      client_id: app.id,
      client_secret: app.secret,
      redirect_uris: [app.redirectUri],
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_post',
      id_token_signed_response_alg: app.alg,
    })),
    jwks: { keys: [keyOf('RS256'), keyOf('ES256')] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    scopes: ['openid', 'offline_access'],
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
      clientCredentials: { enabled: true },
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: {
      AccessToken: 3600,
      AuthorizationCode: 600,
      ClientCredentials: 3600,
      Grant: 30 * day,
      IdToken: 3600,
      Interaction: 1800,
      RefreshToken: 30 * day,
      Session: day,
    },
  };
}

function keyOf(alg: App['alg']): JWK {
  const { privateKey } =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty = '', ...parts } = privateKey.export({ format: 'jwk' });
  return { ...parts, kty, alg, use: 'sig', kid: alg };
}
