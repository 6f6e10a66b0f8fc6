import { type ClaimsParameter, parseClaims } from './claims-parameter.ts';
import type { Client } from './client.ts';
import type { Parameters } from './parameters.ts';
import { validCodeChallenge } from './pkce.ts';
import { matchRedirectUri } from './redirect-uri.ts';
import { isRefusal, type Refusal, refuse } from './refusal.ts';
import { parseResources } from './resource.ts';
import { parseScope, scopeNotAllowed } from './scope.ts';

/**
 * Where an authorization answer may be sent. Only {@link verifyRedirect} makes one, so an error can
 * reach a redirect URI only after that URI was found registered (RFC 6749 §4.1.2.1).
 */
export interface VerifiedRedirect {
  readonly uri: string;
  /** What the request gave; '' where it gave none. The code is bound to this. */
  readonly given: string;
  readonly responseMode: 'query' | 'fragment';
  readonly state: string | undefined;
}

/** A valid authorization request (RFC 6749 §4.1.1, OIDC Core §3.1.2.1, RFC 7636, RFC 8707). */
export interface AuthorizationRequest {
  readonly scope: readonly string[];
  /** Hydra's `audience` parameter. */
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  readonly codeChallenge: string | undefined;
  readonly nonce: string | undefined;
  readonly prompt: ReadonlySet<string>;
  /** Seconds; undefined: any age of the login will do. */
  readonly maxAge: number | undefined;
  readonly loginHint: string | undefined;
  readonly uiLocales: readonly string[];
  readonly acrValues: readonly string[];
  readonly display: string | undefined;
  readonly idTokenHint: string | undefined;
  readonly claims: ClaimsParameter | undefined;
}

/** Longest `state` and `nonce`, in characters: they come back in a URL or a token. */
export const stateCharsMax = 4096;
export const nonceCharsMax = 1024;
const audienceCountMax = 20;
const hintListMax = 20;
const prompts = new Set(['none', 'login', 'consent', 'select_account', 'registration', 'create']);

/**
 * The redirect an answer may take, or why it may take none (`redirect_uri_mismatch`). Comparison is
 * byte for byte but for the port of loopback addresses (RFC 8252 §7.3).
 */
export function verifyRedirect(client: Client, parameters: Parameters): VerifiedRedirect | Refusal {
  const given = parameters.get('redirect_uri');
  const [only, ...others] = client.redirectUris;
  const uri = given ?? (others.length === 0 ? only : undefined);
  if (uri === undefined) {
    return refuse('redirect_uri_mismatch', 'redirect_uri is missing and the app has not just one.');
  }
  if (given !== undefined && !matchRedirectUri(client.redirectUris, given)) {
    return refuse(
      'redirect_uri_mismatch',
      `redirect_uri "${given.slice(0, 200)}" is not registered for this app.`,
    );
  }
  const state = parameters.get('state');
  return {
    uri,
    given: given ?? '',
    responseMode: parameters.get('response_mode') === 'fragment' ? 'fragment' : 'query',
    state: state === undefined || state.length > stateCharsMax ? undefined : state,
  };
}

/** Judges all that is asked, after the redirect was verified; a refusal goes to that redirect. */
export function parseAuthorizationRequest(
  client: Client,
  parameters: Parameters,
): AuthorizationRequest | Refusal {
  const refused = unsupported(client, parameters) ?? pkceFault(client, parameters);
  if (refused !== undefined) return refused;
  const scope = parseScope(parameters.get('scope'));
  if (isRefusal(scope)) return scope;
  const stranger = scopeNotAllowed(client.scope, scope);
  if (stranger !== undefined) {
    return refuse('scope_not_allowed', `The app may not ask for the scope "${stranger}".`);
  }
  const audience = parseAudience(client, parameters);
  if (isRefusal(audience)) return audience;
  const resource = parseResources(client, parameters.all('resource'));
  if (isRefusal(resource)) return resource;
  const prompt = parsePrompt(parameters.get('prompt'));
  if (isRefusal(prompt)) return prompt;
  const maxAge = parseMaxAge(parameters.get('max_age'));
  if (isRefusal(maxAge)) return maxAge;
  const claims = parseClaims(parameters.get('claims'));
  if (isRefusal(claims)) return claims;
  return {
    scope,
    audience,
    resource,
    prompt,
    maxAge,
    claims,
    codeChallenge: parameters.get('code_challenge'),
    nonce: parameters.get('nonce'),
    loginHint: parameters.get('login_hint'),
    uiLocales: words(parameters.get('ui_locales')),
    acrValues: words(parameters.get('acr_values')),
    display: parameters.get('display'),
    idTokenHint: parameters.get('id_token_hint'),
  };
}

function unsupported(client: Client, parameters: Parameters): Refusal | undefined {
  if (parameters.get('request') !== undefined) return refuse('request_object');
  if (parameters.get('request_uri') !== undefined) return refuse('request_uri');
  if (parameters.get('registration') !== undefined) return refuse('registration_parameter');
  const responseType = parameters.get('response_type');
  if (responseType === undefined) return refuse('missing_parameter', 'response_type is missing.');
  if (responseType !== 'code') return refuse('unsupported_response_type');
  if (!client.responseTypes.has('code') || !client.grantTypes.has('authorization_code')) {
    return refuse('response_type_not_registered');
  }
  const mode = parameters.get('response_mode');
  if (mode !== undefined && mode !== 'query' && mode !== 'fragment') {
    return refuse('unsupported_response_mode');
  }
  const state = parameters.get('state');
  if (state !== undefined && state.length > stateCharsMax) {
    return refuse('invalid_parameter', `state is longer than ${stateCharsMax} characters.`);
  }
  const nonce = parameters.get('nonce');
  if (nonce !== undefined && nonce.length > nonceCharsMax) {
    return refuse('invalid_parameter', `nonce is longer than ${nonceCharsMax} characters.`);
  }
  return undefined;
}

/** PKCE with S256 for everybody; who is exempt must send a nonce instead (OAuth 2.1 §7.5.1). */
function pkceFault(client: Client, parameters: Parameters): Refusal | undefined {
  const challenge = parameters.get('code_challenge');
  const method = parameters.get('code_challenge_method');
  if (challenge === undefined) {
    if (method !== undefined) return refuse('pkce_missing', 'code_challenge is missing.');
    if (!client.insecureNoPkce) return refuse('pkce_missing');
    if (parameters.get('nonce') === undefined) return refuse('nonce_missing');
    return undefined;
  }
  if (method !== 'S256') {
    return refuse('pkce_missing', 'code_challenge_method must be S256 (plain is not accepted).');
  }
  if (!validCodeChallenge(challenge)) {
    return refuse('pkce_missing', 'code_challenge must be the base64url SHA-256 of the verifier.');
  }
  return undefined;
}

/** Hydra's `audience`: an allow-list by exact match; spaces separate, the parameter may repeat. */
function parseAudience(client: Client, parameters: Parameters): readonly string[] | Refusal {
  const given = parameters.all('audience');
  if (given.length === 0) return [];
  const audience = [...new Set(given.flatMap((value) => value.split(' ').filter(Boolean)))];
  if (audience.length > audienceCountMax) {
    return refuse('invalid_parameter', `audience names more than ${audienceCountMax} values.`);
  }
  const stranger = audience.find((value) => !client.audience.includes(value));
  if (stranger !== undefined) {
    return refuse('invalid_parameter', `The app may not ask for the audience "${stranger}".`);
  }
  return audience;
}

function parsePrompt(text: string | undefined): ReadonlySet<string> | Refusal {
  const prompt = new Set(words(text));
  if (prompt.has('none') && prompt.size > 1) {
    return refuse('invalid_parameter', 'prompt=none cannot be combined with other values.');
  }
  for (const value of prompt) {
    if (!prompts.has(value)) return refuse('invalid_parameter', 'prompt has an unknown value.');
  }
  return prompt;
}

function parseMaxAge(text: string | undefined): number | undefined | Refusal {
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text)) {
    return refuse('invalid_parameter', 'max_age must be a whole number of seconds.');
  }
  return Number(text);
}

function words(text: string | undefined): string[] {
  if (text === undefined) return [];
  return text
    .split(' ')
    .filter((word) => word !== '')
    .slice(0, hintListMax);
}

/** What may be asked for as an audience: Hydra's `audience` and RFC 8707's `resource`. */
export function requestedAudience(request: AuthorizationRequest): string[] {
  return [...new Set([...request.audience, ...request.resource])];
}
