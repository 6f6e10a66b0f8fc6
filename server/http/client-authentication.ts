import type { Client, ClientAuthMethod } from '#core/client.ts';
import { clientIdCharsMax } from '#core/client-field.ts';
import { isRefusal, type Refusal, refusals, refuse } from '#core/refusal.ts';
import { refusalAnswer } from '#server/http/frame/answer.ts';
import type { Node } from '#server/node.ts';
import type { ClientWithSecrets } from '#server/store/client.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { clientSecretCharsMax, type SecretVerdict } from '#tokens/secret.ts';

/** A request's parameters by name: the parsed body, a Map or URLSearchParams. */
export interface Parameters {
  get(name: string): string | null | undefined;
}

/** A client that has proven who it is, as far as its registration asks for that. */
export interface AuthenticatedClient {
  readonly client: Client;
  readonly method: ClientAuthMethod;
  /** The newest fact known before the secret was looked at: what came later kills what is issued. */
  readonly born: number;
}

/**
 * Longest Basic credentials, percent-encoded and in base64: 4 characters for one of the id and the
 * colon, which are ASCII, and 12 for one of the secret, which has up to three bytes.
 */
const basicCharsMax = 4 * (clientIdCharsMax + 1) + 12 * clientSecretCharsMax + 8;

/** A client as a request claims it to be, looked up but not yet proven. */
export interface PresentedClient {
  readonly presented: Presented;
  readonly found: ClientWithSecrets | undefined;
  readonly born: number;
}

/**
 * Finds the client that a token, revocation or introspection request claims to come from (RFC 6749
 * §2.3). Waits for the feed first, so a client disabled or changed elsewhere is known to be. Refuses
 * what is no way to authenticate; whether a client was found is not told yet.
 */
export async function presentedClient(
  node: Node,
  authorization: string | null | undefined,
  parameters: Parameters,
): Promise<PresentedClient | Refusal> {
  const presented = presentedCredentials(authorization, parameters);
  if (isRefusal(presented)) return presented;
  const freshness = node.feed.fresh();
  if (freshness !== undefined) await freshness;
  const born = node.feed.known();
  const found = await node.clients.withSecrets(presented.clientId);
  return { presented, found, born };
}

/**
 * Authenticates by the one method that the client is registered for: Basic, `client_secret` in the
 * body, or its bare `client_id`. An unknown client and a wrong secret are refused alike (security
 * 34); a wrong method is named only to who knows the secret. Refuses with `rate_limited` when too
 * many slow hashes are being checked. Decides at once, except where a slow hash is new to this
 * process: so a guess that is counted before and taken back after never holds up another request.
 */
export function provenClient(
  node: Node,
  ring: Keyring,
  { presented, found, born }: PresentedClient,
): AuthenticatedClient | Refusal | Promise<AuthenticatedClient | Refusal> {
  if (presented.method === 'none') {
    if (found?.client.authMethod !== 'none') return unknown;
    return usable(found.client, 'none', born);
  }
  const { clientId, secret, method } = presented;
  const judge = (verdict: SecretVerdict) => judged(verdict, method, found?.client, born);
  const checked = node.clients.secrets.verify(ring, clientId, found?.secrets ?? [], secret);
  return typeof checked === 'string' ? judge(checked) : checked.then(judge);
}

function judged(
  verdict: SecretVerdict,
  method: ClientAuthMethod,
  client: Client | undefined,
  born: number,
): AuthenticatedClient | Refusal {
  if (verdict === 'busy') return refuse('rate_limited');
  if (client === undefined || verdict === 'wrong') return unknown;
  const registered = client.authMethod;
  if (registered !== method) {
    const hint = `The client is registered for token_endpoint_auth_method ${registered}, not ${method}.`;
    return refuse('wrong_auth_method', hint);
  }
  return usable(client, method, born);
}

/** The answer for a refused client; 401 carries a challenge (RFC 9110 §15.5.2, RFC 6749 §5.2). */
export function clientRefusalAnswer(refusal: Refusal): Response {
  const challenged = refusals[refusal.refused].status === 401;
  return refusalAnswer(refusal, challenged ? { headers: basicChallenge } : {});
}

/** The client id that Basic credentials claim, unproven; undefined where there are none. */
export function basicClientId(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : basicCredentials(authorization)?.clientId;
}

/** The challenge of RFC 7617 §2; ids and secrets are UTF-8. */
const basicChallenge = {
  'www-authenticate': 'Basic realm="gatehouse", charset="UTF-8"',
} as const;

type Presented =
  | { readonly method: 'none'; readonly clientId: string }
  | {
      readonly method: 'client_secret_basic' | 'client_secret_post';
      readonly clientId: string;
      readonly secret: string;
    };

// One sentence for an id nobody has, a secret that does not match and one that is missing.
const unknown = refuse(
  'unknown_client',
  'Client authentication failed: the client is unknown, or its secret is missing or wrong.',
);

function usable(
  client: Client,
  method: ClientAuthMethod,
  born: number,
): AuthenticatedClient | Refusal {
  return client.disabled ? refuse('client_disabled') : { client, method, born };
}

function presentedCredentials(
  authorization: string | null | undefined,
  parameters: Parameters,
): Presented | Refusal {
  const bodyId = parameters.get('client_id') ?? undefined;
  const bodySecret = parameters.get('client_secret') ?? undefined;
  if ((parameters.get('client_assertion') ?? undefined) !== undefined) {
    return refuse(
      'wrong_auth_method',
      'client_assertion is not supported: use client_secret_basic, client_secret_post or none.',
    );
  }
  if (authorization !== undefined && authorization !== null) {
    const basic = basicCredentials(authorization);
    if (basic === undefined) {
      return refuse('unknown_client', 'The Authorization header is not valid Basic (RFC 7617 §2).');
    }
    // The same client_id in the body is no second method (RFC 6749 §2.3.1); a secret there is.
    if (bodySecret !== undefined) return refuse('two_auth_methods');
    if (bodyId !== undefined && bodyId !== basic.clientId) return refuse('two_auth_methods');
    return basic.secret === '' ? unknown : { method: 'client_secret_basic', ...basic };
  }
  if (bodyId === undefined || bodyId === '' || bodyId.length > clientIdCharsMax) return unknown;
  if (bodySecret === undefined) return { method: 'none', clientId: bodyId };
  if (bodySecret === '') return unknown;
  return { method: 'client_secret_post', clientId: bodyId, secret: bodySecret };
}

function basicCredentials(
  authorization: string,
): { readonly clientId: string; readonly secret: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_-]+={0,2})$/i.exec(authorization)?.[1];
  if (encoded === undefined || encoded.length > basicCharsMax) return undefined;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon <= 0) return undefined;
  const clientId = formDecoded(text.slice(0, colon));
  const secret = formDecoded(text.slice(colon + 1));
  if (clientId === undefined || secret === undefined || clientId.length > clientIdCharsMax) {
    return undefined;
  }
  return { clientId, secret };
}

/** Undoes application/x-www-form-urlencoded, which RFC 6749 §2.3.1 asks for inside of Basic. */
function formDecoded(text: string): string | undefined {
  if (!/[%+]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}
