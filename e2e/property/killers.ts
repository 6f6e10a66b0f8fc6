import type { Json } from '../deployment.ts';
import { deathOfGrant, type Grant, type Login, narrowGrant, withdraw } from './model.ts';
import type { Operation } from './operation.ts';
import {
  type Action,
  answered,
  at,
  clientOf,
  demand,
  grantKey,
  registration,
  type Scene,
  stepOf,
  Violation,
} from './scene.ts';

const sessions = '/admin/oauth2/auth/sessions';

/** One request to an admin door; what it does to the model once it has answered as `status`. */
function byAdmin(
  scene: Scene,
  text: string,
  request: readonly [method: string, path: string, body?: Json],
  status: number,
  apply: (step: number, body: Json) => void,
): Action {
  return {
    text,
    kills: true,
    async run(node) {
      const answer = answered(await scene.nodes[node].admin(...request), text);
      return {
        succeeded: answer.status === status,
        settle(rival) {
          if (answer.status === status) return apply(stepOf(scene), answer.body);
          if (rival === undefined) throw new Violation(`${text}: ${answer.status} ${answer.text}`);
        },
      };
    },
  };
}

const revocation = (scene: Scene, text: string, body: Json, apply: (step: number) => void) =>
  byAdmin(scene, text, ['POST', '/admin/revocations', body], 200, apply);

/** RFC 7009 by the app itself, or the admin's door. */
function revokeToken(
  scene: Scene,
  what: { readonly app: Parameters<typeof clientOf>[1]; readonly token: string; name: string },
  byApp: boolean,
  apply: () => void,
): Action {
  const { app, token, name } = what;
  if (!byApp) return revocation(scene, `revoke ${name}, as administrator`, { token }, apply);
  const text = `revoke ${name}, as its app`;
  return {
    text,
    kills: true,
    async run(node) {
      const asked = await scene.nodes[node].postAs(clientOf(scene, app), '/oauth2/revoke', {
        token,
      });
      const answer = answered(asked, text);
      return {
        succeeded: answer.status === 200,
        settle(rival) {
          const absence = app.present ? undefined : 'the app is deleted';
          if (rival === undefined) demand(text, answer.status === 200, absence);
          if (answer.status === 200) apply();
        },
      };
    },
  };
}

export function revokeAccessToken(
  scene: Scene,
  { pick, choice }: Pick<Operation, 'pick' | 'choice'>,
) {
  const found = at(scene.accessTokens, pick);
  if (found === undefined) return undefined;
  const { token, name } = found;
  const what = { app: token.app, token: token.text, name };
  return revokeToken(scene, what, choice % 3 !== 0, () => {
    token.revoked = true;
  });
}

export function revokeRefreshToken(
  scene: Scene,
  { pick, choice }: Pick<Operation, 'pick' | 'choice'>,
) {
  const found = at(
    scene.chains.filter(({ chain }) => chain.refreshTokens.length > 0),
    pick,
  );
  const token = found?.chain.refreshTokens.at(-1);
  if (found === undefined || token === undefined) return undefined;
  const { chain } = found;
  const what = { app: chain.grant.app, token, name: `${found.name} by its refresh token` };
  return revokeToken(scene, what, choice % 3 !== 0, () => {
    chain.revoked = true;
  });
}

const livingGrants = (scene: Scene): readonly Grant[] =>
  [...scene.grants.values()].filter((grant) => deathOfGrant(grant) === undefined);

/** The living grants of a person as a node lists them; they must be those of the model. */
async function listed(scene: Scene, person: Grant['person'], node: 0 | 1) {
  const path = `${sessions}/consent?subject=${person.name}`;
  const { list } = answered(await scene.nodes[node].admin('GET', path), 'the consent listing');
  const ids = new Map<string, string>();
  for (const entry of list) {
    const { client } = Object(entry.consent_request);
    ids.set(String(Object(client).client_id), String(entry.grant_id));
  }
  const living = livingGrants(scene).filter((grant) => grant.person === person);
  for (const { app, scope } of living) {
    const id = clientOf(scene, app).id;
    const entry = list.find(({ grant_id }) => grant_id === ids.get(id));
    const shown = entry?.grant_scope;
    const names = Array.isArray(shown) ? shown.map(String) : [];
    if (names.length !== scope.size || !names.every((one) => scope.has(one))) {
      throw new Violation(`the grant of app ${app.index} is listed with "${names.join(' ')}"`);
    }
  }
  if (list.length !== living.length) throw new Violation('a dead grant is listed');
  return (grant: Grant) => ids.get(clientOf(scene, grant.app).id) ?? '';
}

export async function listConsents(scene: Scene, { pick, node }: Operation): Promise<undefined> {
  const person = at(scene.people, pick)?.person;
  if (person !== undefined) await listed(scene, person, node);
}

async function aGrant(scene: Scene, pick: number, node: 0 | 1) {
  const grant = at(livingGrants(scene), pick);
  if (grant === undefined) return undefined;
  const idOf = await listed(scene, grant.person, node);
  return { grant, id: idOf(grant), name: `the grant of ${nameOfGrant(scene, grant)}` };
}

function nameOfGrant(scene: Scene, { person, app }: Pick<Grant, 'person' | 'app'>): string {
  const index = scene.people.findIndex((one) => one.person === person);
  return `person ${index} to app ${app.index}`;
}

type Choice = Pick<Operation, 'pick' | 'choice' | 'node'>;

export async function revokeGrant(scene: Scene, { pick, node }: Choice) {
  const found = await aGrant(scene, pick, node);
  if (found === undefined) return undefined;
  const { grant, id, name } = found;
  return revocation(scene, `revoke ${name}`, { grant: id }, (step) => {
    grant.revoked = true;
    grant.cut = step;
  });
}

export async function narrow(scene: Scene, { pick, choice, node }: Choice) {
  const found = await aGrant(scene, pick, node);
  const names = [...(found?.grant.scope ?? [])];
  if (found === undefined || names.length < 2) return undefined;
  const gone = names[choice % names.length];
  const kept = names.filter((one) => one !== gone);
  const path = `/admin/grants/${found.id}/narrow`;
  const text = `take "${gone}" from ${found.name}`;
  return byAdmin(scene, text, ['POST', path, { scope: kept.join(' ') }], 200, (step) => {
    narrowGrant(found.grant, new Set(kept), step);
  });
}

/**
 * Hydra's door: what a person allows one app or all of them, or by the id of one consent. Whether a
 * grant lives or a consent is only under way, the door is the same.
 */
export function revokeConsents(scene: Scene, { pick, choice }: Choice): Action | undefined {
  if (choice % 3 === 0) return revokeConsentById(scene, pick);
  const person = at(scene.people, pick)?.person;
  const app = at(scene.apps, pick >> 1)?.app;
  if (person === undefined || app === undefined) return undefined;
  const all = choice % 3 === 1;
  const which = all ? 'all=true' : `client=${clientOf(scene, app).id}`;
  const path = `${sessions}/consent?subject=${person.name}&${which}`;
  const whose = all ? `person ${pick % scene.people.length}` : nameOfGrant(scene, { person, app });
  const text = `withdraw ${all ? 'every consent' : 'the consent'} of ${whose}`;
  return byAdmin(scene, text, ['DELETE', path], 204, (step) => {
    if (all) person.consentsCut = step;
    for (const one of scene.apps.map((entry) => entry.app)) {
      const key = grantKey(person, one);
      const row = scene.grants.get(key);
      const meant = all ? row !== undefined : one === app;
      if (meant) scene.grants.set(key, withdraw(row, person, one, step));
    }
  });
}

function revokeConsentById(scene: Scene, pick: number): Action | undefined {
  const flow = at(
    scene.flows.filter(({ id }) => id !== ''),
    pick,
  );
  if (flow === undefined) return undefined;
  const path = `${sessions}/consent?consent_request_id=${flow.id}`;
  const text = `withdraw the consent of ${flow.name}, by its id`;
  return byAdmin(scene, text, ['DELETE', path], 204, (step) => {
    flow.withdrawn = true;
    if (flow.chain !== undefined) flow.chain.revoked = true;
    const row = scene.grants.get(grantKey(flow.person, flow.app));
    if (row?.last === flow.name && !row.revoked) withdraw(row, flow.person, flow.app, step);
  });
}

/** Logins that are sessions, and those that were accepted and are on their way. */
function everyLogin(scene: Scene): readonly Login[] {
  const underWay = scene.flows.flatMap(({ stage, login, skipsLogin }) =>
    stage === 'login_verifier' && login !== undefined && !skipsLogin ? [login] : [],
  );
  return [...scene.logins, ...underWay];
}

export function revokeSession(scene: Scene, { pick }: Choice): Action | undefined {
  const login = at(everyLogin(scene), pick);
  if (login === undefined) return undefined;
  return revocation(scene, `revoke ${nameOfLogin(scene, login)}`, { session: login.id }, () => {
    login.revoked = true;
  });
}

/** One login, or all of its person. */
export function signOut(scene: Scene, { pick, choice }: Choice): Action | undefined {
  const login = at(everyLogin(scene), pick);
  if (login === undefined) return undefined;
  const { person } = login;
  const all = choice % 2 === 0;
  const which = all ? `subject=${person.name}` : `sid=${login.id}`;
  const index = scene.people.findIndex((one) => one.person === person);
  const text = `sign ${all ? `person ${index}` : nameOfLogin(scene, login)} out`;
  return byAdmin(scene, text, ['DELETE', `${sessions}/login?${which}`], 204, () => {
    const meant = everyLogin(scene).filter((one) => one.person === person);
    for (const one of all ? meant : [login]) one.ended = true;
  });
}

function nameOfLogin(scene: Scene, login: Login): string {
  const index = scene.logins.indexOf(login);
  return index === -1 ? 'a login under way' : `login ${index + 1}`;
}

export function revokeSubject(scene: Scene, { pick }: Choice): Action | undefined {
  const person = at(scene.people, pick)?.person;
  if (person === undefined) return undefined;
  const text = `revoke person ${pick % scene.people.length}`;
  return revocation(scene, text, { subject: person.name }, (step) => {
    person.cut = step;
  });
}

export function revokeClient(scene: Scene, { pick, choice }: Choice): Action | undefined {
  const app = at(scene.apps, pick)?.app;
  if (app === undefined) return undefined;
  const { id } = clientOf(scene, app);
  const cut = (step: number) => {
    app.cut = step;
  };
  if (choice % 2 === 0) return revocation(scene, `revoke app ${app.index}`, { client_id: id }, cut);
  const path = `/admin/oauth2/tokens?client_id=${id}`;
  return byAdmin(scene, `delete the tokens of app ${app.index}`, ['DELETE', path], 204, cut);
}

export function deleteClient(scene: Scene, { pick }: Choice): Action | undefined {
  const app = at(
    scene.apps.filter((one) => one.app.present),
    pick,
  )?.app;
  if (app === undefined) return undefined;
  const path = `/admin/clients/${clientOf(scene, app).id}`;
  return byAdmin(scene, `delete app ${app.index}`, ['DELETE', path], 204, (step) => {
    app.present = false;
    app.cut = step;
  });
}

/** The same id again: nothing of the one before may come back. */
export function recreateClient(scene: Scene, { pick }: Choice): Action | undefined {
  const found = at(
    scene.apps.filter((one) => !one.app.present),
    pick,
  );
  if (found === undefined) return undefined;
  const { app, client } = found;
  const body = registration(client.id, client.secret, app.index);
  return byAdmin(
    scene,
    `make app ${app.index} again`,
    ['POST', '/admin/clients', body],
    201,
    () => {
      app.present = true;
      app.lifetimeSeconds = 3600;
    },
  );
}

/** Raises or lowers how long the app's access tokens live: those that are out there keep their end. */
export function setLifespan(scene: Scene, { pick, choice }: Choice): Action | undefined {
  const app = at(
    scene.apps.filter((one) => one.app.present),
    pick,
  )?.app;
  const seconds = [3600, 7200, 8, 90_000][choice % 4] ?? 3600;
  if (app === undefined) return undefined;
  const path = `/admin/clients/${clientOf(scene, app).id}/lifespans`;
  const lifespans = {
    authorization_code_grant_access_token_lifespan: `${seconds}s`,
    refresh_token_grant_access_token_lifespan: `${seconds}s`,
    client_credentials_grant_access_token_lifespan: `${seconds}s`,
  };
  const text = `tokens of app ${app.index} live ${seconds} s`;
  return byAdmin(scene, text, ['PUT', path, lifespans], 200, () => {
    app.lifetimeSeconds = seconds;
  });
}

/** A new signing key for JWT access tokens; what the old one signed stays good. */
export function rotateKeys(scene: Scene): Action {
  const body = { alg: 'ES256', use: 'sig' };
  const request = ['POST', '/admin/keys/hydra.jwt.access-token', body] as const;
  return byAdmin(scene, 'a new key for access tokens', request, 201, () => {});
}
