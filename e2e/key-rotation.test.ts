import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { macKidOf } from '#server/testing/mac-key.ts';
import { call, type Deployment, openBrowser, type RegisteredClient } from './deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  connect,
  door,
  newPkce,
  redeem,
  refresh,
  type Tokens,
  tokensOf,
} from './login-app.ts';
import { deployTwo, type TwoNodes } from './two-nodes.ts';

// The schedule of months, in seconds: what is held for longer than a rotation meets new keys.
const rotationSeconds = 9;
const lifeSeconds = 20;
const heldMs = 10_000;
const loadMs = 30_000;
/** The first keys retire after a rotation, and what they made ends a life and two margins later. */
const spentMsMax = 45_000;

let deployment: TwoNodes;
let owner: pg.Client;
beforeAll(async () => {
  const life = String(lifeSeconds);
  deployment = await deployTwo({
    env: {
      GATEHOUSE_INSECURE_KEY_ROTATION_SECONDS: String(rotationSeconds),
      GATEHOUSE_FLOW_SECONDS: life,
      GATEHOUSE_CODE_SECONDS: life,
      GATEHOUSE_ACCESS_TOKEN_SECONDS: life,
      GATEHOUSE_ID_TOKEN_SECONDS: life,
      GATEHOUSE_REFRESH_TOKEN_SECONDS: life,
      GATEHOUSE_REFRESH_GRACE_SECONDS: '2',
    },
  });
  owner = new pg.Client({ connectionString: deployment.database.urls.owner });
  await owner.connect();
});
afterAll(async () => {
  await owner?.end();
  await deployment?.close();
});

interface KeyLine {
  readonly set: string;
  readonly kid: string;
}

async function rows<Row extends object>(text: string, values: readonly unknown[] = []) {
  return (await owner.query<Row>(text, [...values])).rows;
}

/** The keys that sign, seal and hash at this moment: the newest active one of each kind. */
function keysInUse(): Promise<readonly KeyLine[]> {
  return rows<KeyLine>(
    `select distinct on (k.set_name, k.alg, k.use) k.set_name as set, k.kid from key k
     where k.active_at <= now() order by k.set_name, k.alg, k.use, k.active_at desc, k.kid`,
  );
}

async function isThere(set: string, kid: string): Promise<boolean> {
  const found = await rows('select k.id from key k where k.set_name = $1 and k.kid = $2', [
    set,
    kid,
  ]);
  return found.length > 0;
}

async function pepperKidOf(client: RegisteredClient): Promise<string> {
  const text = 'select s.pepper_kid as kid from client_secret s where s.client_id = $1';
  return (await rows<{ kid: string }>(text, [client.id]))[0]?.kid ?? '';
}

async function jwksKids(node: Deployment): Promise<readonly string[]> {
  const { body } = await call(`${node.server.publicUrl}/.well-known/jwks.json`);
  return Array.isArray(body.keys) ? body.keys.map((key) => String(key.kid)) : [];
}

/** A relying party that knows new keys only because they are published ahead of use. */
function relyingParty(node: Deployment) {
  const url = new URL(`${node.server.publicUrl}/.well-known/jwks.json`);
  const keys = createRemoteJWKSet(url, { cacheMaxAge: 1500, cooldownDuration: 3_600_000 });
  return (jwt: string, audience: string | undefined) =>
    jwtVerify(jwt, keys, {
      issuer: node.issuer,
      ...(audience === undefined ? {} : { audience }),
    });
}

/** A deliberate wait somewhere between two steps of a login, in milliseconds. */
interface Pace {
  readonly beforeVerifierMs: number;
  readonly beforeCodeMs: number;
  readonly beforeRefreshMs: number;
}

/** One login whose steps go to the nodes in turn; throws where any of them fails. */
async function once(
  [one, other]: readonly [Deployment, Deployment],
  client: RegisteredClient,
  verify: ReturnType<typeof relyingParty>,
  pace: Pace,
): Promise<Tokens> {
  const subject = `user-${randomUUID()}`;
  const [browser, pkce] = [openBrowser(), newPkce()];
  const parameters = authorizationParameters(client, pkce);
  const began = await browser.get(authorizationUrl(one, parameters));
  const challenge = challengeIn(began.headers.get('location'), 'login');
  const accepted = await other.admin('PUT', door('login', challenge, 'accept'), { subject });
  await sleep(pace.beforeVerifierMs);
  const back = String(accepted.body.redirect_to).replace(one.issuer, other.server.publicUrl);
  const asked = await browser.get(back);
  const consent = challengeIn(asked.headers.get('location'), 'consent');
  const granted = await one.admin('PUT', door('consent', consent, 'accept'), {
    grant_scope: ['openid', 'offline_access'],
  });
  const done = await browser.get(String(granted.body.redirect_to));
  const code = new URL(done.headers.get('location') ?? '').searchParams.get('code') ?? '';
  await sleep(pace.beforeCodeMs);
  const first = tokensOf(await redeem(other, client, { code, pkce }));
  await check([one, other], client, first, verify);
  await sleep(pace.beforeRefreshMs);
  // what was issued before the wait still lives, wherever it is asked for
  await check([other, one], client, first, verify);
  const next = tokensOf(await refresh(one, client, first.refresh));
  await check([other, one], client, next, verify);
  return next;
}

function challengeIn(location: string | null, kind: 'login' | 'consent'): string {
  const challenge = new URL(location ?? '').searchParams.get(`${kind}_challenge`);
  if (challenge === null) throw new Error(`no ${kind} challenge in ${location}`);
  return challenge;
}

async function check(
  nodes: readonly Deployment[],
  client: RegisteredClient,
  tokens: Tokens,
  verify: ReturnType<typeof relyingParty>,
): Promise<void> {
  await verify(tokens.id, client.id);
  if (tokens.access.split('.').length === 3) await verify(tokens.access, undefined);
  for (const node of nodes) {
    const said = await node.introspect(tokens.access);
    if (said.active !== true) throw new Error(`not active: ${JSON.stringify(said)}`);
    const { status } = await node.userinfo(tokens.access);
    if (status !== 200) throw new Error(`userinfo said ${status}`);
  }
}

test('R22: keys rotate on schedule under load; nothing fails, and what is over is deleted', async () => {
  const { a, b, nodes } = deployment;
  const verify = relyingParty(a);
  const [opaque, jwt] = [await a.register(), await a.register({ access_token_strategy: 'jwt' })];
  const keeper = await a.register();
  // An app's own lifetime, far beyond the deployment's: its refresh token holds the first MAC key.
  const lifespans = { authorization_code_grant_refresh_token_lifespan: '1h' };
  await a.admin('PUT', `/admin/clients/${keeper.id}/lifespans`, lifespans);
  const kept = await connect(a, keeper, { login: { subject: 'somebody-patient' } });
  const firstKeys = await keysInUse();
  const [firstMac, firstPepper] = [macKidOf(kept.refresh), await pepperKidOf(keeper)];
  const cookieKid = firstKeys.find(({ set }) => set === 'gatehouse.session-cookie')?.kid ?? '';

  const failures: string[] = [];
  const state = { over: false, logins: 0 };
  const jwksSizes = new Set<number>();
  const idTokenKids = new Set<string>();
  const paces: readonly Pace[] = [
    { beforeVerifierMs: 0, beforeCodeMs: 0, beforeRefreshMs: 0 },
    { beforeVerifierMs: heldMs, beforeCodeMs: 0, beforeRefreshMs: 0 },
    { beforeVerifierMs: 0, beforeCodeMs: heldMs, beforeRefreshMs: 0 },
    { beforeVerifierMs: 0, beforeCodeMs: 0, beforeRefreshMs: heldMs },
  ];
  const user = async (pace: Pace, client: RegisteredClient) => {
    for (let turn = 0; !state.over; turn += 1) {
      const order: readonly [Deployment, Deployment] = turn % 2 === 0 ? [a, b] : [b, a];
      try {
        const { id } = await once(order, client, verify, pace);
        idTokenKids.add(String(Buffer.from(id.split('.')[0] ?? '', 'base64url')));
        state.logins += 1;
      } catch (error) {
        failures.push(`${JSON.stringify(pace)} ${client.id}: ${error}`);
      }
      await sleep(100);
    }
  };
  const watch = async () => {
    while (!state.over) {
      for (const node of nodes) jwksSizes.add((await jwksKids(node)).length);
      await sleep(500);
    }
  };
  const work = [watch(), ...paces.flatMap((pace) => [opaque, jwt].map((app) => user(pace, app)))];
  await sleep(loadMs);
  state.over = true;
  await Promise.all(work);

  expect(failures).toEqual([]);
  expect(state.logins).toBeGreaterThan(20);
  // Three keys have signed at least, and several of a kind were published at once.
  expect(idTokenKids.size).toBeGreaterThanOrEqual(3);
  expect(Math.min(...jwksSizes)).toBeGreaterThanOrEqual(5);
  expect(Math.max(...jwksSizes)).toBeGreaterThanOrEqual(10);

  // Flows, codes, tokens and signatures of then are over, and so are their keys, here and in the JWKS.
  const keptSets = ['gatehouse.session-cookie', 'gatehouse.refresh', 'pepper'];
  const spent = firstKeys.filter(({ set }) => !keptSets.includes(set));
  const left = async () => {
    const there = await Promise.all(spent.map(({ set, kid }) => isThere(set, kid)));
    return spent.filter((_, index) => there[index]);
  };
  await expect.poll(left, { timeout: spentMsMax, interval: 500 }).toEqual([]);
  const signing = spent.filter(({ set }) => set.startsWith('hydra.')).map(({ kid }) => kid);
  expect(signing).toHaveLength(5);
  for (const node of nodes) {
    const published = async () => (await jwksKids(node)).filter((kid) => signing.includes(kid));
    await expect.poll(published, { timeout: 5000 }).toEqual([]);
  }

  // Cookies, a refresh token and secrets still need theirs; when those are over, so are the keys.
  expect(await isThere('gatehouse.session-cookie', cookieKid)).toBe(true);
  expect(await isThere('gatehouse.refresh', firstMac)).toBe(true);
  expect(await isThere('pepper', firstPepper)).toBe(true);
  const moved = tokensOf(await refresh(b, keeper, kept.refresh));
  expect(macKidOf(moved.refresh)).not.toBe(firstMac);
  for (const client of [opaque, jwt, keeper]) {
    const path = `/admin/clients/${client.id}/secrets/rotate`;
    expect((await b.admin('POST', path)).status).toBe(200);
    expect((await b.admin('DELETE', path)).status).toBeLessThan(300);
  }
  const gone = { timeout: spentMsMax, interval: 500 };
  await expect.poll(() => isThere('gatehouse.refresh', firstMac), gone).toBe(false);
  await expect.poll(() => isThere('pepper', firstPepper), gone).toBe(false);

  const told = async (action: string) =>
    (await a.admin('GET', `/admin/audit?page_size=1000&action=${action}`)).text;
  expect(await told('key.rotate')).toContain('"id":"gatehouse.refresh ');
  await expect.poll(() => told('key.expire')).toContain(`pepper ${firstPepper}`);
  expect(await told('key.first')).toContain('"id":"hydra.jwt.access-token ');
}, 180_000);

test('a chain is kept until no verifier of its login and no code of that could come again', async () => {
  const { a } = deployment;
  const client = await a.register();
  await connect(a, client, { login: { subject: 'somebody-quick' } });
  const kept = await rows<{ seconds: number }>(
    `select extract(epoch from c.keep_until - c.created_at)::float8 as seconds from chain c
     where c.client_id = $1`,
    [client.id],
  );
  // A flow lives this long, and a code made at its end as long again.
  expect(kept.map(({ seconds }) => seconds >= 2 * lifeSeconds)).toEqual([true]);
});
