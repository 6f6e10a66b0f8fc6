import type { AuthorizationRequest } from '#core/authorization-request.ts';
import { parseAuthorizationRequest } from '#core/authorization-request.ts';
import type { Client } from '#core/client.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { baseUrl } from '#server/config/config.ts';
import { verifyIdTokenHint } from '#server/http/authorization/id-token-hint.ts';
import { parseForm } from '#server/http/frame/body.ts';
import type { Node } from '#server/node.ts';
import type { Flow } from '#tokens/flow.ts';
import type { Keyring } from '#tokens/keyring.ts';

/** A flow with its request read again and its client looked up live. */
export interface FlowView {
  readonly client: Client;
  readonly request: AuthorizationRequest;
}

const repeatable = new Set(['resource', 'audience']);

/** Reads what the flow asks; a client that is gone or changed since makes it unknown. */
export async function viewFlow(node: Node, flow: Flow): Promise<FlowView | Refusal> {
  const parameters = parseForm(flow.query, repeatable);
  if (isRefusal(parameters)) return parameters;
  const clientId = parameters.get('client_id');
  const client = clientId === undefined ? undefined : await node.clients.get(clientId);
  if (client === undefined || client.disabled) {
    return refuse('challenge_unknown', 'The app of this request is gone or disabled.');
  }
  const request = parseAuthorizationRequest(client, parameters);
  return isRefusal(request) ? request : { client, request };
}

/** Hydra's `oidc_context`; what is absent is left out. */
export function oidcContext(node: Node, ring: Keyring, request: AuthorizationRequest) {
  const hint = verifyIdTokenHint(node, ring, request.idTokenHint);
  return {
    ...(request.acrValues.length > 0 ? { acr_values: request.acrValues } : {}),
    ...(request.display === undefined ? {} : { display: request.display }),
    ...(hint === undefined || isRefusal(hint) ? {} : { id_token_hint_claims: hint.claims }),
    ...(request.loginHint === undefined ? {} : { login_hint: request.loginHint }),
    ...(request.uiLocales.length > 0 ? { ui_locales: request.uiLocales } : {}),
  };
}

/** The URL that the app sent the browser to. */
export function requestUrl(node: Node, query: string): string {
  return `${baseUrl(node.config)}/oauth2/auth?${query}`;
}
