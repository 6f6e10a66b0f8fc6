import { describe, expect, test } from 'vitest';
import type { Client } from './client.ts';
import { clientOf } from './client-metadata.ts';
import { earnsRefreshToken, isOffline, issueLifetimes } from './lifetime.ts';

const defaults = {
  accessTokenSeconds: 3600,
  idTokenSeconds: 1800,
  codeSeconds: 600,
  refreshTokenSeconds: 86_400,
  refreshGraceSeconds: 60,
};

function client(fields: Record<string, unknown> = {}): Client {
  return clientOf({
    client_id: 'app',
    grant_types: ['authorization_code', 'refresh_token'],
    ...fields,
  });
}

describe('lifetimes', () => {
  test("a client without its own gets the deployment's", () => {
    expect(issueLifetimes(client(), 'authorizationCode', defaults)).toEqual({
      accessTokenSeconds: 3600,
      idTokenSeconds: 1800,
      refreshTokenSeconds: 86_400,
    });
  });

  test("a client's own hold for the grant they were registered for, one by one", () => {
    const own: Client = {
      ...client(),
      lifespans: {
        authorizationCode: { accessTokenSeconds: 60 },
        refreshToken: { refreshTokenSeconds: 120 },
        clientCredentials: {},
      },
    };
    const of = (grant: keyof Client['lifespans']) => issueLifetimes(own, grant, defaults);
    expect(of('authorizationCode').accessTokenSeconds).toBe(60);
    expect(of('authorizationCode').refreshTokenSeconds).toBe(86_400);
    expect(of('refreshToken').accessTokenSeconds).toBe(3600);
    expect(of('refreshToken').refreshTokenSeconds).toBe(120);
    expect(of('clientCredentials').accessTokenSeconds).toBe(3600);
  });
});

describe('refresh tokens are issued for granted refresh scopes (hot path 7)', () => {
  const scopes = ['offline_access', 'offline'];

  test('the scope that was granted decides, not the one that was asked for', () => {
    expect(earnsRefreshToken(client(), ['openid', 'offline'], scopes)).toBe(true);
    expect(earnsRefreshToken(client(), ['openid'], scopes)).toBe(false);
  });

  test('a client that is not registered for refresh_token earns none', () => {
    const without = client({ grant_types: ['authorization_code'] });
    expect(earnsRefreshToken(without, ['offline_access'], scopes)).toBe(false);
    expect(earnsRefreshToken(without, ['offline_access'], [])).toBe(false);
  });

  test("an empty list means every client that is registered; a client's own list wins", () => {
    expect(earnsRefreshToken(client(), ['openid'], [])).toBe(true);
    const always = client({ refresh_token_scopes: [] });
    expect(earnsRefreshToken(always, ['openid'], scopes)).toBe(true);
    const own = client({ refresh_token_scopes: ['keep'] });
    expect(earnsRefreshToken(own, ['offline_access'], scopes)).toBe(false);
    expect(earnsRefreshToken(own, ['keep'], scopes)).toBe(true);
  });
});

test('OIDC Core §11: offline_access, and offline as in Hydra, detach a chain from the login', () => {
  expect(isOffline(['openid', 'offline_access'])).toBe(true);
  expect(isOffline(['offline'])).toBe(true);
  expect(isOffline(['openid', 'offline.read'])).toBe(false);
  expect(isOffline([])).toBe(false);
});
