/**
 * The one table of expected refusals: internal reason -> OAuth error, HTTP status, clause.
 * Types, wire, docs/refusals.md and tests come from here. Thrown errors are bugs or outages.
 */
export const refusals = {
  // the token endpoint and its kin (RFC 6749 §5.2)
  malformed_request: r('invalid_request', 400, 'RFC 6749 §5.2', 'The request is malformed.'),
  duplicate_parameter: r('invalid_request', 400, 'RFC 6749 §3.2', 'A parameter is given more than once.'),
  missing_parameter: r('invalid_request', 400, 'RFC 6749 §5.2', 'A required parameter is missing.'),
  body_too_large: r('invalid_request', 413, 'RFC 9110 §15.5.14', 'The body is larger than this endpoint takes.'),
  content_type: r('invalid_request', 415, 'RFC 6749 §3.2', 'The body must be application/x-www-form-urlencoded.'),
  unknown_client: r('invalid_client', 401, 'RFC 6749 §5.2', 'Client authentication failed.'),
  wrong_auth_method: r('invalid_client', 401, 'RFC 6749 §2.3', 'Client authentication failed: the client is registered for another token_endpoint_auth_method.'),
  two_auth_methods: r('invalid_client', 401, 'RFC 6749 §2.3', 'Client authentication failed: use one method per request.'),
  client_disabled: r('invalid_client', 401, 'RFC 6749 §5.2', 'The client is disabled.'),
  unsupported_grant_type: r('unsupported_grant_type', 400, 'RFC 6749 §5.2', 'This grant_type is not supported.'),
  grant_type_not_registered: r('unauthorized_client', 400, 'RFC 6749 §5.2', 'The client is not registered for this grant_type.'),
  code_invalid: r('invalid_grant', 400, 'RFC 6749 §4.1.3', 'The code is not valid, has expired, or was issued to another client.'),
  code_replayed: r('invalid_grant', 400, 'RFC 6749 §4.1.2', 'The code was used before; what it issued is revoked.'),
  code_redirect_uri: r('invalid_grant', 400, 'RFC 6749 §4.1.3', 'The redirect_uri differs from the one of the authorization request.'),
  code_verifier: r('invalid_grant', 400, 'RFC 7636 §4.6', 'The code_verifier does not match the code_challenge.'),
  grant_dead: r('invalid_grant', 400, 'RFC 6749 §5.2', 'What was granted has been revoked or has expired.'),
  refresh_invalid: r('invalid_grant', 400, 'RFC 6749 §6', 'The refresh token is not valid, has expired, or was issued to another client.'),
  refresh_reused: r('invalid_grant', 400, 'RFC 9700 §4.14.2', 'The refresh token was used before; its family is revoked.'),
  scope_widened: r('invalid_scope', 400, 'RFC 6749 §6', 'The scope exceeds what was granted.'),
  scope_malformed: r('invalid_scope', 400, 'RFC 6749 §3.3', 'The scope is malformed.'),
  scope_not_allowed: r('invalid_scope', 400, 'RFC 6749 §3.3', 'The client may not ask for this scope.'),
  resource_invalid: r('invalid_target', 400, 'RFC 8707 §2', 'The resource is not a URI this client may ask for.'),
  // the authorization endpoint (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6)
  redirect_uri_mismatch: r('invalid_request', 400, 'RFC 6749 §3.1.2.4', 'The redirect_uri is not registered for this app.'),
  unsupported_response_type: r('unsupported_response_type', 400, 'RFC 6749 §4.1.2.1', 'Only response_type=code is supported.'),
  response_type_not_registered: r('unauthorized_client', 400, 'RFC 6749 §4.1.2.1', 'The app is not registered for response_type=code.'),
  unmet_authentication_requirements: r('unmet_authentication_requirements', 400, 'OIDC Unmet Authentication Requirements §3', 'The login does not reach the acr that the app requires.'),
  unsupported_response_mode: r('invalid_request', 400, 'OAuth 2.0 Multiple Response Types §2.1', 'Only response_mode query and fragment are supported.'),
  pkce_missing: r('invalid_request', 400, 'OAuth 2.1 §7.5.1', 'A code_challenge with code_challenge_method=S256 is required.'),
  nonce_missing: r('invalid_request', 400, 'OAuth 2.1 §7.5.1', 'A client exempted from PKCE must send a nonce.'),
  request_object: r('request_not_supported', 400, 'OIDC Core §6.1', 'Request objects are not supported.'),
  request_uri: r('request_uri_not_supported', 400, 'OIDC Core §6.2', 'Request URIs are not supported.'),
  registration_parameter: r('registration_not_supported', 400, 'OIDC Core §7.2.1', 'The registration parameter is not supported.'),
  invalid_parameter: r('invalid_request', 400, 'RFC 6749 §4.1.2.1', 'A parameter has a value that is not valid.'),
  login_required: r('login_required', 400, 'OIDC Core §3.1.2.6', 'The person must sign in first.'),
  consent_required: r('consent_required', 400, 'OIDC Core §3.1.2.6', 'The person must consent first.'),
  access_denied: r('access_denied', 403, 'RFC 6749 §4.1.2.1', 'The request was denied.'),
  // challenges and verifiers
  flow_invalid: r('invalid_request', 400, 'Gatehouse: sealed flow', 'This link is not valid or has expired. Go back to the app and start again.'),
  flow_csrf: r('request_forbidden', 403, 'RFC 9700 §4.7', 'This browser did not start the request. Go back to the app and start again.'),
  flow_used: r('request_used', 410, 'Gatehouse: sealed code', 'This sign-in was completed before. Go back to the app and start again.'),
  challenge_unknown: r('not_found', 404, 'Hydra handshake', 'The challenge is not valid or has expired.'),
  // use of tokens (RFC 6750 §3.1)
  token_missing: r('invalid_request', 401, 'RFC 6750 §3.1', 'An access token is required in the Authorization header.'),
  token_inactive: r('invalid_token', 401, 'RFC 6750 §3.1', 'The access token is not valid, has expired or was revoked.'),
  scope_insufficient: r('insufficient_scope', 403, 'RFC 6750 §3.1', 'The access token lacks a required scope.'),
  // logout
  hint_invalid: r('invalid_request', 400, 'OIDC RP-Initiated Logout §2', 'The id_token_hint is not an ID token of this issuer.'),
  post_logout_mismatch: r('invalid_request', 400, 'OIDC RP-Initiated Logout §3.1', 'The post_logout_redirect_uri is not registered for this app.'),
  // admin doors
  admin_unauthorized: r('unauthorized', 401, 'Gatehouse: admin credentials', 'An admin credential is required: Authorization: Bearer <token>.'),
  admin_forbidden: r('forbidden', 403, 'Gatehouse: admin credentials', 'The role of this admin credential does not open this door.'),
  not_found: r('not_found', 404, 'RFC 9110 §15.5.5', 'There is nothing here by that name.'),
  conflict: r('conflict', 409, 'RFC 9110 §15.5.10', 'Something by that name exists already.'),
  invalid_metadata: r('invalid_client_metadata', 400, 'RFC 7591 §3.2.2', 'The client metadata is not valid.'),
  invalid_redirect_uri: r('invalid_redirect_uri', 400, 'RFC 7591 §3.2.2', 'A redirect URI is not valid.'),
  // limits and outages
  rate_limited: r('rate_limited', 429, 'RFC 6585 §4', 'Too many requests; try again later.'),
  unavailable: r('temporarily_unavailable', 503, 'RFC 6749 §4.1.2.1', 'The service cannot answer safely right now; try again.'),
  server_error: r('server_error', 500, 'RFC 6749 §4.1.2.1', 'Something went wrong on our side.'),
} as const;

export type RefusalReason = keyof typeof refusals;

/** What every refusal inherits; no JSON that comes from outside can. */
const brand = Symbol('refusal');
const branded = Object.freeze({ [brand]: true as const });

/** An expected refusal. `hint` says what the reader can do; it must never quote a secret. */
export interface Refusal {
  readonly [brand]: true;
  readonly refused: RefusalReason;
  readonly hint?: string;
}

/** Makes a refusal; `hint` replaces the table's sentence on the wire where it may be shown. */
export function refuse(refused: RefusalReason, hint?: string): Refusal {
  const refusal: Refusal = Object.create(branded);
  return Object.assign(refusal, hint === undefined ? { refused } : { refused, hint });
}

/** Tells a refusal from any other value that a decision may return, whatever its members. */
export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && brand in value;
}

function r<E extends string>(error: E, status: number, clause: string, description: string) {
  return { error, status, clause, description } as const;
}
