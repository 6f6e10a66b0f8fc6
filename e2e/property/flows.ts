import type { Answer, Deployment } from '../deployment.ts';
import { authorizationParameters, authorizationUrl, door, newPkce, redeem } from '../login-app.ts';
import { deathOfLogin, giveGrant, isOnline, type Login, rememberedSince } from './model.ts';
import type { Operation } from './operation.ts';
import {
  type Action,
  answered,
  at,
  browserOf,
  clientOf,
  demand,
  type Flow,
  grantKey,
  type Outcome,
  type Scene,
  stepOf,
  Violation,
} from './scene.ts';
import { takeTokens } from './tokens.ts';

const scopes = [
  'openid offline_access api.read api.write',
  'openid offline_access api.read',
  'openid api.read api.write',
  'openid offline_access api.write',
] as const;

/** Asks for a login; nothing is decided yet. */
export function beginFlow(scene: Scene, { pick, choice }: Operation): Flow {
  const person = at(scene.people, pick)?.person;
  const app = at(scene.apps, pick >> 1)?.app;
  if (person === undefined || app === undefined) throw new Error('an empty scene');
  const flow: Flow = {
    name: `flow ${scene.flows.length + 1}`,
    id: '',
    withdrawn: false,
    person,
    app,
    scope: new Set(at(scopes, choice)?.split(' ')),
    pkce: newPkce(),
    rememberLogin: choice % 3 === 0,
    rememberConsent: choice % 2 === 0,
    stage: 'over',
    next: '',
    login: undefined,
    skipsLogin: false,
    loginBorn: 0,
    rememberedSince: undefined,
    grantBorn: 0,
    grant: undefined,
    grantVersion: 0,
    chain: undefined,
    spentVerifiers: [],
    codes: [],
  };
  scene.flows.push(flow);
  return flow;
}

/** The authorization request itself. */
export async function requestLogin(scene: Scene, flow: Flow, node: 0 | 1): Promise<void> {
  const client = clientOf(scene, flow.app);
  const parameters = { scope: [...flow.scope].join(' ') };
  const url = authorizationUrl(
    scene.nodes[node],
    authorizationParameters(client, flow.pkce, parameters),
  );
  const answer = answered(await browserOf(scene, flow.person).get(url), 'an authorization request');
  const challenge = parameterOf(answer, 'login_challenge');
  demand(`${flow.name}, begun,`, challenge !== '', absence(flow));
  if (challenge === '') return;
  flow.stage = 'login';
  flow.next = challenge;
}

/** The login app accepts: a new login is born now, a skipped one is as old as it is. */
export async function acceptLogin(scene: Scene, flow: Flow, node: 0 | 1): Promise<void> {
  const { admin } = scene.nodes[node];
  const shown = answered(await admin('GET', door('login', flow.next)), 'a login request');
  demand(`${flow.name}: its login request`, shown.status === 200, absence(flow));
  if (shown.status !== 200) return over(flow);
  flow.skipsLogin = shown.body.skip === true;
  flow.login = flow.skipsLogin
    ? knownLogin(scene, flow, String(shown.body.session_id))
    : newLogin(scene, flow, String(shown.body.session_id));
  flow.loginBorn = flow.login.born;
  const body = { subject: flow.person.name, remember: flow.rememberLogin };
  const accepted = await admin('PUT', door('login', flow.next, 'accept'), body);
  const { redirect_to } = answered(accepted, 'a login accepted').body;
  demand(`${flow.name}: accepting its login`, typeof redirect_to === 'string', undefined);
  flow.stage = 'login_verifier';
  flow.next = String(redirect_to);
}

function newLogin(scene: Scene, flow: Flow, id: string): Login {
  const { person } = flow;
  const born = stepOf(scene);
  return { person, born, id, ended: false, revoked: false };
}

function knownLogin(scene: Scene, flow: Flow, id: string): Login {
  const login = scene.logins.find((one) => one.id === id);
  if (login === undefined) throw new Violation(`${flow.name} skips a login that was never made`);
  return login;
}

/** The browser brings the login back: it becomes a session. */
export function visitLogin(scene: Scene, flow: Flow): Action {
  return {
    text: `${flow.name}: back from login`,
    kills: false,
    async run(node) {
      const { next: url, login } = flow;
      const answer = await visit(scene, flow, node);
      const challenge = parameterOf(answer, 'consent_challenge');
      return made(challenge !== '', (rival) => {
        if (login === undefined) throw new Error('no login');
        if (rival === undefined) {
          const death = absence(flow) ?? deathOfLogin(login);
          demand(`${flow.name}: its login`, challenge !== '', death);
        }
        if (challenge === '') return over(flow);
        if (!scene.logins.includes(login)) scene.logins.push(login);
        flow.spentVerifiers.push({ kind: 'login', url });
        const row = scene.grants.get(grantKey(flow.person, flow.app));
        // Whether a consent that dies at this very moment was seen cannot be known.
        if (rival !== undefined && row?.remembered !== undefined) return over(flow);
        flow.rememberedSince = rememberedSince(row, flow.scope);
        flow.stage = 'consent';
        flow.next = challenge;
      });
    },
  };
}

/** The consent app accepts: born now, or as old as the grant that it repeats. */
export async function acceptConsent(scene: Scene, flow: Flow, node: 0 | 1): Promise<void> {
  const { admin } = scene.nodes[node];
  const shown = answered(await admin('GET', door('consent', flow.next)), 'a consent request');
  demand(`${flow.name}: its consent request`, shown.status === 200, absence(flow));
  if (shown.status !== 200 || flow.login === undefined) return over(flow);
  if (shown.body.login_session_id !== flow.login.id) {
    throw new Violation(`${flow.name}: its consent is of another login`);
  }
  const skips = shown.body.skip === true;
  if (skips !== (flow.rememberedSince !== undefined)) {
    throw new Violation(`${flow.name}: consent is ${skips ? '' : 'not '}skipped`);
  }
  flow.id = String(shown.body.consent_request_id);
  flow.grantBorn = flow.rememberedSince ?? stepOf(scene);
  const body = { grant_scope: [...flow.scope], remember: flow.rememberConsent };
  const accepted = await admin('PUT', door('consent', flow.next, 'accept'), body);
  const { redirect_to } = answered(accepted, 'a consent accepted').body;
  demand(`${flow.name}: accepting its consent`, typeof redirect_to === 'string', undefined);
  flow.stage = 'consent_verifier';
  flow.next = String(redirect_to);
}

/** The browser brings the consent back: it becomes a grant, and the app gets a code. */
export function visitConsent(scene: Scene, flow: Flow): Action {
  return {
    text: `${flow.name}: back from consent`,
    kills: false,
    async run(node) {
      const url = flow.next;
      const answer = await visit(scene, flow, node);
      const code = parameterOf(answer, 'code');
      return made(code !== '', (rival) => {
        if (rival === undefined)
          demand(`${flow.name}: its consent`, code !== '', obstacleToGrant(scene, flow));
        if (code === '') return over(flow);
        takeCode(scene, flow, code);
        flow.spentVerifiers.push({ kind: 'consent', url });
        flow.stage = 'code';
        flow.next = code;
      });
    },
  };
}

function takeCode(scene: Scene, flow: Flow, code: string): void {
  const key = grantKey(flow.person, flow.app);
  const remember = flow.rememberConsent && flow.rememberedSince === undefined;
  flow.grant = giveGrant(scene.grants.get(key), { ...flow, remember });
  flow.grantVersion = flow.grant.version;
  scene.grants.set(key, flow.grant);
  flow.codes.push(code);
}

/** Why a consent may not become a grant any more. */
function obstacleToGrant(scene: Scene, flow: Flow): string | undefined {
  const { login, app, loginBorn, grantBorn } = flow;
  if (login === undefined) return 'there was no login';
  const row = scene.grants.get(grantKey(flow.person, app));
  if (flow.chain !== undefined) return 'its code was redeemed';
  if (flow.withdrawn) return 'it was withdrawn';
  if (flow.person.consentsCut > grantBorn) return 'every consent was withdrawn since';
  if ((row?.cut ?? 0) > grantBorn) return 'the grant was revoked or narrowed since';
  if (app.cut > grantBorn) return 'the app was revoked or deleted since';
  return absence(flow) ?? deathOfLogin(login) ?? cutOf(flow, loginBorn);
}

/** The app redeems its code: the first time makes a chain, any other kills it. */
export function redeemCode(scene: Scene, flow: Flow, code: string): Action {
  const client = clientOf(scene, flow.app);
  return {
    text: `${flow.name}: ${flow.chain === undefined ? 'redeem' : 'replay'} its code`,
    kills: flow.chain !== undefined,
    async run(node) {
      const sentMs = Date.now();
      const answer = answered(
        await redeem(scene.nodes[node], client, { code, pkce: flow.pkce }),
        'a redemption',
      );
      return made(answer.status === 200, (rival) => {
        const obstacle = obstacleToChain(scene, flow);
        if (rival === undefined || flow.chain !== undefined) {
          demand(`${flow.name}: its code`, answer.status === 200, obstacle);
        }
        flow.stage = 'over';
        if (answer.status !== 200) {
          if (flow.chain !== undefined && answer.status === 400) flow.chain.revoked = true;
          return;
        }
        if (flow.grant === undefined || flow.login === undefined) throw new Error('no grant');
        const { grant, login, scope, loginBorn, grantBorn } = flow;
        const begun = { grant, login, scope, loginBorn, grantBorn };
        flow.chain = { ...begun, revoked: false, refreshTokens: [] };
        const name = `chain ${scene.chains.length + 1}`;
        scene.chains.push({ chain: flow.chain, name, rotatedAtMs: 0 });
        takeTokens(scene, flow.chain, answer, { version: flow.grantVersion, scope, sentMs });
      });
    },
  };
}

function obstacleToChain(scene: Scene, flow: Flow): string | undefined {
  const { grant, login, app, grantBorn } = flow;
  if (grant === undefined || login === undefined) return 'there was no grant';
  const row = scene.grants.get(grantKey(flow.person, app));
  if (!app.present) return 'the app is deleted';
  if (flow.chain !== undefined) return 'it was redeemed';
  if (flow.withdrawn) return 'its consent was withdrawn';
  if (row !== grant || grant.revoked || grant.cut > grantBorn) {
    return 'the grant was revoked or narrowed since';
  }
  if (login.revoked) return 'the session was revoked';
  if (login.ended && isOnline(flow)) return 'the person signed out';
  if (app.cut > grantBorn) return 'the app was revoked or deleted since';
  return cutOf(flow, flow.loginBorn);
}

/** A verifier that was used is shown again, in the same browser. It may be refused; it may not harm. */
export function replayVerifier(scene: Scene, flow: Flow, pick: number): Action | undefined {
  const spent = at(flow.spentVerifiers, pick);
  if (spent === undefined) return undefined;
  return {
    text: `${flow.name}: the ${spent.kind} verifier again`,
    kills: false,
    async run(node) {
      const url = reachable(scene.nodes[0], scene.nodes[node], spent.url);
      const answer = answered(await browserOf(scene, flow.person).get(url), 'a replayed verifier');
      const code = parameterOf(answer, 'code');
      return made(code !== '', () => {
        if (code === '') return;
        const obstacle = obstacleToGrant(scene, flow);
        demand(`${flow.name}: its consent verifier, replayed,`, true, obstacle);
        takeCode(scene, flow, code);
      });
    },
  };
}

const made = (succeeded: boolean, settle: Outcome['settle']): Outcome => ({ succeeded, settle });

function over(flow: Flow): void {
  flow.stage = 'over';
}

function absence(flow: Flow): string | undefined {
  return flow.app.present ? undefined : 'the app is deleted';
}

function cutOf(flow: Flow, born: number): string | undefined {
  return flow.person.cut > born ? 'the person was revoked since' : undefined;
}

async function visit(scene: Scene, flow: Flow, node: 0 | 1): Promise<Answer> {
  const url = reachable(scene.nodes[0], scene.nodes[node], flow.next);
  return answered(await browserOf(scene, flow.person).get(url), 'a verifier');
}

/** The issuer's address, which is the first node's, at this node. */
function reachable(first: Deployment, node: Deployment, url: string): string {
  return url.startsWith(first.issuer)
    ? node.server.publicUrl + url.slice(first.issuer.length)
    : url;
}

function parameterOf(answer: Answer, name: string): string {
  const location = answer.headers.get('location');
  return (location && new URL(location).searchParams.get(name)) ?? '';
}
