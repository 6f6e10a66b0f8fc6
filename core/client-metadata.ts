import type { Client, Lifespans, SigningAlg } from './client.ts';
import {
  accessTokenSecondsMax,
  audience,
  clientIdText,
  type FieldRule,
  type FieldSchema,
  fieldRule,
  flag,
  freeObject,
  humanText,
  ignored,
  isObject,
  lifespan,
  listOf,
  oneOf,
  publicJwks,
  redirectUri,
  redirectUrisMax,
  refreshGraceSecondsMax,
  refreshTokenSecondsMax,
  resourceUri,
  scopeText,
  scopeToken,
  seconds,
  unsupported,
  webOrigin,
  webUri,
} from './client-field.ts';
import { parseGoDuration, wholeSeconds } from './go-duration.ts';
import { redirectHost } from './redirect-uri.ts';
import { isRefusal, type Refusal, refuse } from './refusal.ts';
import { parseScope, scopeAllowed } from './scope.ts';

/** A client document by its names on the wire (Hydra's `oAuth2Client`), without secrets. */
export type ClientMetadata = Readonly<Record<string, unknown>>;

export interface ParsedClient {
  /** What is stored and answered: defaults filled in, durations canonical, nothing empty or null. */
  readonly metadata: ClientMetadata;
  readonly client: Client;
}

const signingAlgs = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const satisfies readonly SigningAlg[];
const authMethods = ['client_secret_basic', 'client_secret_post', 'none'] as const;
const grantTypes = ['authorization_code', 'refresh_token', 'client_credentials'] as const;
const access = lifespan(accessTokenSecondsMax);
const refresh = lifespan(refreshTokenSecondsMax);

/** Scopes that a client may ask for when its registration names none: Hydra's default. */
const defaultClientScope = 'offline_access offline openid';

/** Every field we know, and what is right in it. Fields that are not here are ignored, as in Hydra. */
const rules: Readonly<Record<string, FieldRule>> = {
  client_id: clientIdText,
  client_name: humanText,
  owner: humanText,
  contacts: listOf(humanText),
  client_uri: webUri,
  logo_uri: webUri,
  policy_uri: webUri,
  tos_uri: webUri,
  redirect_uris: listOf(redirectUri, redirectUrisMax),
  post_logout_redirect_uris: listOf(redirectUri, redirectUrisMax),
  grant_types: listOf(oneOf(grantTypes)),
  response_types: listOf(oneOf(['code'])),
  scope: scopeText,
  audience: listOf(audience),
  resources: listOf(resourceUri),
  token_endpoint_auth_method: oneOf(authMethods),
  token_endpoint_auth_signing_alg: unsupported(
    'belongs to private_key_jwt, which is not supported; leave it out',
  ),
  jwks: publicJwks,
  jwks_uri: webUri,
  subject_type: oneOf(['public', 'pairwise']),
  sector_identifier_uri: unsupported(
    'is not supported: a pairwise client needs redirect URIs of one host, which is its sector',
  ),
  id_token_signed_response_alg: oneOf(signingAlgs),
  userinfo_signed_response_alg: oneOf([...signingAlgs, 'none']),
  request_object_signing_alg: unsupported(
    'is not supported, because request objects are not; leave it out',
    ['none'],
  ),
  request_uris: fieldRule({ type: 'array', maxItems: 0, deprecated: true }, (value) =>
    Array.isArray(value) && value.length === 0
      ? { value: undefined }
      : { fault: 'is not supported, because request objects are not; leave it out' },
  ),
  access_token_strategy: oneOf(['opaque', 'jwt']),
  allowed_cors_origins: listOf(webOrigin),
  skip_consent: flag,
  skip_logout_consent: flag,
  frontchannel_logout_uri: webUri,
  frontchannel_logout_session_required: flag,
  backchannel_logout_uri: webUri,
  backchannel_logout_session_required: flag,
  metadata: freeObject,
  refresh_grace_seconds: seconds(refreshGraceSecondsMax),
  refresh_token_scopes: listOf(scopeToken),
  insecure_no_pkce: flag,
  disabled: flag,
  authorization_code_grant_access_token_lifespan: access,
  authorization_code_grant_id_token_lifespan: access,
  authorization_code_grant_refresh_token_lifespan: refresh,
  client_credentials_grant_access_token_lifespan: access,
  device_authorization_grant_access_token_lifespan: access,
  device_authorization_grant_id_token_lifespan: access,
  device_authorization_grant_refresh_token_lifespan: refresh,
  implicit_grant_access_token_lifespan: access,
  implicit_grant_id_token_lifespan: access,
  jwt_bearer_grant_access_token_lifespan: access,
  refresh_token_grant_access_token_lifespan: access,
  refresh_token_grant_id_token_lifespan: access,
  refresh_token_grant_refresh_token_lifespan: refresh,
  client_secret: ignored('string'),
  client_secret_expires_at: ignored('number'),
  created_at: ignored('string'),
  updated_at: ignored('string'),
  registration_access_token: ignored('string'),
  registration_client_uri: ignored('string'),
};

/** Each field that is known, by its name on the wire, with what its rule says in JSON Schema. */
export const clientFieldSchemas: Readonly<Record<string, FieldSchema>> = Object.fromEntries(
  Object.entries(rules).map(([name, rule]) => [name, rule.schema]),
);

const lifespanNames = Object.keys(rules).filter((name) => name.endsWith('_lifespan'));

/**
 * Checks a client document and fills in Hydra's defaults. `null`, an empty string and an empty list
 * mean "not given", as they do to Hydra. Refuses with `invalid_redirect_uri` or `invalid_metadata`
 * (RFC 7591 §3.2.2) and a hint that names the field and what is right. The client_secret is not
 * looked at; see tokens/secret.ts.
 */
export function parseClientMetadata(input: unknown, clientId: string): ParsedClient | Refusal {
  if (!isObject(input)) return refuse('invalid_metadata', 'the body must be a JSON object');
  const given = readFields({ ...input, client_id: clientId });
  if (isRefusal(given)) return given;
  const metadata: Record<string, unknown> = {
    redirect_uris: [],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    scope: defaultClientScope,
    audience: [],
    contacts: [],
    allowed_cors_origins: [],
    subject_type: 'public',
    token_endpoint_auth_method: 'client_secret_basic',
    jwks: {},
    metadata: {},
    skip_consent: false,
    ...given,
  };
  withoutUnusableGrants(metadata);
  const client = clientOf(metadata);
  return contradiction(client, metadata) ?? { metadata, client };
}

/**
 * Puts Hydra's `oAuth2ClientTokenLifespans` into a document: lifespans that are not given are
 * taken away, all else stays.
 */
export function withLifespans(metadata: ClientMetadata, input: unknown): ParsedClient | Refusal {
  if (!isObject(input)) return refuse('invalid_metadata', 'the body must be a JSON object');
  const next: Record<string, unknown> = { ...metadata };
  for (const name of lifespanNames) next[name] = input[name];
  return parseClientMetadata(next, String(metadata.client_id));
}

/**
 * A document in which every field is there, as null or an empty list where it says nothing: Hydra's
 * JSON Patch finds them all, so `replace` and `add /-` work on a field that was never given.
 */
export function patchableDocument(metadata: ClientMetadata): Record<string, unknown> {
  const document: Record<string, unknown> = {};
  for (const name of Object.keys(rules)) {
    document[name] = /(?:_uris|_origins|contacts|audience|resources)$/.test(name) ? [] : null;
  }
  return { ...document, ...metadata };
}

/** The client that a stored document describes. The document was checked when it was stored. */
export function clientOf(metadata: ClientMetadata): Client {
  const text = (name: string) => textOf(metadata[name]);
  const list = (name: string) => listedText(metadata[name]);
  const method = text('token_endpoint_auth_method');
  const scopes = parseScope(text('scope'));
  const strategy = text('access_token_strategy');
  const redirectUris = list('redirect_uris');
  const subjectType = text('subject_type') === 'pairwise' ? 'pairwise' : 'public';
  const graceSeconds = metadata.refresh_grace_seconds;
  return {
    clientId: text('client_id') ?? '',
    name: text('client_name') ?? '',
    disabled: metadata.disabled === true,
    authMethod: authMethods.find((known) => known === method) ?? 'client_secret_basic',
    redirectUris,
    postLogoutRedirectUris: list('post_logout_redirect_uris'),
    grantTypes: new Set(list('grant_types')),
    responseTypes: new Set(list('response_types')),
    scope: isRefusal(scopes) ? [] : scopes,
    audience: list('audience'),
    resources: list('resources'),
    subjectType,
    sectorIdentifier: subjectType === 'pairwise' ? soleHost(redirectUris) : undefined,
    idTokenAlg: algOf(metadata.id_token_signed_response_alg),
    userinfoAlg: algOf(metadata.userinfo_signed_response_alg),
    accessTokenStrategy: strategy === 'jwt' || strategy === 'opaque' ? strategy : undefined,
    skipConsent: metadata.skip_consent === true,
    skipLogoutConsent: metadata.skip_logout_consent === true,
    allowedCorsOrigins: list('allowed_cors_origins'),
    refreshGraceSeconds: typeof graceSeconds === 'number' ? graceSeconds : undefined,
    refreshTokenScopes: Array.isArray(metadata.refresh_token_scopes)
      ? list('refresh_token_scopes')
      : undefined,
    insecureNoPkce: metadata.insecure_no_pkce === true,
    lifespans: {
      authorizationCode: lifespansOf(metadata, 'authorization_code'),
      refreshToken: lifespansOf(metadata, 'refresh_token'),
      clientCredentials: lifespansOf(metadata, 'client_credentials'),
    },
    metadata,
  };
}

function readFields(input: ClientMetadata): Record<string, unknown> | Refusal {
  const given: Record<string, unknown> = {};
  for (const [name, rule] of Object.entries(rules)) {
    const value = Object.hasOwn(input, name) ? input[name] : undefined;
    if (value === undefined || value === null || value === '') continue;
    // An empty list is Go's zero value too, except where it says more than leaving it out.
    if (Array.isArray(value) && value.length === 0 && name !== 'refresh_token_scopes') continue;
    const result = rule(value);
    if ('fault' in result) {
      const reason = name === 'redirect_uris' ? 'invalid_redirect_uri' : 'invalid_metadata';
      const gap = result.fault.startsWith('[') ? '' : ' ';
      return refuse(reason, `${name}${gap}${result.fault}`);
    }
    if (result.value !== undefined) given[name] = result.value;
  }
  return given;
}

/**
 * A public client cannot use client_credentials (RFC 6749 §4.4). Beside other grant types the server
 * leaves it out and answers so (RFC 7591 §3.2.1): registrations made for Hydra name all three.
 */
function withoutUnusableGrants(metadata: Record<string, unknown>): void {
  const types = listedText(metadata.grant_types);
  if (metadata.token_endpoint_auth_method !== 'none' || types.length < 2) return;
  metadata.grant_types = types.filter((type) => type !== 'client_credentials');
}

/** What single fields cannot tell: combinations that would be unsafe or never work. */
function contradiction(client: Client, metadata: ClientMetadata): Refusal | undefined {
  const wrong = (hint: string) => refuse('invalid_metadata', hint);
  const isPublic = client.authMethod === 'none';
  if (isPublic && client.grantTypes.has('client_credentials')) {
    return wrong(
      'grant_types must not name client_credentials for a public client ' +
        '(token_endpoint_auth_method none; RFC 6749 §4.4)',
    );
  }
  if (client.insecureNoPkce && (isPublic || !scopeAllowed(client.scope, 'openid'))) {
    return wrong(
      'insecure_no_pkce is for confidential clients with the scope openid only (OAuth 2.1 §7.5.1)',
    );
  }
  if (client.subjectType === 'pairwise' && client.sectorIdentifier === undefined) {
    return wrong(
      'subject_type pairwise needs redirect_uris of exactly one http or https host, which is the ' +
        'sector (OIDC Core §8.1); sector_identifier_uri is not supported',
    );
  }
  const jwks = metadata.jwks;
  if (metadata.jwks_uri !== undefined && isObject(jwks) && Object.keys(jwks).length > 0) {
    return wrong('jwks and jwks_uri must not be given together (RFC 7591 §2)');
  }
  return undefined;
}

function soleHost(redirectUris: readonly string[]): string | undefined {
  const hosts = new Set(redirectUris.map(redirectHost));
  const [host] = hosts;
  return hosts.size === 1 ? host : undefined;
}

function lifespansOf(metadata: ClientMetadata, grant: string): Lifespans {
  const accessTokenSeconds = secondsOf(metadata[`${grant}_grant_access_token_lifespan`]);
  const idTokenSeconds = secondsOf(metadata[`${grant}_grant_id_token_lifespan`]);
  const refreshTokenSeconds = secondsOf(metadata[`${grant}_grant_refresh_token_lifespan`]);
  return {
    ...(accessTokenSeconds === undefined ? {} : { accessTokenSeconds }),
    ...(idTokenSeconds === undefined ? {} : { idTokenSeconds }),
    ...(refreshTokenSeconds === undefined ? {} : { refreshTokenSeconds }),
  };
}

function secondsOf(value: unknown): number | undefined {
  const nanoseconds = typeof value === 'string' ? parseGoDuration(value) : undefined;
  return nanoseconds === undefined ? undefined : wholeSeconds(nanoseconds);
}

function algOf(value: unknown): SigningAlg | undefined {
  return signingAlgs.find((alg) => alg === value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function listedText(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}
