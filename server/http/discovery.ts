import { Hono } from 'hono';
import type { SigningAlg } from '#core/client.ts';
import { baseUrl } from '#server/config/config.ts';
import type { Env } from '#server/http/frame/answer.ts';
import type { Node } from '#server/node.ts';
import { isUnavailable } from '#server/store/database.ts';
import { signingAlgs } from '#tokens/jws.ts';

/** What the metadata says follows the settings, so it holds for as long as the process lives. */
const metadataSeconds = 300;
/** Keys are published a day ahead of use, save those that an administrator makes at once. */
const jwksSeconds = 60;

/** Where an authorization server publishes what it can do; the two documents are one here. */
const wellKnown = ['openid-configuration', 'oauth-authorization-server'] as const;

/** What the metadata is made of. */
export interface MetadataConfig {
  readonly issuer: string;
  readonly idTokenAlg: SigningAlg;
}

/**
 * The metadata of OpenID Connect Discovery 1.0 §3 and RFC 8414 §2 in one document. It names what is
 * enforced and hides nothing that is; what is false or absent by default is only written where the
 * default is another (`request_uri_parameter_supported`).
 */
function metadata(config: MetadataConfig): Readonly<Record<string, unknown>> {
  const { issuer, idTokenAlg } = config;
  const at = (path: string) => `${baseUrl(config)}${path}`;
  const others = signingAlgs.filter((alg) => alg !== idTokenAlg);
  const secretMethods = ['client_secret_basic', 'client_secret_post'];
  return {
    issuer,
    authorization_endpoint: at('/oauth2/auth'),
    token_endpoint: at('/oauth2/token'),
    userinfo_endpoint: at('/userinfo'),
    revocation_endpoint: at('/oauth2/revoke'),
    introspection_endpoint: at('/oauth2/introspect'),
    end_session_endpoint: at('/oauth2/sessions/logout'),
    jwks_uri: at('/.well-known/jwks.json'),
    response_types_supported: ['code'],
    response_modes_supported: ['query', 'fragment'],
    grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    subject_types_supported: ['public', 'pairwise'],
    // the deployment's default first, which Hydra's two fields name alone
    id_token_signing_alg_values_supported: [idTokenAlg, ...others],
    id_token_signed_response_alg: [idTokenAlg],
    userinfo_signing_alg_values_supported: ['none', idTokenAlg, ...others],
    userinfo_signed_response_alg: [idTokenAlg],
    token_endpoint_auth_methods_supported: [...secretMethods, 'none'],
    revocation_endpoint_auth_methods_supported: [...secretMethods, 'none'],
    introspection_endpoint_auth_methods_supported: secretMethods,
    scopes_supported: ['openid', 'offline_access', 'offline', 'profile', 'email'],
    claims_supported: claims,
    claims_parameter_supported: true,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    require_request_uri_registration: false,
    prompt_values_supported: ['none', 'login', 'consent', 'select_account'],
    backchannel_logout_supported: false,
    backchannel_logout_session_supported: false,
    frontchannel_logout_supported: false,
    frontchannel_logout_session_supported: false,
  };
}

const claims = [
  'iss',
  'sub',
  'aud',
  'exp',
  'iat',
  'auth_time',
  'nonce',
  'acr',
  'amr',
  'sid',
  'at_hash',
  'name',
  'email',
  'email_verified',
] as const;

/**
 * The public documents: metadata at both well-known names (RFC 8414 §3 puts the issuer's path after
 * them), and the JWKS. Open to every origin: they are public, and single-page apps need them.
 */
export function discoveryRoutes(node: Pick<Node, 'config' | 'feed' | 'keys'>): Hono<Env> {
  const app = new Hono<Env>();
  const text = JSON.stringify(metadata(node.config));
  const path = new URL(node.config.issuer).pathname.replace(/\/$/, '');
  for (const name of wellKnown) {
    const serve = () => publicJson(text, metadataSeconds);
    app.get(`/.well-known/${name}`, serve);
    if (path !== '') app.get(`/.well-known/${name}${path}`, serve);
  }
  app.get('/.well-known/jwks.json', async () => {
    await newestKeys(node);
    return publicJson(node.keys.current().jwks, jwksSeconds);
  });
  return app;
}

/**
 * A token that another node signed a moment ago must find its key here: what the feed knows now was
 * read. While the database is away the keys in memory are better than no answer.
 */
async function newestKeys(node: Pick<Node, 'feed' | 'keys'>): Promise<void> {
  try {
    await node.feed.fresh();
    await node.keys.settled();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
  }
}

function publicJson(text: string, maxAgeSeconds: number): Response {
  return new Response(text, {
    headers: {
      'content-type': 'application/json',
      'cache-control': `public, max-age=${maxAgeSeconds}`,
      'access-control-allow-origin': '*',
    },
  });
}
