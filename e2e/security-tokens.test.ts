import {
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changeRows } from '#server/testing/rows.ts';
import { call, type Deployment, deploy, type Json, type RegisteredClient } from './deployment.ts';
import { claimsOf, connect, redeem, refresh, signIn, tokensOf } from './login-app.ts';

/** Tokens, refresh and JWTs: what attackers try (SECURITY.md), each beside what is right. */
describe('security: tokens', () => {
  let deployment: Deployment;
  let client: RegisteredClient;
  let jwtClient: RegisteredClient;

  beforeAll(async () => {
    deployment = await deploy();
    client = await deployment.register();
    jwtClient = await deployment.register({ access_token_strategy: 'jwt' });
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const active = async (token: string) => (await deployment.introspect(token)).active;
  const ask = (by: RegisteredClient, token: string) =>
    deployment.postAs(by, '/oauth2/introspect', { token });

  function variants(token: string): readonly string[] {
    const flip = (at: number) =>
      token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
    const middle = Math.floor(token.length / 2);
    return [
      token.slice(0, -1),
      token.slice(1),
      token.slice(0, middle),
      `${token}A`,
      `A${token}`,
      `${token}${token}`,
      `${token}=`,
      `${token} `,
      flip(0),
      flip(middle),
      flip(token.length - 4),
      token.toLowerCase() === token ? token.toUpperCase() : token.toLowerCase(),
    ];
  }

  test('security 19: a token truncated, extended, changed or of another kind: inactive, in one shape', async () => {
    const opaque = await connect(deployment, client);
    const jwt = await connect(deployment, jwtClient);
    const { code } = await signIn(deployment, client);
    for (const token of [opaque.access, opaque.refresh, jwt.access, jwt.refresh]) {
      expect(await active(token)).toBe(true);
      for (const variant of variants(token)) {
        expect(await deployment.introspect(variant), variant).toEqual({ active: false });
        expect((await deployment.userinfo(variant.trim())).status === 200, variant).toBe(
          variant.trim() === opaque.access || variant.trim() === jwt.access,
        );
      }
    }
    const kinds = ['', 'nonsense', code, opaque.id, client.id, client.secret, 'ey', 'ey.ey.ey'];
    const shapes = new Set<string>();
    for (const token of [...kinds.filter(Boolean), opaque.access.slice(0, 20)]) {
      const answer = await ask(client, token);
      expect(answer.status).toBe(200);
      shapes.add(answer.text);
    }
    expect([...shapes]).toEqual(['{"active":false}']);
  });

  test('security 19: a refresh token changed in any part refreshes nothing and revokes nothing', async () => {
    const tokens = await connect(deployment, client);
    for (const variant of variants(tokens.refresh)) {
      const answer = await refresh(deployment, client, variant);
      expect(answer.body.error, variant).toBe('invalid_grant');
    }
    expect((await refresh(deployment, client, tokens.access)).body.error).toBe('invalid_grant');
    expect((await refresh(deployment, client, tokens.refresh)).status).toBe(200);
  });

  test('security 21: a retry inside the grace gets the same successor, and the window does not slide', async () => {
    const graceful = await deployment.register({ refresh_grace_seconds: 60 });
    const later = (seconds: number) =>
      changeRows(
        deployment.server.database.urls.owner,
        'update chain set rotated_at = rotated_at - make_interval(secs => $1) where client_id = $2',
        [seconds, graceful.id],
      );
    const { refresh: first } = await connect(deployment, graceful);
    const successor = tokensOf(await refresh(deployment, graceful, first)).refresh;
    expect(successor).not.toBe(first);
    await later(31);
    const retry = tokensOf(await refresh(deployment, graceful, first));
    expect(retry.refresh).toBe(successor);
    expect(await active(retry.access)).toBe(true);
    // A minute after the first use, not half as much after the retry.
    await later(31);
    expect((await refresh(deployment, graceful, first)).body.error).toBe('invalid_grant');
  });

  test('security 22: reuse after the grace revokes the family', async () => {
    const strict = await deployment.register({ refresh_grace_seconds: 0 });
    const tokens = await connect(deployment, strict);
    const second = tokensOf(await refresh(deployment, strict, tokens.refresh));
    const third = tokensOf(await refresh(deployment, strict, second.refresh));
    const bystander = await connect(deployment, strict);
    expect([await active(second.refresh), await active(third.refresh)]).toEqual([false, true]);
    expect((await refresh(deployment, strict, second.refresh)).body.error).toBe('invalid_grant');
    for (const token of [tokens.access, third.access, third.refresh]) {
      expect(await active(token)).toBe(false);
    }
    expect((await refresh(deployment, strict, third.refresh)).body.error).toBe('invalid_grant');
    expect(await active(bystander.access)).toBe(true);
    expect((await refresh(deployment, strict, bystander.refresh)).status).toBe(200);
  });

  test('security 23: a parent replayed after its child was used is refused, inside the grace too', async () => {
    const { refresh: parent } = await connect(deployment, client);
    const child = tokensOf(await refresh(deployment, client, parent));
    const grandchild = tokensOf(await refresh(deployment, client, child.refresh));
    expect((await refresh(deployment, client, parent)).body.error).toBe('invalid_grant');
    expect(await active(grandchild.access)).toBe(false);
    expect((await refresh(deployment, client, grandchild.refresh)).body.error).toBe(
      'invalid_grant',
    );
    const other = await connect(deployment, client);
    expect((await refresh(deployment, client, other.refresh)).status).toBe(200);
  });

  test('security 23: a stranger who presents a spent token revokes nothing', async () => {
    const thief = await deployment.register();
    const strict = await deployment.register({ refresh_grace_seconds: 0 });
    const tokens = await connect(deployment, strict);
    const second = tokensOf(await refresh(deployment, strict, tokens.refresh));
    expect((await refresh(deployment, thief, tokens.refresh)).body.error).toBe('invalid_grant');
    const unproven = await deployment.post('/oauth2/token', {
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh,
      client_id: strict.id,
      client_secret: 'not-the-secret',
    });
    expect(unproven.body.error).toBe('invalid_client');
    expect(await active(second.access)).toBe(true);
    expect((await refresh(deployment, strict, second.refresh)).status).toBe(200);
  });

  test('RFC 6749 §6: asking for more scope is refused and consumes nothing; for less is granted', async () => {
    const strict = await deployment.register({ refresh_grace_seconds: 0 });
    const scope = 'openid offline_access api.read';
    const tokens = await connect(deployment, strict, { parameters: { scope } });
    const wider = await refresh(deployment, strict, tokens.refresh, { scope: 'api.write' });
    expect(wider.body.error).toBe('invalid_scope');
    const narrow = tokensOf(
      await refresh(deployment, strict, tokens.refresh, { scope: 'api.read' }),
    );
    expect(narrow.answer.body.scope).toBe('api.read');
    expect(narrow.answer.body).not.toHaveProperty('id_token');
    const full = tokensOf(await refresh(deployment, strict, narrow.refresh));
    expect(full.answer.body.scope).toBe(scope);
  });

  /** Signs or mocks a JWT like ours with another header. */
  function forge(header: Json, claims: Json, key?: KeyObject | string): string {
    const encode = (part: Json) => Buffer.from(JSON.stringify(part)).toString('base64url');
    const input = `${encode(header)}.${encode(claims)}`;
    if (key === undefined) return `${input}.`;
    const signature =
      typeof key === 'string'
        ? createHmac('sha256', key).update(input).digest()
        : sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
    return `${input}.${signature.toString('base64url')}`;
  }

  async function publishedKeys(): Promise<readonly Json[]> {
    const { body } = await call(`${deployment.server.publicUrl}/.well-known/jwks.json`);
    return Array.isArray(body.keys) ? body.keys : [];
  }

  const headerOf = (jwt: string): Json =>
    JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString());

  /** Wherever a JWT is read: as an access token, as a hint to log in, as a hint to log out. */
  async function expectRefused(token: string, what: string): Promise<void> {
    expect(await deployment.introspect(token), what).toEqual({ active: false });
    const userinfo = await deployment.userinfo(token);
    expect(userinfo.status, what).toBe(401);
    expect(userinfo.headers.get('www-authenticate'), what).toContain('invalid_token');
    const hinted = await signIn(deployment, client, { parameters: { id_token_hint: token } });
    expect(hinted.returned.get('error'), what).toBe('invalid_request');
    const logout = `${deployment.server.publicUrl}/oauth2/sessions/logout?id_token_hint=${token}`;
    expect((await call(logout)).status, what).toBe(400);
  }

  test('security 28: alg none, RS to HS and a JWK as an HMAC key are refused', async () => {
    const tokens = await connect(deployment, jwtClient);
    for (const jwt of [tokens.access, tokens.id]) {
      const header = headerOf(jwt);
      const claims = claimsOf(jwt);
      const jwk = (await publishedKeys()).find((key) => key.kid === header.kid) ?? {};
      const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
      const pem = key.export({ type: 'spki', format: 'pem' }).toString();
      for (const alg of ['none', 'None', 'NONE', '']) {
        await expectRefused(forge({ ...header, alg }, claims), `alg ${alg}`);
        await expectRefused(forge({ typ: header.typ, alg }, claims), `alg ${alg} without kid`);
      }
      const hs = { ...header, alg: 'HS256' };
      for (const secret of [pem, pem.trim(), JSON.stringify(jwk), String(jwk.n ?? jwk.x)]) {
        await expectRefused(forge(hs, claims, secret), 'HS256');
      }
      const ps = `${forge({ ...header, alg: 'PS256' }, claims)}${jwt.split('.')[2]}`;
      await expectRefused(ps, 'another alg of the same key');
    }
    expect(await active(tokens.access)).toBe(true);
    const hint = await signIn(deployment, jwtClient, { parameters: { id_token_hint: tokens.id } });
    expect(hint.code).not.toBe('');
  });

  test('security 29: jku, x5u, an embedded jwk and an odd kid are ignored', async () => {
    const tokens = await connect(deployment, jwtClient);
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = { ...publicKey.export({ format: 'jwk' }), alg: 'ES256', kid: 'mine' };
    for (const jwt of [tokens.access, tokens.id]) {
      const { typ, kid } = headerOf(jwt);
      const claims = claimsOf(jwt);
      const base = { typ, alg: 'ES256' };
      const headers: readonly Json[] = [
        { ...base, kid },
        { ...base, jwk },
        { ...base, kid: 'mine', jwk },
        { ...base, kid: 'mine', jku: 'http://127.0.0.1:9/jwks.json' },
        { ...base, kid, x5u: 'http://127.0.0.1:9/cert.pem' },
        { ...base, kid: '../../../../dev/null' },
        { ...base, kid: "x' or '1'='1" },
        { ...base, kid: '__proto__' },
        { ...base, kid: 'constructor' },
        { ...base, kid: 7 },
        { ...base, kid, crit: ['exp'] },
      ];
      for (const header of headers) {
        await expectRefused(forge(header, claims, privateKey), JSON.stringify(header));
      }
    }
    expect(await active(tokens.access)).toBe(true);
    expect((await deployment.userinfo(tokens.access)).status).toBe(200);
  });

  test('security 30: an ID token is no access token, and an access token is no ID token', async () => {
    const tokens = await connect(deployment, jwtClient);
    expect(headerOf(tokens.access).typ).toBe('at+jwt');
    expect(headerOf(tokens.id).typ).toBe('JWT');
    expect((await deployment.userinfo(tokens.id)).status).toBe(401);
    expect(await deployment.introspect(tokens.id)).toEqual({ active: false });
    const hint = { parameters: { id_token_hint: tokens.access } };
    const hinted = await signIn(deployment, jwtClient, hint);
    expect(hinted.returned.get('error')).toBe('invalid_request');
    expect((await deployment.userinfo(tokens.refresh)).status).toBe(401);
    expect((await deployment.userinfo(tokens.access)).status).toBe(200);
  });

  test('security 43: a resource server that a token is not for sees it inactive', async () => {
    const audience = 'https://api.example/v1';
    // A resource server is registered by its own URI; that it may ask for an audience is no right
    // to read what others were given for it.
    const api = await deployment.register({ client_id: audience });
    const other = await deployment.register({ audience: [audience] });
    const open = await deployment.register({ token_endpoint_auth_method: 'none' });
    for (const by of [client, jwtClient]) {
      const parameters = { resource: audience };
      const { access, refresh: refreshToken } = await connect(deployment, by, { parameters });
      expect((await ask(api, access)).body).toMatchObject({ active: true, aud: [audience] });
      expect((await ask(by, access)).body).toMatchObject({ active: true });
      expect((await ask(other, access)).text).toBe('{"active":false}');
      expect((await ask(other, refreshToken)).text).toBe('{"active":false}');
      // Who cannot prove who it is may not fish.
      expect((await ask(open, access)).body.error).toBe('invalid_client');
    }
  });

  test('security 46: a token in the query string is refused', async () => {
    const tokens = await connect(deployment, client);
    const url = `${deployment.server.publicUrl}/userinfo`;
    const inQuery = await call(`${url}?access_token=${tokens.access}`);
    expect(inQuery.status).toBe(401);
    expect(inQuery.headers.get('www-authenticate')).toMatch(/^Bearer/);
    const both = await call(`${url}?access_token=${tokens.access}`, {
      headers: { authorization: `Bearer ${tokens.access}` },
    });
    expect(both.status).toBe(401);
    const posted = await call(`${url}?access_token=${tokens.access}`, { method: 'POST' });
    expect(posted.status).toBe(401);
    expect((await deployment.userinfo(tokens.access)).status).toBe(200);
    const body = await deployment.post('/userinfo', { access_token: tokens.access });
    expect(body.body.sub).toBe('alice');
    // Revocation and introspection read the body only.
    const revoke = await call(
      `${deployment.server.publicUrl}/oauth2/revoke?token=${tokens.access}`,
      { method: 'POST', body: new URLSearchParams({ client_id: client.id }) },
    );
    expect(revoke.status).toBe(401);
    expect(await active(tokens.access)).toBe(true);
  });

  test('security 27: after the client was disabled or deleted nothing of it works', async () => {
    const own = await deployment.register();
    const tokens = await connect(deployment, own);
    const { code, pkce } = await signIn(deployment, own);
    const set = (disabled: boolean) =>
      deployment.admin('PATCH', `/admin/clients/${own.id}`, [
        { op: 'replace', path: '/disabled', value: disabled },
      ]);
    expect((await set(true)).status).toBe(200);
    expect((await refresh(deployment, own, tokens.refresh)).status).toBe(401);
    expect((await redeem(deployment, own, { code, pkce })).status).toBe(401);
    expect(await active(tokens.access)).toBe(false);
    expect((await set(false)).status).toBe(200);
    expect((await refresh(deployment, own, tokens.refresh)).status).toBe(200);
    expect((await deployment.admin('DELETE', `/admin/clients/${own.id}`)).status).toBe(204);
    expect((await refresh(deployment, own, tokens.refresh)).body.error).toBe('invalid_client');
    expect(await active(tokens.access)).toBe(false);
  });

  test('security 26: a client deleted and made again under the same id revives nothing', async () => {
    const id = `reborn-${client.id}`;
    const fields = { client_id: id, client_secret: 'a-secret-that-was-chosen-by-somebody' };
    const born = await deployment.register(fields);
    const old = await connect(deployment, born);
    const out = await signIn(deployment, born);
    await deployment.admin('DELETE', `/admin/clients/${id}`);
    const reborn = await deployment.register(fields);
    expect(await active(old.access)).toBe(false);
    expect(await active(old.refresh)).toBe(false);
    expect((await refresh(deployment, reborn, old.refresh)).body.error).toBe('invalid_grant');
    expect((await redeem(deployment, reborn, out)).body.error).toBe('invalid_grant');
    const fresh = await connect(deployment, reborn);
    expect(await active(fresh.access)).toBe(true);
    expect((await refresh(deployment, reborn, fresh.refresh)).status).toBe(200);
  });
});
