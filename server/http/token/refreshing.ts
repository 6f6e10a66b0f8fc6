import { leftToChain } from '#core/narrowing.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { parseResources } from '#core/resource.ts';
import { parseScope, scopeAllowed } from '#core/scope.ts';
import type { Engine } from '#server/engine.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import { trailOf } from '#server/http/frame/trail.ts';
import { newId } from '#server/identifiers.ts';
import { DatabaseUnavailable } from '#server/store/database.ts';
import type { ChainState, RefreshOutcome } from '#server/store/refresh.ts';
import type { Keyring } from '#tokens/keyring.ts';
import {
  makeRefreshToken,
  type RefreshToken,
  readRefreshToken,
  refreshTokenPrefix,
} from '#tokens/refresh-token.ts';
import { readChainClaims } from './chain-claims.ts';
import { issueTokens, permittedLifetimes } from './issue.ts';
import { narrowAudience } from './narrow.ts';
import type { TokenRequest } from './token-request.ts';

/**
 * Refreshes (RFC 6749 §6) in one statement. A retry inside the grace gets the same successor; reuse
 * after it revokes the family (RFC 9700 §4.14.2). Asking for more is refused and consumes nothing.
 */
export async function refreshTokens(
  engine: Engine,
  { c, ring, form, client }: TokenRequest,
): Promise<Readonly<Record<string, unknown>> | Refusal> {
  const presented = form.get('refresh_token');
  if (presented === undefined) return refuse('missing_parameter', 'refresh_token is missing.');
  const token = readRefreshToken(ring, presented);
  if (token === undefined) {
    if (presented.startsWith(refreshTokenPrefix)) tellForged(engine, c, client.clientId);
    return refuse('refresh_invalid');
  }
  const scope = parseScope(form.get('scope'));
  if (isRefusal(scope)) return scope;
  if (scope.length > 0 && !scope.some((one) => scopeAllowed(client.scope, one))) {
    return refuse('scope_not_allowed');
  }
  const resource = parseResources(client, form.all('resource'));
  if (isRefusal(resource)) return resource;
  const lifetimes = await permittedLifetimes(engine, client, 'refreshToken');
  const issuedAt = Math.floor(engine.feed.nowMs() / 1000);
  const outcome = await engine.writes.refresh({
    chainId: token.chainId,
    generation: token.generation,
    attempt: newId(),
    clientId: client.clientId,
    cnf: null,
    macKid: ring.refreshMacKid,
    scope: scope.length === 0 ? null : scope,
    resource: resource.length === 0 ? null : resource,
    graceSeconds: client.refreshGraceSeconds ?? engine.config.refreshGraceSeconds,
    idleSeconds: lifetimes.refreshTokenSeconds,
    keepSeconds: lifetimes.accessTokenSeconds,
  });
  if (outcome.kind !== 'refreshed') return refusal(engine, c, outcome, token, client.clientId);
  if (outcome.ahead) tellAhead(engine, c, token, client.clientId);

  const { chain } = outcome;
  const left = leftToChain(chain, chain);
  if (left === undefined) return refuse('grant_dead');
  const audience = narrowAudience(client, resource, left);
  if (isRefusal(audience)) return audience;
  return issueTokens(engine, ring, {
    client,
    lifetimes,
    ...chain,
    chainId: token.chainId,
    scope: scope.length === 0 ? left.scope : left.scope.filter((one) => scope.includes(one)),
    audience,
    nonce: undefined,
    claims: readChainClaims(chain.claims),
    issuedAt,
    refreshToken: successor(ring, token, chain),
  });
}

/** The token of the row's generation, made again from what the row says. */
function successor(ring: Keyring, token: RefreshToken, chain: ChainState): string {
  const { generation, macKid } = chain;
  const made = makeRefreshToken(ring, { chainId: token.chainId, generation, macKid });
  // Keys are on every node before their first use, so this is a node that lost one: an outage.
  if (made === undefined) throw new DatabaseUnavailable('the MAC key of a chain is not here yet');
  return made;
}

async function refusal(
  engine: Engine,
  c: Ctx,
  outcome: Exclude<RefreshOutcome, { kind: 'refreshed' | 'unsettled' }>,
  token: RefreshToken,
  clientId: string,
): Promise<Refusal> {
  switch (outcome.kind) {
    case 'reused':
      return revokeReused(engine, c, token, clientId);
    case 'scope_widened':
      return refuse('scope_widened');
    case 'resource_widened':
      return refuse('resource_invalid', 'The resource was not granted.');
    case 'dead':
      return refuse('grant_dead');
    case 'foreign':
      tellStray(engine, c, token, clientId);
      return refuse('refresh_invalid');
    case 'unknown':
      return refuse('refresh_invalid');
  }
}

/** Answers only when no node can accept what the family was issued. */
async function revokeReused(
  engine: Engine,
  c: Ctx,
  token: RefreshToken,
  clientId: string,
): Promise<Refusal> {
  engine.metrics.event('refresh_reuse');
  engine.log.warn('refresh_reused', { chain: token.chainId, generation: token.generation });
  await engine.writes.revoke({
    kind: 'chain',
    target: token.chainId,
    reason: 'refresh_reused',
    expiresAt: null,
    trail: trailOf(c, 'refresh.reuse', { kind: 'client', id: clientId }),
  });
  await engine.feed.acknowledged();
  return refuse('refresh_reused');
}

/** A right MAC with a generation ahead of the row: the database has lost writes. Not reuse. */
function tellAhead(engine: Engine, c: Ctx, token: RefreshToken, clientId: string): void {
  engine.metrics.event('generation_ahead');
  engine.log.error('generation_ahead', { chain: token.chainId, generation: token.generation });
  const target = { kind: 'chain', id: token.chainId };
  engine.audit.count({ ...trailOf(c, 'refresh.ahead', { kind: 'client', id: clientId }), target });
}

/** A right MAC, but of another client's chain: it was stolen, or apps share what they should not. */
function tellStray(engine: Engine, c: Ctx, token: RefreshToken, clientId: string): void {
  const target = { kind: 'chain', id: token.chainId };
  engine.audit.count({ ...trailOf(c, 'refresh.stray', { kind: 'client', id: clientId }), target });
}

/** The client proved who it is, so this is worth an entry; one of strangers would be noise. */
function tellForged(engine: Engine, c: Ctx, clientId: string): void {
  const actor = { kind: 'client', id: clientId } as const;
  engine.audit.count({ ...trailOf(c, 'token.forged', actor), target: actor });
}
