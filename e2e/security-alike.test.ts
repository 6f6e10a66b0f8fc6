import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Deployment, deploy, type RegisteredClient } from './deployment.ts';
import { claimsOf, connect, refresh, tokensOf } from './login-app.ts';

/** Requests that look alike and are not the same: nobody gets another's answer. */
describe('security: requests that look alike', () => {
  let deployment: Deployment;
  let client: RegisteredClient;
  let other: RegisteredClient;
  const apis = ['https://api.example/a', 'https://api.example/b'];

  beforeAll(async () => {
    deployment = await deploy();
    client = await deployment.register({ access_token_strategy: 'jwt' });
    other = await deployment.register({ access_token_strategy: 'jwt' });
  });

  afterAll(async () => {
    await deployment?.close();
  });

  test('security 24: refreshes at once that differ in scope or resource each get their own answer', async () => {
    const { refresh: token } = await connect(deployment, client, {
      parameters: { scope: 'openid offline_access api.read api.write', resource: apis },
    });
    const wishes = [
      { scope: 'openid api.read', resource: apis[0] },
      { scope: 'openid api.write', resource: apis[1] },
      { scope: 'openid api.read api.write', resource: apis },
      {},
    ] as const;
    const answers = await Promise.all(
      Array.from({ length: 24 }, async (_, n) => {
        const wish = wishes[n % wishes.length] ?? {};
        return { wish, tokens: tokensOf(await refresh(deployment, client, token, wish)) };
      }),
    );
    for (const { wish, tokens } of answers) {
      const claims = claimsOf(tokens.access);
      const scope = 'scope' in wish ? wish.scope : 'openid offline_access api.read api.write';
      expect(claims.scope).toBe(scope);
      const asked = 'resource' in wish ? wish.resource : apis;
      expect(claims.aud).toEqual(typeof asked === 'string' ? [asked] : asked);
      expect(claims.client_id).toBe(client.id);
    }
    // One line of descent: the successor is the same, the access tokens are not.
    expect(new Set(answers.map(({ tokens }) => tokens.refresh)).size).toBe(1);
    expect(new Set(answers.map(({ tokens }) => tokens.access)).size).toBe(answers.length);
  });

  test('security 24: another client with the same token at the same moment gets nothing', async () => {
    const { refresh: token } = await connect(deployment, client);
    // The first round opens the connections; from the second on they do arrive at once.
    for (let round = 0; round < 5; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 40 }, async (_, n) => {
          const caller = n % 2 === 0 ? client : other;
          return { caller, answer: await refresh(deployment, caller, token) };
        }),
      );
      for (const { caller, answer } of answers) {
        expect(answer.status).toBe(caller === client ? 200 : 400);
        if (caller === other) expect(answer.body.error).toBe('invalid_grant');
      }
    }
  });

  test('security 25: what was answered a moment ago is answered to nobody who is not authenticated', async () => {
    const { refresh: token } = await connect(deployment, client);
    const form = { grant_type: 'refresh_token', refresh_token: token };
    expect((await refresh(deployment, client, token)).status).toBe(200);
    const nobody = [
      await deployment.post('/oauth2/token', form),
      await deployment.post('/oauth2/token', { ...form, client_id: client.id }),
      await deployment.postAs({ ...client, secret: 'wrong' }, '/oauth2/token', form),
    ];
    for (const answer of nobody) {
      expect(answer.status).toBe(401);
      expect(answer.body).not.toHaveProperty('access_token');
    }
    // The retry of the client itself is answered with the same successor.
    const [first, again] = [
      tokensOf(await refresh(deployment, client, token)),
      tokensOf(await refresh(deployment, client, token)),
    ];
    expect(first.refresh).toBe(again.refresh);
  });

  test('security 44: a token that was checked a moment ago is inactive once its revocation is answered', async () => {
    const jwt = await connect(deployment, client);
    const opaqueClient = await deployment.register({ access_token_strategy: 'opaque' });
    const opaque = await connect(deployment, opaqueClient);
    for (const [by, { access }] of [
      [client, jwt],
      [opaqueClient, opaque],
    ] as const) {
      for (let times = 0; times < 20; times += 1) {
        expect((await deployment.introspect(access)).active).toBe(true);
      }
      await deployment.postAs(by, '/oauth2/revoke', { token: access });
      const seen = await Promise.all(
        Array.from({ length: 20 }, () => deployment.introspect(access)),
      );
      expect(seen.map(({ active }) => active)).toEqual(seen.map(() => false));
      expect((await deployment.userinfo(access)).status).toBe(401);
    }
  });
});
