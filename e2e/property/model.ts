/**
 * What must be alive and what dead, after any order of operations. It knows no clock: `born` and
 * `cut` count steps, and something dies of what was said after it was born. docs/property-test.md
 * is this file in prose.
 */
export interface Person {
  readonly name: string;
  /** The step at which everything of this person was revoked last. */
  cut: number;
  /** The step at which every consent of this person was withdrawn last. */
  consentsCut: number;
}

export interface App {
  readonly index: number;
  cut: number;
  /** False between its deletion and its being made again under the same id. */
  present: boolean;
  lifetimeSeconds: number;
}

export interface Login {
  readonly person: Person;
  readonly born: number;
  readonly id: string;
  ended: boolean;
  revoked: boolean;
}

/** One per person and app; the next one after its death is another. */
export interface Grant {
  readonly person: Person;
  readonly app: App;
  scope: ReadonlySet<string>;
  /** Scopes that need no asking; undefined: none were to be remembered. */
  remembered: ReadonlySet<string> | undefined;
  loginBorn: number;
  grantBorn: number;
  version: number;
  revoked: boolean;
  /** When it, or one before it, was last revoked or narrowed: what was consented to before is void. */
  cut: number;
  /** When each scope was taken away. */
  lost: ReadonlyMap<string, number>;
  /** The name of the flow that was consented to last; '' where none was. */
  last: string;
}

/** What one redeemed code began. */
export interface Chain {
  readonly grant: Grant;
  readonly login: Login;
  readonly scope: ReadonlySet<string>;
  readonly loginBorn: number;
  readonly grantBorn: number;
  revoked: boolean;
  /** Refresh tokens by generation; empty where there are none. */
  readonly refreshTokens: string[];
}

export interface AccessToken {
  readonly text: string;
  readonly app: App;
  /** Undefined: the app's own token, by client credentials. */
  readonly chain: Chain | undefined;
  readonly born: number;
  /** Undefined: made while the grant was narrowed, before or after. */
  readonly version: number | undefined;
  readonly scope: ReadonlySet<string>;
  /** When it ends by itself: surely not before, surely after. Milliseconds of the test's clock. */
  readonly ends: readonly [number, number];
  revoked: boolean;
}

const offline = 'offline_access';
export const isOnline = (chain: Pick<Chain, 'scope'>): boolean => !chain.scope.has(offline);

/** Why a login is dead; undefined: it lives. */
export function deathOfLogin({ person, born, ended, revoked }: Login): string | undefined {
  if (revoked) return 'its session was revoked';
  if (ended) return 'its person signed out';
  return person.cut > born ? 'its person was revoked' : undefined;
}

/** Why a grant is dead; undefined: it lives. */
export function deathOfGrant(grant: Grant): string | undefined {
  if (grant.revoked) return 'the grant was revoked';
  if (grant.person.cut > grant.loginBorn) return 'the person was revoked';
  return grant.app.cut > grant.grantBorn ? 'the app was revoked or deleted' : undefined;
}

/** Why nothing of a chain may be accepted; undefined: it lives. */
export function deathOfChain(chain: Chain): string | undefined {
  const { grant, login } = chain;
  if (!grant.app.present) return 'the app is deleted';
  if (chain.revoked) return 'the chain was revoked';
  if (grant.revoked) return 'the grant was revoked';
  if (login.revoked) return 'the session was revoked';
  if (login.ended && isOnline(chain)) return 'the person signed out';
  if (grant.person.cut > chain.loginBorn) return 'the person was revoked';
  return grant.app.cut > chain.grantBorn ? 'the app was revoked or deleted' : undefined;
}

/** Why an access token is dead; `unknown` where it may be either. */
export function deathOfAccessToken(token: AccessToken, nowMs: number): string | undefined {
  const { chain, app } = token;
  const [endsFrom, endsBy] = token.ends;
  if (token.revoked) return 'the token was revoked';
  if (!app.present) return 'the app is deleted';
  if (nowMs > endsBy) return 'it has expired';
  if (chain === undefined) {
    if (app.cut > token.born) return 'the app was revoked or deleted';
  } else {
    const death = deathOfChain(chain);
    if (death !== undefined) return death;
    if (token.version === undefined) return 'unknown';
    if (token.version < chain.grant.version) return 'the grant was narrowed';
  }
  return nowMs > endsFrom ? 'unknown' : undefined;
}

/** The scopes that a refresh of this chain gives; undefined: it lost what detached it. */
export function leftTo(chain: Chain): ReadonlySet<string> | undefined {
  const { scope, lost } = chain.grant;
  const holds = (one: string) => scope.has(one) && (lost.get(one) ?? 0) <= chain.grantBorn;
  const left = new Set([...chain.scope].filter(holds));
  return isOnline(chain) || left.has(offline) ? left : undefined;
}

/** Why a refresh token is dead; undefined: it lives. Only the newest of its chain is shown alive. */
export function deathOfRefreshToken(chain: Chain, generation: number): string | undefined {
  const death = deathOfChain(chain);
  if (death !== undefined) return death;
  if (leftTo(chain) === undefined) return 'the grant lost offline_access';
  return generation < chain.refreshTokens.length - 1 ? 'it was spent' : undefined;
}

/** What a consent carries to the grant. */
export interface Consent {
  /** Of its flow. */
  readonly name: string;
  readonly person: Person;
  readonly app: App;
  readonly scope: ReadonlySet<string>;
  readonly loginBorn: number;
  readonly grantBorn: number;
  readonly remember: boolean;
}

/** The consent becomes a grant: it adds to a living one, and begins a new one in a dead one's place. */
export function giveGrant(row: Grant | undefined, consent: Consent): Grant {
  const { person, app, scope, loginBorn, grantBorn, remember } = consent;
  if (row === undefined || deathOfGrant(row) !== undefined) {
    const last = consent.name;
    const begun = { version: 1, revoked: false, cut: row?.cut ?? 0, lost: new Map(), last };
    const remembered = remember ? scope : undefined;
    return { person, app, scope, loginBorn, grantBorn, remembered, ...begun };
  }
  row.last = consent.name;
  row.scope = new Set([...row.scope, ...scope]);
  row.loginBorn = Math.max(row.loginBorn, loginBorn);
  row.grantBorn = Math.max(row.grantBorn, grantBorn);
  if (remember) row.remembered = new Set([...(row.remembered ?? []), ...scope]);
  return row;
}

/** What a person allows an app is dead, and what was consented to until now never becomes a grant. */
export function withdraw(row: Grant | undefined, person: Person, app: App, step: number): Grant {
  const none = { scope: new Set<string>(), remembered: undefined, loginBorn: 0, grantBorn: 0 };
  const dead = row ?? { person, app, ...none, version: 1, lost: new Map(), last: '' };
  return Object.assign(dead, { revoked: true, cut: step });
}

/** Only `kept` is left of a grant. */
export function narrowGrant(grant: Grant, kept: ReadonlySet<string>, step: number): void {
  const gone = [...grant.scope].filter((one) => !kept.has(one));
  const keep = (of: ReadonlySet<string>) => new Set([...of].filter((one) => kept.has(one)));
  grant.lost = new Map([...grant.lost, ...gone.map((one) => [one, step] as const)]);
  grant.scope = keep(grant.scope);
  if (grant.remembered !== undefined) grant.remembered = keep(grant.remembered);
  grant.version += 1;
  grant.cut = step;
}

/** Since when a consent to these scopes need not be asked again; undefined: it must. */
export function rememberedSince(row: Grant | undefined, asked: ReadonlySet<string>) {
  if (row?.remembered === undefined || deathOfGrant(row) !== undefined) return undefined;
  const remembered = row.remembered;
  const holds = [...asked].every((one) => remembered.has(one));
  return holds ? Math.max(row.grantBorn, row.cut) : undefined;
}
