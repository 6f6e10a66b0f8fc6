import type { Answer } from '../deployment.ts';
import { refresh, tokensOf } from '../login-app.ts';
import {
  type AccessToken,
  type Chain,
  deathOfAccessToken,
  deathOfChain,
  deathOfRefreshToken,
  leftTo,
} from './model.ts';
import type { Operation } from './operation.ts';
import {
  type Action,
  answered,
  at,
  clientOf,
  demand,
  nameOf,
  type Scene,
  stepOf,
  Violation,
} from './scene.ts';

/** Old tokens make room: what is asked after each step stays bounded. */
const watchedMax = 8;
/** Within the grace of 60 s, with room for a slow machine. */
const graceMs = 40_000;

interface Made {
  readonly version: number | undefined;
  readonly scope: ReadonlySet<string>;
  readonly sentMs: number;
}

/** Notes what the token endpoint gave for a chain. */
export function takeTokens(scene: Scene, chain: Chain, answer: Answer, made: Made): void {
  const { access, refresh: next } = tokensOf(answer);
  const { app } = chain.grant;
  if (next !== '' && !chain.refreshTokens.includes(next)) chain.refreshTokens.push(next);
  const text = String(answer.body.scope ?? '');
  if (!equal(new Set(text.split(' ')), made.scope)) {
    throw new Violation(`a token for "${[...made.scope].join(' ')}" has the scope "${text}"`);
  }
  watch(scene, {
    text: access,
    app,
    chain,
    born: 0,
    version: made.version,
    scope: made.scope,
    ends: endsOf(answer, chain.grant.app.lifetimeSeconds, made.sentMs),
    revoked: false,
  });
}

function endsOf(answer: Answer, lifetimeSeconds: number, sentMs: number) {
  const said = Number(answer.body.expires_in);
  if (said !== lifetimeSeconds) {
    throw new Violation(`a token lives ${said} s, where its app has ${lifetimeSeconds}`);
  }
  return [sentMs + said * 1000 - 1500, Date.now() + said * 1000 + 500] as const;
}

function watch(scene: Scene, token: AccessToken): void {
  scene.count.tokens += 1;
  const name = `access token ${scene.count.tokens}`;
  scene.trace.push(`     gives ${name}, for "${[...token.scope].join(' ')}"`);
  scene.accessTokens.push({ token, name });
  if (scene.accessTokens.length > watchedMax) scene.accessTokens.shift();
}

/** The app's own token, of client credentials. */
export function clientCredentials(scene: Scene, { pick }: Operation): Action | undefined {
  const app = at(scene.apps, pick)?.app;
  if (app === undefined) return undefined;
  return {
    text: `app ${app.index} asks for a token of its own`,
    kills: false,
    async run(node) {
      const born = stepOf(scene);
      const sentMs = Date.now();
      const form = { grant_type: 'client_credentials', scope: 'api.read' };
      const client = clientOf(scene, app);
      const asked = await scene.nodes[node].postAs(client, '/oauth2/token', form);
      const answer = answered(asked, 'client credentials');
      return {
        succeeded: answer.status === 200,
        settle() {
          const absence = app.present ? undefined : 'the app is deleted';
          demand('a token by client credentials', answer.status === 200, absence);
          if (answer.status !== 200) return;
          const text = tokensOf(answer).access;
          const ends = endsOf(answer, app.lifetimeSeconds, sentMs);
          const scope = new Set(['api.read']);
          const about = { text, app, chain: undefined, born, version: 0, scope, ends };
          watch(scene, { ...about, revoked: false });
        },
      };
    },
  };
}

/** Mostly the newest token of a chain; at times the one before, as a client that retries. */
export function refreshChain(
  scene: Scene,
  { pick, choice }: Pick<Operation, 'pick' | 'choice'>,
): Action | undefined {
  const found = at(
    scene.chains.filter(({ chain }) => chain.refreshTokens.length > 0),
    pick,
  );
  return found && useToken(scene, found, choice < 2 ? 1 : 0);
}

/** A token that was spent twice over: reuse, which kills the family. Without one, a refresh. */
export function reuse(scene: Scene, { pick }: Operation): Action | undefined {
  const rotated = scene.chains.filter(({ chain }) => chain.refreshTokens.length > 2);
  const found = at(rotated, pick);
  if (found !== undefined) return useToken(scene, found, 2);
  const young = scene.chains.filter(({ chain }) => leftTo(chain) && !deathOfChain(chain));
  return refreshChain({ ...scene, chains: young }, { pick, choice: 2 });
}

function useToken(
  scene: Scene,
  found: Scene['chains'][number],
  before: 0 | 1 | 2,
): Action | undefined {
  const { chain, name } = found;
  const newest = chain.refreshTokens.length - 1;
  const generation = Math.max(0, newest - before);
  const retried = generation === newest - 1;
  if (retried && Date.now() - found.rotatedAtMs > graceMs) return undefined;
  const token = chain.refreshTokens[generation] ?? '';
  const { app } = chain.grant;
  return {
    text: `${name}: refresh with its token ${generation} of ${newest}`,
    kills: generation < newest - 1,
    async run(node) {
      const sentMs = Date.now();
      const asked = await refresh(scene.nodes[node], clientOf(scene, app), token);
      const answer = answered(asked, 'a refresh');
      const before = { version: chain.grant.version, left: leftTo(chain) };
      return {
        succeeded: answer.status === 200,
        settle(rival) {
          const spent = generation < newest - 1 ? 'its token was spent' : undefined;
          const lost = before.left === undefined ? 'the grant lost offline_access' : undefined;
          const obstacle = deathOfChain(chain) ?? lost ?? spent;
          if (rival === undefined || spent !== undefined) {
            demand(`${name}: its use`, answer.status === 200, obstacle);
          }
          if (answer.status !== 200) {
            if (spent !== undefined && deathOfChain(chain) === undefined) chain.revoked = true;
            return;
          }
          if (before.left === undefined)
            throw new Violation(`${name} lost offline_access and lives`);
          found.rotatedAtMs = sentMs;
          expectSuccessor(chain, name, generation, tokensOf(answer).refresh);
          const narrowed = rival === 'narrow';
          const scope = narrowed ? scopeOf(answer, before.left) : before.left;
          const version = narrowed ? undefined : before.version;
          takeTokens(scene, chain, answer, { version, scope, sentMs });
        },
      };
    },
  };
}

/** In a race the grant may have been narrowed before: less than it had is right as well. */
function scopeOf(answer: Answer, most: ReadonlySet<string>): ReadonlySet<string> {
  const scope = new Set(String(answer.body.scope ?? '').split(' '));
  const more = [...scope].find((one) => !most.has(one));
  if (more !== undefined) throw new Violation(`a refresh gave "${more}", which the grant lost`);
  return scope;
}

/** R5: a retry gets the same successor, never a second branch. */
function expectSuccessor(chain: Chain, name: string, generation: number, next: string): void {
  const known = chain.refreshTokens[generation + 1];
  if (known !== undefined && known !== next) {
    throw new Violation(`${name}: token ${generation} has a second successor`);
  }
}

const equal = (a: ReadonlySet<string>, b: ReadonlySet<string>) =>
  a.size === b.size && [...a].every((one) => b.has(one));

/** Asks one node after everything, by introspection and userinfo in turn. */
export async function checkAll(scene: Scene, node: 0 | 1): Promise<void> {
  await Promise.all([
    ...scene.accessTokens.map((watched, index) =>
      (scene.count.step + index) % 3 === 0 && watched.token.scope.has('openid')
        ? checkByUserinfo(scene, node, watched)
        : checkByIntrospection(scene, node, watched),
    ),
    ...scene.chains.slice(-4).map((watched) => checkRefreshToken(scene, node, watched)),
  ]);
}

type Watched = Scene['accessTokens'][number];

async function checkByIntrospection(scene: Scene, node: 0 | 1, { token, name }: Watched) {
  const shown = await introspect(scene, node, token.text);
  judge(`${name} at ${nameOf(node)}, introspected,`, shown.active === true, token);
  if (shown.active !== true) return;
  const scope = new Set(String(shown.scope).split(' '));
  if (!equal(scope, token.scope)) throw new Violation(`${name} shows the scope ${shown.scope}`);
}

async function checkByUserinfo(scene: Scene, node: 0 | 1, { token, name }: Watched) {
  const answer = answered(await scene.nodes[node].userinfo(token.text), 'userinfo');
  judge(`${name} at ${nameOf(node)}, shown to userinfo,`, answer.status === 200, token);
}

function judge(what: string, lives: boolean, token: AccessToken): void {
  const death = deathOfAccessToken(token, Date.now());
  if (death === 'unknown') return;
  if (lives && death !== undefined) throw new Violation(`${what} is active, though ${death}`);
  if (!lives && death === undefined) throw new Violation(`${what} is dead without cause`);
}

async function checkRefreshToken(
  scene: Scene,
  node: 0 | 1,
  { chain, name }: Scene['chains'][number],
) {
  const newest = chain.refreshTokens.length - 1;
  // At times the one before, which is spent.
  const generation = scene.count.step % 4 === 0 ? Math.max(0, newest - 1) : newest;
  const token = chain.refreshTokens[generation];
  if (token === undefined) return;
  const shown = await introspect(scene, node, token);
  const death = deathOfRefreshToken(chain, generation);
  const what = `${name}: its refresh token ${generation} at ${nameOf(node)}`;
  if (shown.active === true && death !== undefined) {
    throw new Violation(`${what} is active, though ${death}`);
  }
  if (shown.active !== true && death === undefined) {
    throw new Violation(`${what} is dead without cause`);
  }
}

async function introspect(scene: Scene, node: 0 | 1, token: string) {
  const shown = await scene.nodes[node].introspect(token);
  if (typeof shown.active !== 'boolean') answered503(shown);
  return shown;
}

function answered503(shown: Readonly<Record<string, unknown>>): void {
  answered(
    { status: 503, headers: new Headers(), text: '', body: shown, list: [] },
    'an introspection',
  );
}
