import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { changeRows } from '#server/testing/rows.ts';
import { call, type Deployment, deploy } from './deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  claimsOf,
  connect,
  newPkce,
  redeem,
  refresh,
  signIn,
  tokensOf,
} from './login-app.ts';

/** Lifetimes, of the deployment and of one client; and what an https issuer changes. */
describe('lifetimes', () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await deploy({
      env: {
        GATEHOUSE_ISSUER: 'https://id.example',
        GATEHOUSE_ACCESS_TOKEN_SECONDS: '3',
        GATEHOUSE_ID_TOKEN_SECONDS: '120',
        GATEHOUSE_CODE_SECONDS: '3',
        GATEHOUSE_REFRESH_TOKEN_SECONDS: '400',
        GATEHOUSE_REFRESH_TOKEN_ABSOLUTE_SECONDS: '800',
        GATEHOUSE_ID_TOKEN_ALG: 'ES256',
        GATEHOUSE_ACCESS_TOKEN_STRATEGY: 'jwt',
      },
    });
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const active = async (token: string) => (await deployment.introspect(token)).active;

  test('access tokens, ID tokens and codes end when they say', async () => {
    const client = await deployment.register();
    const late = await signIn(deployment, client);
    const signedIn = await signIn(deployment, client);
    const tokens = tokensOf(await redeem(deployment, client, signedIn));
    expect(tokens.answer.body.expires_in).toBe(3);
    const { exp, iat } = claimsOf(tokens.id);
    expect(Number(exp) - Number(iat)).toBe(120);
    expect(await active(tokens.access)).toBe(true);
    expect((await deployment.userinfo(tokens.access)).status).toBe(200);
    await sleep(3_100);
    expect(await active(tokens.access)).toBe(false);
    expect((await deployment.userinfo(tokens.access)).status).toBe(401);
    expect((await redeem(deployment, client, late)).body.error).toBe('invalid_grant');
  });

  test('a refresh token ends when it was not used, and its family at the absolute end', async () => {
    const client = await deployment.register();
    const later = (seconds: number) =>
      changeRows(
        deployment.server.database.urls.owner,
        `update chain set created_at = created_at - past, rotated_at = rotated_at - past,
             expires_at = expires_at - past, absolute_expires_at = absolute_expires_at - past
           from make_interval(secs => $1) past where client_id = $2`,
        [seconds, client.id],
      );
    const unused = tokensOf(await redeem(deployment, client, await signIn(deployment, client)));
    const used = tokensOf(await redeem(deployment, client, await signIn(deployment, client)));
    await later(200);
    const second = tokensOf(await refresh(deployment, client, used.refresh));
    await later(250);
    expect([await active(unused.refresh), await active(second.refresh)]).toEqual([false, true]);
    expect((await refresh(deployment, client, unused.refresh)).body.error).toBe('invalid_grant');
    const third = tokensOf(await refresh(deployment, client, second.refresh));
    await later(351);
    expect(await active(third.refresh)).toBe(false);
    expect((await refresh(deployment, client, third.refresh)).body.error).toBe('invalid_grant');
  });

  test('a client’s own lifespans win, by the grant that issues', async () => {
    const client = await deployment.register();
    const set = await deployment.admin('PUT', `/admin/clients/${client.id}/lifespans`, {
      authorization_code_grant_access_token_lifespan: '10m',
      authorization_code_grant_id_token_lifespan: '20m',
      refresh_token_grant_access_token_lifespan: '30m',
      client_credentials_grant_access_token_lifespan: '40m',
      authorization_code_grant_refresh_token_lifespan: '1h',
    });
    expect(set.status).toBe(200);
    const tokens = tokensOf(await redeem(deployment, client, await signIn(deployment, client)));
    expect(tokens.answer.body.expires_in).toBe(600);
    const { exp, iat } = claimsOf(tokens.id);
    expect(Number(exp) - Number(iat)).toBe(1200);
    const refreshed = await refresh(deployment, client, tokens.refresh);
    expect(refreshed.body.expires_in).toBe(1800);
    const form = { grant_type: 'client_credentials' };
    expect((await deployment.postAs(client, '/oauth2/token', form)).body.expires_in).toBe(2400);
  });

  test('the deployment’s algorithm and strategy hold where a client says nothing', async () => {
    const client = await deployment.register();
    const tokens = tokensOf(await redeem(deployment, client, await signIn(deployment, client)));
    const header = (jwt: string) =>
      JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString());
    expect(header(tokens.id)).toMatchObject({ alg: 'ES256', typ: 'JWT' });
    expect(header(tokens.access)).toMatchObject({ alg: 'ES256', typ: 'at+jwt' });
    const opaque = await deployment.register({
      access_token_strategy: 'opaque',
      id_token_signed_response_alg: 'RS256',
    });
    const other = tokensOf(await redeem(deployment, opaque, await signIn(deployment, opaque)));
    expect(other.access).toMatch(/^gh_at_/);
    expect(header(other.id).alg).toBe('RS256');
  });

  test('under https cookies are __Host-, Secure, HttpOnly and SameSite=None', async () => {
    const client = await deployment.register();
    const url = authorizationUrl(deployment, authorizationParameters(client, newPkce()));
    const answer = await call(url);
    const [cookie = ''] = answer.headers.getSetCookie();
    expect(cookie).toMatch(/^__Host-gh_flow_/);
    for (const attribute of ['Path=/', 'HttpOnly', 'Secure', 'SameSite=None']) {
      expect(cookie).toContain(attribute);
    }
    expect(answer.headers.get('strict-transport-security')).toMatch(/^max-age=\d{7,}/);
    expect(answer.headers.get('location')).toMatch(/^https:\/\/id\.example\/ui\/login\?/);
  });
});

test('R10: what is revoked while a lifetime rises gets no token, and what could not wait is not spent', async () => {
  const raise = 'control_raise_access_seconds.before';
  const failpoints = `${raise}=error@2,${raise}=sleep:2000`;
  const deployment = await deploy({ env: { GATEHOUSE_INSECURE_FAILPOINTS: failpoints } });
  onTestFinished(() => deployment.close());
  const client = await deployment.register();
  const { admin } = deployment;
  const liveFor = async (hours: number) => {
    const lifespan = `${hours}h`;
    const set = await admin('PUT', `/admin/clients/${client.id}/lifespans`, {
      authorization_code_grant_access_token_lifespan: lifespan,
      refresh_token_grant_access_token_lifespan: lifespan,
      client_credentials_grant_access_token_lifespan: lifespan,
    });
    expect(set.status).toBe(200);
  };
  const tokens = await connect(deployment, client);
  const [first, second] = [await signIn(deployment, client), await signIn(deployment, client)];
  await liveFor(2);
  expect((await redeem(deployment, client, first)).status).toBe(503);
  expect((await redeem(deployment, client, first)).status).toBe(200);
  const form = { grant_type: 'client_credentials' };
  const consent = `subject=alice&client=${client.id}`;
  const steps = [
    {
      ask: () => refresh(deployment, client, tokens.refresh),
      revoke: () => deployment.postAs(client, '/oauth2/revoke', { token: tokens.refresh }),
    },
    {
      ask: () => redeem(deployment, client, second),
      revoke: () => admin('DELETE', `/admin/oauth2/auth/sessions/consent?${consent}`),
    },
    {
      ask: () => deployment.postAs(client, '/oauth2/token', form),
      revoke: () => admin('DELETE', `/admin/oauth2/tokens?client_id=${client.id}`),
    },
  ];
  for (const [place, { ask, revoke }] of steps.entries()) {
    await liveFor(3 + place);
    const asked = ask();
    // It has begun by then, and waits for much longer.
    await sleep(400);
    expect((await revoke()).status).toBeLessThan(300);
    expect((await asked).body.error, String(place)).toBe('invalid_grant');
  }
});
