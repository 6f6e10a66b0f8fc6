import { expect } from 'vitest';
import type { Json } from './deployment.ts';

/** What a field holds: a type, a list of strings, or the name of another shape. */
type Kind = 'string' | 'boolean' | 'number' | 'time' | 'strings' | 'object' | 'any' | ShapeName;

/** Answers as Ory Hydra 2.x's OpenAPI description has them, by its names of schemas. */
const shapes = {
  oAuth2LoginRequest: {
    challenge: 'string',
    client: 'oAuth2Client',
    oidc_context: 'oidcContext',
    request_url: 'string',
    requested_access_token_audience: 'strings',
    requested_scope: 'strings',
    session_id: 'string',
    skip: 'boolean',
    subject: 'string',
  },
  oAuth2ConsentRequest: {
    acr: 'string',
    amr: 'strings',
    challenge: 'string',
    client: 'oAuth2Client',
    consent_request_id: 'string',
    context: 'any',
    login_challenge: 'string',
    login_session_id: 'string',
    oidc_context: 'oidcContext',
    request_url: 'string',
    requested_access_token_audience: 'strings',
    requested_scope: 'strings',
    skip: 'boolean',
    subject: 'string',
  },
  oAuth2LogoutRequest: {
    challenge: 'string',
    client: 'oAuth2Client',
    expires_at: 'time',
    request_url: 'string',
    requested_at: 'time',
    rp_initiated: 'boolean',
    sid: 'string',
    subject: 'string',
  },
  oAuth2ConsentSession: {
    consent_request: 'oAuth2ConsentRequest',
    consent_request_id: 'string',
    context: 'any',
    grant_access_token_audience: 'strings',
    grant_scope: 'strings',
    handled_at: 'time',
    remember: 'boolean',
    remember_for: 'number',
    session: 'object',
    // Gatehouse's own.
    grant_id: 'string',
  },
  introspectedOAuth2Token: {
    active: 'boolean',
    aud: 'strings',
    client_id: 'string',
    exp: 'number',
    ext: 'object',
    iat: 'number',
    iss: 'string',
    nbf: 'number',
    obfuscated_subject: 'string',
    scope: 'string',
    sub: 'string',
    token_type: 'string',
    token_use: 'string',
    username: 'string',
    // RFC 7662 §2.2, beyond Hydra.
    jti: 'string',
  },
  oidcContext: {
    acr_values: 'strings',
    display: 'string',
    id_token_hint_claims: 'object',
    login_hint: 'string',
    ui_locales: 'strings',
  },
  oAuth2Client: {
    access_token_strategy: 'string',
    allowed_cors_origins: 'strings',
    audience: 'strings',
    client_id: 'string',
    client_name: 'string',
    client_secret: 'string',
    client_secret_expires_at: 'number',
    contacts: 'strings',
    created_at: 'time',
    grant_types: 'strings',
    id_token_signed_response_alg: 'string',
    jwks: 'object',
    metadata: 'object',
    post_logout_redirect_uris: 'strings',
    redirect_uris: 'strings',
    response_types: 'strings',
    scope: 'string',
    skip_consent: 'boolean',
    skip_logout_consent: 'boolean',
    subject_type: 'string',
    token_endpoint_auth_method: 'string',
    updated_at: 'time',
    userinfo_signed_response_alg: 'string',
    // Gatehouse's own.
    refresh_grace_seconds: 'number',
  },
  errorOAuth2: {
    error: 'string',
    error_description: 'string',
    status_code: 'number',
  },
} as const;

type ShapeName =
  | 'oAuth2LoginRequest'
  | 'oAuth2ConsentRequest'
  | 'oAuth2LogoutRequest'
  | 'oAuth2ConsentSession'
  | 'introspectedOAuth2Token'
  | 'oidcContext'
  | 'oAuth2Client'
  | 'errorOAuth2';

/**
 * Expects `body` to have fields of this shape only, each of its type: none is null, none is an
 * empty string except those of `maybeEmpty`, and none of `required` is missing.
 */
export function expectShape(
  body: unknown,
  name: ShapeName,
  options: { readonly required?: readonly string[]; readonly maybeEmpty?: readonly string[] } = {},
): void {
  expect(faultsOf(body, name, name, options.maybeEmpty ?? [])).toEqual([]);
  for (const field of options.required ?? []) expect(body).toHaveProperty(field);
}

function faultsOf(
  body: unknown,
  name: ShapeName,
  at: string,
  maybeEmpty: readonly string[],
): string[] {
  if (typeof body !== 'object' || body === null) return [`${at} is no object`];
  const shape: ReadonlyMap<string, Kind> = new Map(Object.entries<Kind>(shapes[name]));
  return Object.entries(body).flatMap(([field, value]) => {
    const path = `${at}.${field}`;
    const kind = shape.get(field);
    if (kind === undefined) return [`${path} is not in the schema`];
    if (value === null) return [`${path} is null`];
    if (value === '' && !maybeEmpty.includes(field)) return [`${path} is empty`];
    return valueFaults(value, kind, path, maybeEmpty);
  });
}

function valueFaults(
  value: unknown,
  kind: Kind,
  path: string,
  maybeEmpty: readonly string[],
): string[] {
  switch (kind) {
    case 'any':
      return [];
    case 'string':
    case 'boolean':
    case 'number':
      return typeof value === kind ? [] : [`${path} is no ${kind}`];
    case 'time':
      return isTime(value) ? [] : [`${path} is no RFC 3339 time`];
    case 'strings':
      return Array.isArray(value) && value.every((one) => typeof one === 'string' && one !== '')
        ? []
        : [`${path} is no list of strings`];
    case 'object':
      return isObject(value) ? [] : [`${path} is no object`];
    default:
      return faultsOf(value, kind, path, maybeEmpty);
  }
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
