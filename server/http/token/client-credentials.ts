import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { parseResources } from '#core/resource.ts';
import { parseScope, scopeNotAllowed } from '#core/scope.ts';
import type { Engine } from '#server/engine.ts';
import { noClaims } from './chain-claims.ts';
import { issueTokens, permittedLifetimes } from './issue.ts';
import type { TokenRequest } from './token-request.ts';

/** After every fact: 48 bits are what tokens carry. */
const bornAfterAll = 2 ** 48 - 1;

/**
 * A token for the client itself (RFC 6749 §4.4). Nothing is written: it dies by its own id, with
 * its client, or by time. A public client cannot ask, since it cannot prove who it is.
 */
export async function grantClientCredentials(
  engine: Engine,
  { ring, form, client, born }: TokenRequest,
): Promise<Readonly<Record<string, unknown>> | Refusal> {
  if (client.authMethod === 'none') return refuse('grant_type_not_registered');
  const scope = parseScope(form.get('scope'));
  if (isRefusal(scope)) return scope;
  const stranger = scopeNotAllowed(client.scope, scope);
  if (stranger !== undefined) {
    return refuse('scope_not_allowed', `The client may not ask for the scope "${stranger}".`);
  }
  const resources = parseResources(client, form.all('resource'));
  if (isRefusal(resources)) return resources;
  const audience = form.all('audience').flatMap((value) => value.split(' ').filter(Boolean));
  const foreign = audience.find((one) => !client.audience.includes(one));
  if (foreign !== undefined) {
    return refuse('resource_invalid', `The client may not ask for the audience "${foreign}".`);
  }
  const lifetimes = await permittedLifetimes(engine, client, 'clientCredentials');
  const own = {
    subject: client.clientId,
    chainId: '',
    grantId: '',
    grantVersion: 0,
    sessionId: '',
    online: false,
    // Only its client's cutoff speaks of it; a subject of the same name is somebody else.
    loginBorn: bornAfterAll,
    grantBorn: born,
  };
  // No statement comes now that would see what was revoked meanwhile.
  const { feed } = engine;
  const isNewer = feed.known() !== born;
  if (isNewer && (await feed.isDead({ ...own, clientId: client.clientId, tokenId: '' }))) {
    return refuse('grant_dead');
  }
  return issueTokens(engine, ring, {
    client,
    lifetimes,
    ...own,
    scope,
    audience: [...new Set([...audience, ...resources])],
    authenticatedAt: 0,
    acr: '',
    amr: [],
    nonce: undefined,
    claims: noClaims,
    refreshToken: undefined,
    issuedAt: Math.floor(engine.feed.nowMs() / 1000),
  });
}
