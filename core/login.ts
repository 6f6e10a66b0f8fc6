import type { AuthorizationRequest } from './authorization-request.ts';
import type { Client } from './client.ts';
import { type Refusal, refuse } from './refusal.ts';

/** The login that the browser's cookie names, if it lives. */
export interface KnownLogin {
  readonly subject: string;
  /** Seconds since the epoch. */
  readonly authenticatedAt: number;
  readonly acr: string;
}

/**
 * `skip`: the login holds and the login app need not ask. `ask`: it must. A refusal: the request
 * says `prompt=none` and nobody suitable is signed in (OIDC Core §3.1.2.1, §3.1.2.6).
 * `hintSubject` is the `sub` of a verified `id_token_hint`.
 */
export function decideLogin(
  request: AuthorizationRequest,
  login: KnownLogin | undefined,
  hintSubject: string | undefined,
  nowSeconds: number,
): 'skip' | 'ask' | Refusal {
  const none = request.prompt.has('none');
  const suits = login !== undefined && loginSuits(request, login, hintSubject, nowSeconds);
  if (!suits) return none ? refuse('login_required') : 'ask';
  const again = ['login', 'select_account', 'registration', 'create'];
  return again.some((prompt) => request.prompt.has(prompt)) ? 'ask' : 'skip';
}

function loginSuits(
  request: AuthorizationRequest,
  login: KnownLogin,
  hintSubject: string | undefined,
  nowSeconds: number,
): boolean {
  const ageSeconds = nowSeconds - login.authenticatedAt;
  // Zero is prompt=login, also within the second of the login (OIDC Core §3.1.2.1).
  if (request.maxAge === 0) return false;
  if (request.maxAge !== undefined && ageSeconds > request.maxAge) return false;
  if (hintSubject !== undefined && hintSubject !== login.subject) return false;
  const acr = request.claims?.essentialAcr ?? [];
  if (acr.length > 0 && !acr.includes(login.acr)) return false;
  const wanted = request.claims?.subject;
  return wanted === undefined || wanted === login.subject;
}

/**
 * Whether a login that was just made is the one that was asked for: the hinted or claimed subject
 * (OIDC Core §3.1.2.2), young enough, and with an essential `acr` (§5.5.1.1).
 */
export function judgeLogin(
  request: AuthorizationRequest,
  login: KnownLogin,
  hintSubject: string | undefined,
): Refusal | undefined {
  const wanted = hintSubject ?? request.claims?.subject;
  if (wanted !== undefined && wanted !== login.subject) {
    return refuse('login_required', 'Another person signed in than the app asked for.');
  }
  const acr = request.claims?.essentialAcr ?? [];
  if (acr.length > 0 && !acr.includes(login.acr)) {
    return refuse('unmet_authentication_requirements');
  }
  return undefined;
}

/** What the subject told this client before and wants remembered. */
export interface RememberedConsent {
  readonly scope: readonly string[];
  readonly audience: readonly string[];
}

/**
 * `skip`: all that is asked was allowed before and is remembered. `ask`: the consent app decides.
 * A refusal: `prompt=none` and it was not. A public client whose redirect does not prove who it is
 * is always asked for (RFC 6749 §10.2, RFC 8252 §8.6).
 */
export function decideConsent(
  request: AuthorizationRequest,
  client: Client,
  redirectUri: string,
  remembered: RememberedConsent | undefined,
): 'skip' | 'ask' | Refusal {
  const asked = [...request.audience, ...request.resource];
  const holds =
    remembered !== undefined &&
    !request.prompt.has('consent') &&
    (client.authMethod !== 'none' || redirectUri.startsWith('https://')) &&
    request.scope.every((scope) => remembered.scope.includes(scope)) &&
    asked.every((audience) => remembered.audience.includes(audience));
  if (holds) return 'skip';
  if (request.prompt.has('none') && !client.skipConsent) return refuse('consent_required');
  return 'ask';
}
