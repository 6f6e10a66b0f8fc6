import { isOffline } from './lifetime.ts';
import { type Refusal, refuse } from './refusal.ts';

/** What a grant allows. */
export interface Allowed {
  readonly scope: readonly string[];
  readonly audience: readonly string[];
}

/** What shall remain of a grant; what is left out stays as it is. */
export interface Remainder {
  readonly scope?: readonly string[] | undefined;
  readonly audience?: readonly string[] | undefined;
}

/**
 * `unchanged`: the grant allows no more than that as it is. A refusal: it would be widened, or
 * nothing is named, or no scope would be left, which is what revoking is for.
 */
export function decideNarrowing(
  allowed: Allowed,
  remainder: Remainder,
): 'narrow' | 'unchanged' | Refusal {
  const { scope, audience } = remainder;
  if (scope === undefined && audience === undefined) {
    return refuse('malformed_request', 'Name what remains: scope, audience, or both.');
  }
  if (scope?.length === 0 && allowed.scope.length > 0) {
    return refuse('malformed_request', 'No scope would remain: revoke the grant instead.');
  }
  const wider = scope?.find((one) => !allowed.scope.includes(one));
  if (wider !== undefined) {
    return refuse(
      'scope_widened',
      `The grant does not hold "${wider}": narrowing only takes away.`,
    );
  }
  const farther = audience?.find((one) => !allowed.audience.includes(one));
  if (farther !== undefined) {
    return refuse('scope_widened', `The grant is not for the audience "${farther}".`);
  }
  const loses = (held: readonly string[], kept: readonly string[] | undefined) =>
    kept !== undefined && held.some((one) => !kept.includes(one));
  const narrower = loses(allowed.scope, scope) || loses(allowed.audience, audience);
  return narrower ? 'narrow' : 'unchanged';
}

/** When each scope and audience was last taken from a grant: numbers of facts. */
export interface Lost {
  readonly scope?: Readonly<Record<string, number>>;
  readonly audience?: Readonly<Record<string, number>>;
}

/** What a chain was granted when its code was redeemed. */
export interface ChainGrant {
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  /** The newest fact that was known at its consent. */
  readonly grantBorn: number;
  readonly online: boolean;
}

/** What its grant allows now; `lost` is undefined unless the grant was narrowed since the consent. */
export interface GrantNow {
  readonly grantScope: readonly string[];
  readonly lost: Lost | undefined;
}

/**
 * What is left to a chain: never more than the grant still has. What it lost stays lost when the
 * person allows it again later, since that consent makes a chain of its own. Undefined: it was
 * detached from the login by a scope that it has lost.
 */
export function leftToChain(
  chain: ChainGrant,
  { grantScope, lost }: GrantNow,
): Pick<ChainGrant, 'scope' | 'audience' | 'resource'> | undefined {
  const allowed = chain.scope.filter((one) => grantScope.includes(one));
  if (lost === undefined) return { ...chain, scope: allowed };
  const holds = (at: Readonly<Record<string, number>> = {}) => {
    const since = new Map(Object.entries(at));
    return (name: string) => (since.get(name) ?? 0) <= chain.grantBorn;
  };
  const scope = allowed.filter(holds(lost.scope));
  if (!chain.online && !isOffline(scope)) return undefined;
  return {
    scope,
    audience: chain.audience.filter(holds(lost.audience)),
    resource: chain.resource.filter(holds(lost.audience)),
  };
}
