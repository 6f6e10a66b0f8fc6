import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  call,
  everyScope,
  type Json,
  openBrowser,
  type Parameters,
  type RegisteredClient,
} from './deployment.ts';
import { claimsOf, connect, redeem, refresh, type SignIn, signIn, tokensOf } from './login-app.ts';
import { deployTwo, type TwoNodes } from './two-nodes.ts';

let two: TwoNodes;
let opaque: RegisteredClient;
let jwt: RegisteredClient;
beforeAll(async () => {
  two = await deployTwo();
  const audience = ['https://a.example', 'https://b.example'];
  opaque = await two.a.register({ audience });
  jwt = await two.a.register({ audience, access_token_strategy: 'jwt' });
});
afterAll(() => two?.close());

const parameters = { scope: everyScope, audience: 'https://a.example https://b.example' };
const asPerson = (subject: string, more: SignIn = {}): SignIn => ({
  parameters,
  ...more,
  login: { subject },
});

async function grantOf(subject: string): Promise<Json> {
  const path = `/admin/oauth2/auth/sessions/consent?subject=${subject}`;
  const [grant = {}] = (await two.a.admin('GET', path)).list;
  return grant;
}

async function narrow(subject: string, remains: Json) {
  const { grant_id } = await grantOf(subject);
  return two.a.admin('POST', `/admin/grants/${grant_id}/narrow`, remains);
}

const kept = 'openid offline_access api.read';

test.each(['opaque', 'jwt'])(
  'R4: once narrowing is acknowledged, no node takes %s tokens made before it, and a refresh gives what is left',
  async (kind) => {
    const client = kind === 'jwt' ? jwt : opaque;
    const subject = `user-${randomUUID()}`;
    const tokens = await connect(two.b, client, asPerson(subject));
    expect((await two.b.introspect(tokens.access)).active).toBe(true);
    const answer = await narrow(subject, { scope: kept, audience: ['https://a.example'] });
    expect(answer.body).toMatchObject({
      version: 2,
      scope: kept,
      audience: ['https://a.example'],
    });
    const [shown, person] = await Promise.all([
      two.b.introspect(tokens.access),
      two.b.userinfo(tokens.access),
    ]);
    expect([shown.active, person.status]).toEqual([false, 401]);
    const shownRefresh = await two.b.introspect(tokens.refresh);
    expect(shownRefresh).toMatchObject({ active: true, scope: kept, aud: ['https://a.example'] });
    const next = tokensOf(await refresh(two.b, client, tokens.refresh));
    expect(next.answer.body.scope).toBe(kept);
    expect(await two.a.introspect(next.access)).toMatchObject({
      active: true,
      scope: kept,
      aud: ['https://a.example'],
    });
  },
);

test('R4: what a chain lost it does not get back when the person allows it again', async () => {
  const subject = `user-${randomUUID()}`;
  const before = await connect(two.a, opaque, asPerson(subject));
  await narrow(subject, { scope: kept });
  const after = await connect(two.b, opaque, asPerson(subject));
  expect(tokensOf(await refresh(two.a, opaque, after.refresh)).answer.body.scope).toBe(everyScope);
  expect(tokensOf(await refresh(two.b, opaque, before.refresh)).answer.body.scope).toBe(kept);
});

test('R4: verifiers and codes that were out there when a grant was narrowed change nothing', async () => {
  const subject = `user-${randomUUID()}`;
  await connect(two.a, opaque, asPerson(subject));
  const waiting = await signIn(two.a, opaque, asPerson(subject));
  const verifier = waiting.hops.findLast((hop) => hop.includes('consent_verifier=')) ?? '';
  await narrow(subject, { scope: kept });
  const redeemed = await redeem(two.b, opaque, waiting);
  expect([redeemed.status, redeemed.body.error]).toEqual([400, 'invalid_grant']);
  await call(verifier);
  expect((await grantOf(subject)).grant_scope).toEqual(kept.split(' '));
});

test('R4: after a revocation the grant is new: another id, version 1, the new scopes alone', async () => {
  const subject = `user-${randomUUID()}`;
  const before = await connect(two.a, jwt, asPerson(subject));
  await narrow(subject, { scope: kept });
  const { grant_id } = await grantOf(subject);
  await two.a.admin('POST', '/admin/revocations', { grant: grant_id });
  expect(
    (await two.a.admin('POST', `/admin/grants/${grant_id}/narrow`, { scope: 'openid' })).status,
  ).toBe(404);
  const again = { ...parameters, scope: 'openid api.write' };
  const after = await connect(two.b, jwt, asPerson(subject, { parameters: again }));
  const grant = await grantOf(subject);
  expect(grant.grant_id).not.toBe(grant_id);
  expect(grant.grant_scope).toEqual(['openid', 'api.write']);
  const versionOf = (token: string) =>
    new Map(Object.entries(Object(claimsOf(token).gh))).get('version');
  expect(versionOf(after.access)).toBe(1);
  expect((await refresh(two.b, jwt, before.refresh)).body.error).toBe('invalid_grant');
});

test('R4: a consent that is remembered is skipped for what is left of it, and asked for the rest', async () => {
  const subject = `user-${randomUUID()}`;
  const browser = openBrowser();
  const web = await two.a.register();
  await connect(two.a, web, {
    browser,
    parameters: { scope: everyScope },
    login: { subject, remember: true },
    consent: { remember: true },
  });
  await narrow(subject, { scope: kept });
  const less = await signIn(two.a, web, { browser, parameters: { scope: kept } });
  expect(less.consentRequest?.skip).toBe(true);
  expect(tokensOf(await redeem(two.a, web, less)).answer.body.scope).toBe(kept);
  const more = await signIn(two.a, web, { browser, parameters: { scope: everyScope } });
  expect(more.consentRequest?.skip).toBe(false);
});

test('R4: a chain without offline_access any more is dead', async () => {
  const subject = `user-${randomUUID()}`;
  const tokens = await connect(two.a, opaque, asPerson(subject));
  await narrow(subject, { scope: 'openid api.read' });
  expect((await two.b.introspect(tokens.refresh)).active).toBe(false);
  expect((await refresh(two.b, opaque, tokens.refresh)).body.error).toBe('invalid_grant');
});

test('RFC 6749 §5.1: a refresh that asks for what the grant has lost is told so, and consumes nothing', async () => {
  const subject = `user-${randomUUID()}`;
  const tokens = await connect(two.a, opaque, asPerson(subject));
  await narrow(subject, { scope: 'openid offline_access' });
  for (const [node, scope] of [
    [two.a, 'api.read'],
    [two.b, 'api.read api.write'],
  ] as const) {
    const refused = await refresh(node, opaque, tokens.refresh, { scope });
    expect([refused.status, refused.body.error]).toEqual([400, 'invalid_scope']);
  }
  const { grant_id } = await grantOf(subject);
  const part = await refresh(two.b, opaque, tokens.refresh, { scope: 'openid api.read' });
  expect([part.status, part.body.scope]).toEqual([200, 'openid']);
  // allowed again, yet not to what was there before
  await connect(two.a, opaque, asPerson(subject));
  expect((await grantOf(subject)).grant_id).toBe(grant_id);
  const again = await refresh(two.a, opaque, tokensOf(part).refresh, { scope: 'api.read' });
  expect([again.status, again.body.error]).toEqual([400, 'invalid_scope']);
});

test('the door refuses what would widen, what names nothing, and whoever may not', async () => {
  const subject = `user-${randomUUID()}`;
  const tokens = await connect(two.a, opaque, asPerson(subject, { parameters: { scope: kept } }));
  const wider = await narrow(subject, { scope: `${kept} api.write` });
  expect([wider.status, wider.body.error]).toEqual([400, 'invalid_scope']);
  for (const body of [{}, { scope: '' }, { scope: 7 }, { audience: 'x' }, { scope: 'é' }, []]) {
    expect((await narrow(subject, Object(body))).status).toBe(400);
  }
  const path = `/admin/grants/${randomUUID()}/narrow`;
  expect((await two.a.admin('POST', path, { scope: kept })).status).toBe(404);
  expect((await two.a.admin('POST', '/admin/grants/x/narrow', { scope: kept })).status).toBe(404);
  const open = await call(two.a.server.adminUrl + path, { method: 'POST', body: '{}' });
  expect(open.status).toBe(401);
  expect((await narrow(subject, { scope: kept })).body.version).toBe(1);
  expect((await two.b.introspect(tokens.access)).active).toBe(true);
});

test('narrowings at the same moment add up: each one takes away', async () => {
  const subject = `user-${randomUUID()}`;
  await connect(two.a, opaque, asPerson(subject));
  const { grant_id } = await grantOf(subject);
  const all = everyScope.split(' ');
  const path = `/admin/grants/${grant_id}/narrow`;
  const answers = await Promise.all(
    ['profile', 'api.read', 'api.write'].map((gone, at) =>
      two.nodes[at % 2]?.admin('POST', path, { scope: all.filter((s) => s !== gone).join(' ') }),
    ),
  );
  expect(answers.map((answer) => answer?.status).every((s) => s === 200 || s === 400)).toBe(true);
  const done = answers.filter((answer) => answer?.status === 200).length;
  expect((await grantOf(subject)).grant_scope).toHaveLength(all.length - done);
});

test('an app gets no new token for a scope or a resource that was taken from its registration', async () => {
  const subject = `user-${randomUUID()}`;
  const [keptApi, lostApi] = ['https://kept.example', 'https://lost.example'];
  const client = await two.a.register({ resources: [keptApi, lostApi] });
  const asking = { parameters: { scope: everyScope, resource: [keptApi, lostApi] } };
  const tokens = await connect(two.a, client, asPerson(subject, asking));
  const onItsWay = await signIn(two.a, client, asPerson(subject, asking));
  const patched = await two.a.admin('PATCH', `/admin/clients/${client.id}`, [
    { op: 'replace', path: '/scope', value: kept },
    { op: 'replace', path: '/resources', value: [keptApi] },
  ]);
  expect(patched.status).toBe(200);
  const refreshWith = (changes: Parameters) => refresh(two.b, client, tokens.refresh, changes);
  expect((await refreshWith({ scope: 'api.write' })).body.error).toBe('invalid_scope');
  expect((await refreshWith({ resource: lostApi })).body.error).toBe('invalid_target');
  const lost = await redeem(two.b, client, onItsWay, { resource: lostApi });
  expect(lost.body.error).toBe('invalid_target');
  for (const answer of [
    await refreshWith({}),
    await refreshWith({ scope: everyScope }),
    await redeem(two.b, client, onItsWay),
  ]) {
    expect(answer.body.scope).toBe(kept);
    const shown = await two.a.introspect(tokensOf(answer).access);
    expect(shown).toMatchObject({ active: true, scope: kept, aud: [keptApi] });
  }
});

test('an app gets no new token for an audience that was taken from its registration', async () => {
  const subject = `user-${randomUUID()}`;
  const [keptApi, lostApi] = ['kept-api', 'https://lost.example'];
  const client = await two.a.register({ audience: [keptApi, lostApi] });
  const asking = { parameters: { scope: everyScope, audience: `${keptApi} ${lostApi}` } };
  const tokens = await connect(two.a, client, asPerson(subject, asking));
  expect((await two.b.introspect(tokens.access)).aud).toEqual([keptApi, lostApi]);
  const onItsWay = await signIn(two.a, client, asPerson(subject, asking));
  const patch = [{ op: 'replace', path: '/audience', value: [keptApi] }];
  expect((await two.a.admin('PATCH', `/admin/clients/${client.id}`, patch)).status).toBe(200);
  for (const answer of [
    await refresh(two.b, client, tokens.refresh),
    await redeem(two.b, client, onItsWay),
  ]) {
    expect((await two.a.introspect(tokensOf(answer).access)).aud).toEqual([keptApi]);
  }
});
