import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Deployment, deploy, type Json, openBrowser } from './deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  claimsOf,
  door,
  newPkce,
  redeem,
  refresh,
  signIn,
  tokensOf,
  travel,
} from './login-app.ts';

/** Verifiers travel in URLs, so histories and impatient fingers send them again. */
describe('a verifier that is replayed', () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await deploy();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const verifierIn = (hops: readonly string[], kind: string) =>
    hops.find((hop) => hop.includes(`${kind}_verifier=`)) ?? '';

  test('of a consent, before the redemption: the same code identity', async () => {
    const client = await deployment.register();
    const signedIn = await signIn(deployment, client);
    const { browser, hops } = signedIn;
    const again = await travel(deployment, browser, await browser.get(verifierIn(hops, 'consent')));
    const code = again.callback?.searchParams.get('code') ?? '';
    expect(code).not.toBe('');
    const first = tokensOf(await redeem(deployment, client, signedIn));
    // Another text of the same code: to redeem it as well is a replay (RFC 6749 §4.1.2).
    const second = await redeem(deployment, client, { ...signedIn, code });
    expect(second.body.error).toBe('invalid_grant');
    expect(await deployment.introspect(first.access)).toEqual({ active: false });
  });

  test('of a consent, after the redemption: a page, no code, and the tokens live on', async () => {
    const client = await deployment.register();
    const signedIn = await signIn(deployment, client);
    const tokens = tokensOf(await redeem(deployment, client, signedIn));
    for (const kind of ['consent', 'login']) {
      const { browser, hops } = signedIn;
      const back = await travel(deployment, browser, await browser.get(verifierIn(hops, kind)));
      expect(back.callback, kind).toBeUndefined();
      expect(back.answer.status).toBe(410);
      expect(back.answer.headers.get('content-type')).toContain('text/html');
    }
    expect(await deployment.introspect(tokens.access)).toMatchObject({ active: true });
    expect((await refresh(deployment, client, tokens.refresh)).status).toBe(200);
  });

  test('of a login with a second subject: never a second identity', async () => {
    const client = await deployment.register();
    const browser = openBrowser();
    const pkce = newPkce();
    const parameters = authorizationParameters(client, pkce);
    const first = await browser.get(authorizationUrl(deployment, parameters));
    const challenge =
      new URL(first.headers.get('location') ?? '').searchParams.get('login_challenge') ?? '';
    const accept = async (body: Json) => {
      const answer = await deployment.admin('PUT', door('login', challenge, 'accept'), body);
      return String(answer.body.redirect_to);
    };
    const [alice, bob] = [await accept({ subject: 'alice' }), await accept({ subject: 'bob' })];
    const asAlice = await travel(deployment, browser, await browser.get(alice));
    const asBob = await travel(deployment, browser, await browser.get(bob));
    expect(asBob.callback).toBeUndefined();
    expect(asBob.answer.status).toBe(410);
    const again = await travel(deployment, browser, await browser.get(alice));
    const code = again.callback?.searchParams.get('code') ?? '';
    const tokens = tokensOf(await redeem(deployment, client, { code, pkce }));
    expect(claimsOf(tokens.id).sub).toBe('alice');
    expect(claimsOf(tokens.id).sid).toBe(asAlice.consentRequest?.login_session_id);
  });

  test('in another browser, or as a verifier of another kind: refused', async () => {
    const client = await deployment.register();
    const { hops, browser } = await signIn(deployment, client);
    const url = verifierIn(hops, 'consent');
    const stranger = await openBrowser().get(url);
    expect(stranger.status).toBe(403);
    expect(stranger.headers.get('location')).toBeNull();
    const swapped = await browser.get(url.replace('consent_verifier', 'login_verifier'));
    expect(swapped.status).toBe(400);
    const flipped = url.slice(0, -8) + (url.at(-8) === 'A' ? 'B' : 'A') + url.slice(-7);
    expect((await browser.get(flipped)).status).toBe(400);
    expect((await browser.get(url)).status).toBe(303);
  });

  test('of a rejected login: the app hears it again, nothing else', async () => {
    const client = await deployment.register();
    const { hops, browser } = await signIn(deployment, client, { rejectLogin: {} });
    const again = await browser.get(verifierIn(hops, 'login'));
    const location = new URL(again.headers.get('location') ?? '');
    expect(location.searchParams.get('error')).toBe('login request denied');
    expect(location.searchParams.has('code')).toBe(false);
  });

  test('after its time: refused', async () => {
    const short = await deploy({ env: { GATEHOUSE_FLOW_SECONDS: '2' } });
    try {
      const client = await short.register();
      const browser = openBrowser();
      const url = authorizationUrl(short, authorizationParameters(client, newPkce()));
      const first = await browser.get(url);
      const location = new URL(first.headers.get('location') ?? '');
      const challenge = location.searchParams.get('login_challenge') ?? '';
      const { body } = await short.admin('PUT', door('login', challenge, 'accept'), {
        subject: 'alice',
      });
      expect(body.redirect_to).toBeTruthy();
      await new Promise((resolve) => setTimeout(resolve, 2200));
      expect((await short.admin('GET', door('login', challenge))).status).toBe(404);
      expect((await browser.get(String(body.redirect_to))).status).toBe(400);
    } finally {
      await short.close();
    }
  });
});

describe('a flow under way', () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await deploy();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  test('each has a cookie of its own, ten of them in one browser; the oldest gives way', async () => {
    const client = await deployment.register();
    const browser = openBrowser();
    const begun: string[] = [];
    for (let tab = 0; tab < 12; tab += 1) {
      const parameters = authorizationParameters(client, newPkce());
      const answer = await browser.get(authorizationUrl(deployment, parameters));
      begun.push(answer.headers.get('location') ?? '');
    }
    expect(browser.cookies.size).toBe(10);
    const verifierOf = async (location = '') => {
      const challenge = new URL(location).searchParams.get('login_challenge') ?? '';
      const path = door('login', challenge, 'accept');
      const { body } = await deployment.admin('PUT', path, { subject: 'alice' });
      return String(body.redirect_to);
    };
    expect((await browser.get(await verifierOf(begun[0]))).status).toBe(403);
    for (const location of [begun[2], begun[11]]) {
      expect((await browser.get(await verifierOf(location))).status).toBe(303);
    }
  });

  test('what the client may no longer do is refused at the next hop', async () => {
    const client = await deployment.register();
    const hops = [
      [{ redirect_uris: ['https://app.example/moved'] }, 400],
      [{ redirect_uris: [client.redirectUri], disabled: true }, 400],
      [{ redirect_uris: [client.redirectUri], disabled: false }, 303],
    ] as const;
    const { hops: seen, browser } = await signIn(deployment, client);
    const verifier = seen.find((hop) => hop.includes('consent_verifier=')) ?? '';
    const { client_secret: _secret, ...document } = client.document;
    for (const [fields, status] of hops) {
      const path = `/admin/clients/${client.id}`;
      expect((await deployment.admin('PUT', path, { ...document, ...fields })).status).toBe(200);
      const answer = await browser.get(verifier);
      expect(answer.status).toBe(status);
      expect(answer.headers.get('location') === null).toBe(status === 400);
    }
  });

  test('an answer keeps the query that the redirect URI has, and goes to the fragment on request', async () => {
    const uri = 'https://app.example/callback?tenant=acme';
    const client = await deployment.register({ redirect_uris: [uri] });
    const byQuery = await signIn(deployment, client);
    expect(byQuery.callback?.searchParams.get('tenant')).toBe('acme');
    expect((await redeem(deployment, client, byQuery)).status).toBe(200);
    const mode = { response_mode: 'fragment' };
    const denied = await signIn(deployment, client, { parameters: mode, rejectLogin: {} });
    expect(denied.callback?.search).toBe('?tenant=acme');
    expect(denied.callback?.hash).toContain('error=');
  });

  test('a pairwise client: hint, refresh and logout by the subject that it knows', async () => {
    const client = await deployment.register({ subject_type: 'pairwise' });
    const login = { subject: 'alice', remember: true };
    const first = await signIn(deployment, client, { login });
    const tokens = tokensOf(await redeem(deployment, client, first));
    const { sub } = claimsOf(tokens.id);
    expect(sub).not.toBe('alice');
    const { browser } = first;
    const parameters = { id_token_hint: tokens.id };
    const hinted = await signIn(deployment, client, { browser, parameters });
    expect(hinted.loginRequest).toMatchObject({ skip: true, subject: 'alice' });
    const refreshed = tokensOf(await refresh(deployment, client, tokens.refresh));
    expect(claimsOf(refreshed.id).sub).toBe(sub);
    expect((await deployment.userinfo(refreshed.access)).body.sub).toBe(sub);
    const other = { parameters, login: { subject: 'bob' } };
    const refused = await signIn(deployment, client, other);
    expect(refused.returned.get('error')).toBe('login_required');
    const logout = `${deployment.server.publicUrl}/oauth2/sessions/logout?id_token_hint=${tokens.id}`;
    const { logoutRequest } = await travel(deployment, browser, await browser.get(logout));
    expect(logoutRequest).toMatchObject({ subject: 'alice', rp_initiated: true });
  });

  test('a consent that is accepted without a body grants nothing', async () => {
    const client = await deployment.register();
    const nothing = { grant_scope: undefined, grant_access_token_audience: undefined };
    const signedIn = await signIn(deployment, client, { consent: nothing });
    const answer = await redeem(deployment, client, signedIn);
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.body).toSorted()).toEqual([
      'access_token',
      'expires_in',
      'scope',
      'token_type',
    ]);
    expect(answer.body.scope).toBe('');
  });
});
