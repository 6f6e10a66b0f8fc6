import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Deployment, deploy, type Parameters, type RegisteredClient } from './deployment.ts';
import { connect, newPkce, redeem, refresh, signIn, tokensOf } from './login-app.ts';

/** Codes and PKCE: what attackers try (SECURITY.md), each beside what is right. */
describe('security: codes', () => {
  let deployment: Deployment;
  let client: RegisteredClient;

  beforeAll(async () => {
    deployment = await deploy();
    client = await deployment.register();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const active = async (token: string) => (await deployment.introspect(token)).active;

  test('security 13: no challenge, plain or an unknown method is refused for every client', async () => {
    const open = await deployment.register({ token_endpoint_auth_method: 'none' });
    const { challenge, verifier } = newPkce();
    const wrong: readonly Parameters[] = [
      { code_challenge: undefined, code_challenge_method: undefined },
      { code_challenge: '' },
      { code_challenge: undefined },
      { code_challenge_method: undefined },
      { code_challenge: verifier, code_challenge_method: 'plain' },
      { code_challenge: challenge, code_challenge_method: 's256' },
      { code_challenge: challenge, code_challenge_method: 'S512' },
      { code_challenge: challenge.slice(1) },
      { code_challenge: `${challenge}=` },
    ];
    for (const by of [client, open]) {
      for (const parameters of wrong) {
        const { returned } = await signIn(deployment, by, { parameters });
        expect(returned.get('error'), JSON.stringify(parameters)).toBe('invalid_request');
        expect(returned.has('code')).toBe(false);
      }
      expect((await signIn(deployment, by)).code).not.toBe('');
    }
  });

  test('security 13: the one exemption must send a nonce instead (OAuth 2.1 §7.5.1)', async () => {
    const exempt = await deployment.register({ insecure_no_pkce: true });
    const without = { code_challenge: undefined, code_challenge_method: undefined };
    const bare = await signIn(deployment, exempt, { parameters: without });
    expect(bare.returned.get('error')).toBe('invalid_request');
    const nonce = await signIn(deployment, exempt, { parameters: { ...without, nonce: 'n-1' } });
    const redeemed = await redeem(deployment, exempt, nonce, { code_verifier: undefined });
    expect(redeemed.status).toBe(200);
    for (const fields of [{ token_endpoint_auth_method: 'none' }, { scope: 'api.read' }]) {
      const refused = await deployment.admin('POST', '/admin/clients', {
        redirect_uris: ['https://app.example/callback'],
        insecure_no_pkce: true,
        ...fields,
      });
      expect(refused.status).toBe(400);
    }
  });

  test('security 14: a verifier that is missing, empty or wrong: invalid_grant, and the code lives on', async () => {
    const signedIn = await signIn(deployment, client);
    const { verifier, challenge } = signedIn.pkce;
    const wrong = [
      undefined,
      '',
      challenge,
      newPkce().verifier,
      verifier.slice(0, -1),
      `${verifier}A`,
      verifier.toUpperCase(),
      'short',
      'v'.repeat(129),
      `${verifier} `,
    ];
    for (const code_verifier of wrong) {
      const answer = await redeem(deployment, client, signedIn, { code_verifier });
      expect(answer.status, code_verifier).toBe(400);
      expect(answer.body.error).toBe('invalid_grant');
    }
    expect((await redeem(deployment, client, signedIn)).status).toBe(200);
  });

  test('security 14: a verifier without a challenge: invalid_grant', async () => {
    const exempt = await deployment.register({ insecure_no_pkce: true });
    const signedIn = await signIn(deployment, exempt, {
      parameters: { code_challenge: undefined, code_challenge_method: undefined, nonce: 'n-1' },
    });
    const answer = await redeem(deployment, exempt, signedIn);
    expect(answer.body.error).toBe('invalid_grant');
    const right = await redeem(deployment, exempt, signedIn, { code_verifier: undefined });
    expect(right.status).toBe(200);
  });

  test('security 16: a code replayed in sequence is denied, and what it issued is revoked', async () => {
    const signedIn = await signIn(deployment, client);
    const tokens = tokensOf(await redeem(deployment, client, signedIn));
    expect(await active(tokens.access)).toBe(true);
    const refreshed = tokensOf(await refresh(deployment, client, tokens.refresh));
    const replay = await redeem(deployment, client, signedIn);
    expect(replay.status).toBe(400);
    expect(replay.body.error).toBe('invalid_grant');
    for (const token of [tokens.access, refreshed.access, refreshed.refresh]) {
      expect(await active(token)).toBe(false);
    }
    expect((await refresh(deployment, client, refreshed.refresh)).status).toBe(400);
    const control = await connect(deployment, client);
    expect(await active(control.access)).toBe(true);
  });

  test('security 17: another client with the code is denied, and nothing is revoked', async () => {
    const thief = await deployment.register();
    const open = await deployment.register({ token_endpoint_auth_method: 'none' });
    const signedIn = await signIn(deployment, client);
    for (const by of [thief, open]) {
      const stolen = await redeem(deployment, by, signedIn);
      expect(stolen.body.error).toBe('invalid_grant');
    }
    const tokens = tokensOf(await redeem(deployment, client, signedIn));
    // Also after the redemption a stranger's replay is no replay.
    expect((await redeem(deployment, thief, signedIn)).body.error).toBe('invalid_grant');
    const guess = { code_verifier: newPkce().verifier };
    expect((await redeem(deployment, client, signedIn, guess)).body.error).toBe('invalid_grant');
    expect(await active(tokens.access)).toBe(true);
    expect((await refresh(deployment, client, tokens.refresh)).status).toBe(200);
  });

  test('security 17: the redirect URI must be the one of the request (RFC 6749 §4.1.3)', async () => {
    const signedIn = await signIn(deployment, client);
    for (const redirect_uri of [undefined, 'https://app.example/other', 'https://evil.example/']) {
      const answer = await redeem(deployment, client, signedIn, { redirect_uri });
      expect(answer.body.error).toBe('invalid_grant');
    }
    expect((await redeem(deployment, client, signedIn)).status).toBe(200);
  });

  test.each([
    [
      'the consent',
      (id: string, s: string) => `/admin/oauth2/auth/sessions/consent?subject=${s}&client=${id}`,
    ],
    ['all of the client’s tokens', (id: string) => `/admin/oauth2/tokens?client_id=${id}`],
    ['the client itself', (id: string) => `/admin/clients/${id}`],
  ])('security 18: %s withdrawn while a code is out: the code is dead', async (_name, path) => {
    const own = await deployment.register();
    const subject = `subject-of-${own.id}`;
    const options = { login: { subject } };
    const control = await signIn(deployment, own, options);
    expect((await redeem(deployment, own, control)).status).toBe(200);
    const out = await signIn(deployment, own, options);
    expect((await deployment.admin('DELETE', path(own.id, subject))).status).toBe(204);
    const answer = await redeem(deployment, own, out);
    expect(['invalid_grant', 'invalid_client']).toContain(answer.body.error);
  });

  test('security 18: a consent verifier from before the withdrawal gives no code', async () => {
    const own = await deployment.register();
    const subject = `subject-of-${own.id}`;
    const signedIn = await signIn(deployment, own, { login: { subject } });
    const verifier = signedIn.hops.find((hop) => hop.includes('consent_verifier=')) ?? '';
    const path = `/admin/oauth2/auth/sessions/consent?subject=${subject}&client=${own.id}`;
    const before = await signedIn.browser.get(verifier);
    expect(before.headers.get('location')).toContain('code=');
    await deployment.admin('DELETE', path);
    const after = await signedIn.browser.get(verifier);
    const location = new URL(after.headers.get('location') ?? '');
    expect(location.searchParams.get('error')).toBe('access_denied');
    expect(location.searchParams.has('code')).toBe(false);
  });

  test('security 19: a code that is truncated, extended or changed is no code', async () => {
    const signedIn = await signIn(deployment, client);
    const { code } = signedIn;
    const flip = (at: number) =>
      code.slice(0, at) + (code[at] === 'A' ? 'B' : 'A') + code.slice(at + 1);
    const middle = Math.floor(code.length / 2);
    const wrong = [
      code.slice(0, -1),
      code.slice(1),
      `${code}A`,
      flip(12),
      flip(middle),
      flip(code.length - 3),
    ];
    for (const attempt of wrong) {
      const answer = await redeem(deployment, client, { ...signedIn, code: attempt });
      expect(answer.body.error, attempt).toBe('invalid_grant');
    }
    expect((await redeem(deployment, client, signedIn)).status).toBe(200);
  });
});
