import { randomBytes, randomUUID } from 'node:crypto';
import {
  type Answer,
  type Browser,
  type Deployment,
  everyScope,
  type Json,
  openBrowser,
  type RegisteredClient,
  redirectUri,
} from '../deployment.ts';
import type { Pkce } from '../login-app.ts';
import type { AccessToken, App, Chain, Grant, Login, Person } from './model.ts';
import type { Kind } from './operation.ts';

/** The product did what the model forbids. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** A node was too busy to answer (503), so what it did is not known: no verdict on the sequence. */
export class Abandoned extends Error {
  override readonly name = 'Abandoned';
}

/** How far an authorization request has come. */
export type Stage = 'login' | 'login_verifier' | 'consent' | 'consent_verifier' | 'code' | 'over';

/** An authorization request under way. */
export interface Flow {
  readonly name: string;
  /** Hydra's consent_request_id; '' until it is known. */
  id: string;
  /** Whether its consent was withdrawn by that id. */
  withdrawn: boolean;
  readonly person: Person;
  readonly app: App;
  readonly scope: ReadonlySet<string>;
  readonly pkce: Pkce;
  readonly rememberLogin: boolean;
  readonly rememberConsent: boolean;
  stage: Stage;
  /** What the next stage needs: a challenge, the address with the verifier, or the code. */
  next: string;
  login: Login | undefined;
  skipsLogin: boolean;
  loginBorn: number;
  rememberedSince: number | undefined;
  grantBorn: number;
  grant: Grant | undefined;
  grantVersion: number;
  chain: Chain | undefined;
  /** Addresses that worked once, to be tried again. */
  readonly spentVerifiers: { readonly kind: 'login' | 'consent'; readonly url: string }[];
  readonly codes: string[];
}

/** One sequence's people, apps and tokens; nobody else's. */
export interface Scene {
  readonly nodes: readonly [Deployment, Deployment];
  readonly people: readonly { readonly person: Person; readonly browser: Browser }[];
  readonly apps: readonly { readonly app: App; readonly client: RegisteredClient }[];
  readonly flows: Flow[];
  readonly chains: { readonly chain: Chain; readonly name: string; rotatedAtMs: number }[];
  readonly accessTokens: { readonly token: AccessToken; readonly name: string }[];
  readonly logins: Login[];
  /** The row of each person and app. */
  readonly grants: Map<string, Grant>;
  readonly trace: string[];
  readonly count: { step: number; tokens: number };
}

export const grantKey = (person: Person, app: App): string => `${person.name} ${app.index}`;
/** The next step's number. */
export const stepOf = (scene: Scene): number => {
  scene.count.step += 1;
  return scene.count.step;
};
export const nameOf = (node: 0 | 1): string => (node === 0 ? 'A' : 'B');
export const otherNode = (node: 0 | 1): 0 | 1 => (node === 0 ? 1 : 0);
export const at = <T>(list: readonly T[], pick: number): T | undefined => list[pick % list.length];

/** What an app is registered with, also when it is made again. */
export function registration(id: string, secret: string, index: number): Json {
  return {
    client_id: id,
    client_secret: secret,
    client_name: `Property app ${index}`,
    redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    scope: everyScope,
    access_token_strategy: index === 0 ? 'opaque' : 'jwt',
    // the second app's chains are refreshed online too
    ...(index === 0 ? {} : { refresh_token_scopes: [] }),
  };
}

/** A scene of two people and two apps: one takes opaque access tokens, one JWTs. */
export async function openScene(nodes: Scene['nodes']): Promise<Scene> {
  const apps = await Promise.all(
    [0, 1].map(async (index) => {
      const secret = randomBytes(24).toString('base64url');
      const id = `property-${randomUUID()}`;
      const client = await nodes[0].register(registration(id, secret, index));
      const app: App = { index, cut: 0, present: true, lifetimeSeconds: 3600 };
      return { app, client };
    }),
  );
  const people = ['ann', 'ben'].map((name) => ({
    person: { name: `${name}-${randomUUID()}`, cut: 0, consentsCut: 0 },
    browser: openBrowser(),
  }));
  return {
    nodes,
    people,
    apps,
    flows: [],
    chains: [],
    accessTokens: [],
    logins: [],
    grants: new Map(),
    trace: [],
    count: { step: 0, tokens: 0 },
  };
}

/** Throws where the answer is no answer. */
export function answered(answer: Answer, what: string): Answer {
  if (answer.status === 503) throw new Abandoned(what);
  if (answer.status >= 500) {
    throw new Violation(`${what}: ${answer.status} ${answer.text.slice(0, 200)}`);
  }
  return answer;
}

/** What an operation did; `settle` tells the model, and throws a Violation where it disagrees. */
export interface Outcome {
  readonly succeeded: boolean;
  /** In a race, told what it ran against, it demands nothing of the answer, only of what comes after. */
  readonly settle: (rival: Kind | undefined) => void;
}

/** One operation on what was chosen for it, ready to be asked of a node. */
export interface Action {
  readonly text: string;
  /** Ends something; else it makes something. */
  readonly kills: boolean;
  readonly run: (node: 0 | 1) => Promise<Outcome>;
}

/** Demands success exactly where nothing speaks against it. */
export function demand(what: string, succeeded: boolean, obstacle: string | undefined): void {
  if (succeeded && obstacle !== undefined) {
    throw new Violation(`${what} was accepted, though ${obstacle}`);
  }
  if (!succeeded && obstacle === undefined)
    throw new Violation(`${what} was refused without cause`);
}

/** The client of an app. */
export function clientOf(scene: Scene, app: App): RegisteredClient {
  const found = scene.apps.find((one) => one.app === app);
  if (found === undefined) throw new Error('no such app');
  return found.client;
}

/** The browser of a person. */
export function browserOf(scene: Scene, person: Person): Browser {
  const found = scene.people.find((one) => one.person === person);
  if (found === undefined) throw new Error('no such person');
  return found.browser;
}
