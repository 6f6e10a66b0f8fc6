import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  ClientSecretPost,
  calculatePKCECodeChallenge,
  discovery,
  fetchUserInfo,
  randomPKCECodeVerifier,
  refreshTokenGrant,
  tokenIntrospection,
  tokenRevocation,
} from 'openid-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Peer, startPeer } from '../deployments/peer.ts';

let peer: Peer;
beforeAll(async () => {
  peer = await startPeer();
});
afterAll(() => peer?.stop());

/** Follows redirects inside the peer with its cookies, and submits what its pages would. */
async function travel(start: URL): Promise<URL> {
  const cookies = new Map<string, string>();
  let url = start;
  for (let hops = 0; hops < 10 && url.origin === new URL(peer.issuer).origin; hops++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const page = url.pathname.startsWith('/interaction/');
    const action = hops === 1 ? 'login' : 'consent';
    const answer = await fetch(page ? `${url.href}/${action}` : url, {
      method: page ? 'POST' : 'GET',
      headers: { cookie },
      redirect: 'manual',
      ...(page ? { body: new URLSearchParams({ subject: 'alice' }) } : {}),
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '') cookies.delete(name);
      else cookies.set(name, value);
    }
    const location = answer.headers.get('location');
    if (location === null) throw new Error(`${answer.status} ${await answer.text()}`);
    url = new URL(location, url);
  }
  return url;
}

test('the peer is a working provider: openid-client signs in, refreshes, introspects, revokes', async () => {
  const app = peer.apps.ES256;
  const config = await discovery(
    new URL(peer.issuer),
    app.id,
    { id_token_signed_response_alg: app.alg },
    ClientSecretPost(app.secret),
    { execute: [allowInsecureRequests] },
  );
  const verifier = randomPKCECodeVerifier();
  const start = buildAuthorizationUrl(config, {
    redirect_uri: app.redirectUri,
    scope: 'openid offline_access',
    prompt: 'consent',
    nonce: 'a-nonce',
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const tokens = await authorizationCodeGrant(config, await travel(start), {
    pkceCodeVerifier: verifier,
    expectedNonce: 'a-nonce',
    idTokenExpected: true,
  });
  expect(await fetchUserInfo(config, tokens.access_token, 'alice')).toEqual({ sub: 'alice' });
  const refreshed = await refreshTokenGrant(config, String(tokens.refresh_token));
  expect(refreshed.refresh_token).not.toBe(tokens.refresh_token);
  const isActive = async (token: string) => (await tokenIntrospection(config, token)).active;
  expect(await isActive(refreshed.access_token)).toBe(true);
  await tokenRevocation(config, refreshed.access_token);
  expect(await isActive(refreshed.access_token)).toBe(false);
});

test('the peer writes its rows durably', async () => {
  const { gauge } = peer;
  const values = await gauge.settings('fsync', 'full_page_writes', 'synchronous_commit');
  expect(values).toEqual(['on', 'on', 'on']);
});
