import { createHash, randomBytes } from 'node:crypto';
import {
  type Answer,
  type Browser,
  type Deployment,
  formOf,
  type Json,
  jsonOf,
  openBrowser,
  type Parameters,
  type RegisteredClient,
} from './deployment.ts';

/** What the login app answers; a function sees the request first. */
export interface Decisions {
  readonly login?: Json | ((request: Json) => Json);
  readonly consent?: Json | ((request: Json) => Json);
  readonly rejectLogin?: Json;
  readonly rejectConsent?: Json;
  readonly rejectLogout?: boolean;
}

/** Where a journey ended, and what the login app was asked on the way. */
export interface Journey {
  /** The last address that the browser was sent to outside of the server; undefined: a page. */
  readonly callback: URL | undefined;
  /** The last answer. */
  readonly answer: Answer;
  readonly loginRequest: Json | undefined;
  readonly consentRequest: Json | undefined;
  readonly logoutRequest: Json | undefined;
  /** Every address that the browser was sent to. */
  readonly hops: readonly string[];
}

const hopsMax = 12;

/** Follows redirects as a browser does, and answers each challenge as a login app does. */
export async function travel(
  deployment: Deployment,
  browser: Browser,
  first: Answer,
  decisions: Decisions = {},
): Promise<Journey> {
  const requests = new Map<string, Json>();
  const hops: string[] = [];
  let answer = first;
  for (;;) {
    const location = answer.headers.get('location');
    const url = location === null ? undefined : new URL(location);
    if (location !== null) hops.push(location);
    const isOurs = url?.origin === new URL(deployment.issuer).origin;
    const kind = kinds.find((one) => url?.searchParams.has(`${one}_challenge`));
    if (url === undefined || (!isOurs && kind === undefined) || hops.length > hopsMax) {
      return {
        callback: url,
        answer,
        loginRequest: requests.get('login'),
        consentRequest: requests.get('consent'),
        logoutRequest: requests.get('logout'),
        hops,
      };
    }
    if (kind === undefined) {
      answer = await browser.get(reachable(deployment, url.href));
      continue;
    }
    const challenge = url.searchParams.get(`${kind}_challenge`) ?? '';
    const next = await decide(deployment, kind, challenge, decisions, requests);
    hops.push(next);
    answer = await browser.get(reachable(deployment, next));
  }
}

/** The issuer's own addresses without the proxy that stands before it, if any. */
function reachable(deployment: Deployment, url: string): string {
  const { issuer, server } = deployment;
  return url.startsWith(issuer) ? server.publicUrl + url.slice(issuer.length) : url;
}

const kinds = ['login', 'consent', 'logout'] as const;
type Kind = (typeof kinds)[number];

/** The path of a handshake door for one challenge. */
export function door(kind: Kind, challenge: string, action = ''): string {
  const path = `/admin/oauth2/auth/requests/${kind}${action === '' ? '' : `/${action}`}`;
  return `${path}?${kind}_challenge=${encodeURIComponent(challenge)}`;
}

async function decide(
  deployment: Deployment,
  kind: Kind,
  challenge: string,
  decisions: Decisions,
  requests: Map<string, Json>,
): Promise<string> {
  const { admin } = deployment;
  const asked = await admin('GET', door(kind, challenge));
  if (asked.status !== 200) throw new Error(`the ${kind} request is not to be had: ${asked.text}`);
  requests.set(kind, asked.body);
  const decided = decisionOn(kind, asked.body, decisions);
  const answer = await admin('PUT', door(kind, challenge, decided.action), decided.body);
  if (typeof answer.body.redirect_to !== 'string') {
    throw new Error(`the ${kind} app was refused: ${answer.status} ${answer.text}`);
  }
  return answer.body.redirect_to;
}

function decisionOn(kind: Kind, request: Json, decisions: Decisions) {
  const rejection = {
    login: decisions.rejectLogin,
    consent: decisions.rejectConsent,
    logout: undefined,
  };
  const rejected = rejection[kind];
  if (rejected !== undefined) return { action: 'reject', body: rejected };
  if (kind === 'logout') return { action: 'accept', body: undefined };
  const given = decisions[kind];
  const chosen = typeof given === 'function' ? given(request) : given;
  const usual =
    kind === 'login'
      ? { subject: request.skip === true ? request.subject : 'alice' }
      : {
          grant_scope: request.requested_scope,
          grant_access_token_audience: request.requested_access_token_audience,
        };
  return { action: 'accept', body: { ...usual, ...chosen } };
}

export interface Pkce {
  readonly verifier: string;
  readonly challenge: string;
}

export function newPkce(): Pkce {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

/** What a sign-in may choose. */
export interface SignIn extends Decisions {
  readonly browser?: Browser;
  /** Beyond the usual ones; undefined leaves one out. */
  readonly parameters?: Parameters;
  readonly pkce?: Pkce;
}

/** A journey that began at the authorization endpoint. */
export interface SignedIn extends Journey {
  readonly browser: Browser;
  readonly pkce: Pkce;
  /** Parameters that the app got back, from query and fragment. */
  readonly returned: URLSearchParams;
  readonly code: string;
}

/** The usual authorization request of a test app. */
export function authorizationParameters(
  client: RegisteredClient,
  pkce: Pkce,
  parameters: Parameters = {},
): Parameters {
  return {
    client_id: client.id,
    redirect_uri: client.redirectUri,
    response_type: 'code',
    scope: 'openid offline_access',
    state: 'state-of-the-test-app',
    code_challenge: pkce.challenge,
    code_challenge_method: 'S256',
    ...parameters,
  };
}

export function authorizationUrl(deployment: Deployment, parameters: Parameters): string {
  return `${deployment.server.publicUrl}/oauth2/auth?${formOf(parameters)}`;
}

/** Sends a browser to the authorization endpoint, and answers what the login app is asked. */
export async function signIn(
  deployment: Deployment,
  client: RegisteredClient,
  options: SignIn = {},
): Promise<SignedIn> {
  const browser = options.browser ?? openBrowser();
  const pkce = options.pkce ?? newPkce();
  const parameters = authorizationParameters(client, pkce, options.parameters);
  const first = await browser.get(authorizationUrl(deployment, parameters));
  const journey = await travel(deployment, browser, first, options);
  const returned = new URLSearchParams(
    `${journey.callback?.search.slice(1) ?? ''}&${journey.callback?.hash.slice(1) ?? ''}`,
  );
  return { ...journey, browser, pkce, returned, code: returned.get('code') ?? '' };
}

/** A visit that stands still where the login or consent app would send the browser back. */
export interface Halfway {
  readonly browser: Browser;
  readonly pkce: Pkce;
  readonly subject: string;
  /** The flow's id, which its session and its chain will have. */
  readonly flowId: string;
  /** Where the browser would go. */
  readonly next: string;
  /** Lets it go there, or to the same address of another node. */
  go(node?: Deployment): Promise<Answer>;
}

/** Somebody whose login or consent was accepted, and whose browser has not come back with it. */
export async function halfway(
  deployment: Deployment,
  client: RegisteredClient,
  until: 'login' | 'consent',
  login: Json & { readonly subject: string },
): Promise<Halfway> {
  const [browser, pkce] = [openBrowser(), newPkce()];
  const parameters = authorizationParameters(client, pkce);
  const begun = await browser.get(authorizationUrl(deployment, parameters));
  const accept = async (kind: 'login' | 'consent', answer: Answer, body: Json) => {
    const { searchParams } = new URL(answer.headers.get('location') ?? 'none:');
    const challenge = searchParams.get(`${kind}_challenge`) ?? '';
    const shown = await deployment.admin('GET', door(kind, challenge));
    const accepted = await deployment.admin('PUT', door(kind, challenge, 'accept'), body);
    return { shown: shown.body, next: String(accepted.body.redirect_to) };
  };
  const { shown, next: back } = await accept('login', begun, login);
  const granted = { grant_scope: ['openid', 'offline_access'], remember: true };
  const next =
    until === 'login' ? back : (await accept('consent', await browser.get(back), granted)).next;
  const { pathname, search } = new URL(next);
  const go = (node?: Deployment) =>
    browser.get(node === undefined ? next : node.server.publicUrl + pathname + search);
  return { browser, pkce, subject: login.subject, flowId: String(shown.session_id), next, go };
}

/** Redeems what {@link signIn} brought back. */
export function redeem(
  deployment: Deployment,
  client: RegisteredClient,
  signedIn: Pick<SignedIn, 'code' | 'pkce'>,
  changes: Parameters = {},
): Promise<Answer> {
  return deployment.postAs(client, '/oauth2/token', {
    grant_type: 'authorization_code',
    code: signedIn.code,
    redirect_uri: client.redirectUri,
    code_verifier: signedIn.pkce.verifier,
    ...changes,
  });
}

export function refresh(
  deployment: Deployment,
  client: RegisteredClient,
  refreshToken: string,
  changes: Parameters = {},
): Promise<Answer> {
  return deployment.postAs(client, '/oauth2/token', {
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    ...changes,
  });
}

export interface Tokens {
  readonly access: string;
  readonly refresh: string;
  readonly id: string;
  readonly answer: Answer;
}

/** Tokens of a successful answer; '' for what it has none of. */
export function tokensOf(answer: Answer): Tokens {
  if (answer.status !== 200) throw new Error(`no tokens: ${answer.status} ${answer.text}`);
  const { access_token, refresh_token, id_token } = answer.body;
  return {
    access: String(access_token),
    refresh: String(refresh_token ?? ''),
    id: String(id_token ?? ''),
    answer,
  };
}

/** Signs in, consents, redeems. */
export async function connect(
  deployment: Deployment,
  client: RegisteredClient,
  options: SignIn = {},
): Promise<Tokens & SignedIn> {
  const signedIn = await signIn(deployment, client, options);
  const tokens = tokensOf(await redeem(deployment, client, signedIn));
  return { ...signedIn, ...tokens };
}

/** The claims of a JWT, unverified. */
export function claimsOf(jwt: string): Json {
  const parsed = jsonOf(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());
  return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
}
