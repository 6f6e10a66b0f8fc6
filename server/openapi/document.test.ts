import { readFileSync } from 'node:fs';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import type { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clientFieldSchemas } from '#core/client-metadata.ts';
import { adminApp } from '#server/admin-app.ts';
import type { Engine } from '#server/engine.ts';
import { createAdminGate } from '#server/http/admin/authentication.ts';
import { rolesFor } from '#server/http/admin/doors.ts';
import { type Env, refusalAnswer } from '#server/http/frame/answer.ts';
import { createLever } from '#server/lever.ts';
import { publicApp } from '#server/public-app.ts';
import { openTestNode, type TestNode } from '#server/testing/node.ts';
import { createWrites } from '#server/writes.ts';
import { clientFieldNotes } from './client-schemas.ts';
import { describeApi, operations } from './document.ts';

const file = new URL('../../docs/openapi.json', import.meta.url);

type Paths = Readonly<Record<string, { readonly post?: { readonly responses: object } }>>;

let opened: TestNode;
let admin: Hono<Env>;
let open: Hono<Env>;

beforeAll(async () => {
  opened = await openTestNode({ env: { GATEHOUSE_SIGN_UP: 'on' } });
  const { node } = opened;
  const engine: Engine = {
    ...node,
    writes: createWrites(node.database, node.metrics),
    lever: createLever({ ...node, accessTokenSeconds: node.config.accessTokenSeconds }),
    rateLimits: undefined,
    failpoints: undefined,
    pairwiseSalt: 'salt',
    errorPage: (_, refusal) => refusalAnswer(refusal),
  };
  admin = adminApp(engine, createAdminGate(engine));
  open = publicApp(engine, admin);
});
afterAll(() => opened.close());

/** `GET /admin/clients/{id}`, for every handler; middleware and preflights are no doors. */
function doorsOf(app: Hono<Env>): readonly string[] {
  const doors = app.routes
    .filter(({ method }) => method !== 'ALL' && method !== 'OPTIONS')
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
  return [...new Set(doors)].sort();
}

function described(...listeners: readonly string[]): readonly string[] {
  return operations
    .filter(({ listener }) => listeners.includes(listener))
    .map(({ method, path }) => `${method.toUpperCase()} ${path}`)
    .sort();
}

describe('the API description', () => {
  test('has every route of both listeners, and no other', () => {
    expect(doorsOf(open)).toEqual(described('public', 'both'));
    expect(doorsOf(admin)).toEqual(described('admin', 'both'));
  });

  test('names the roles of every admin door; what has none is open to anybody', () => {
    const behind = operations.filter(({ listener }) => listener === 'admin');
    const open = behind.filter(({ path }) => rolesFor(path) === undefined);
    expect(open.map(({ path }) => path)).toEqual(['/.well-known/openapi.json']);
    expect(open.every(({ caller }) => caller === 'anybody')).toBe(true);
  });

  test('passes the linter', async () => {
    const config = await createConfig({
      extends: ['recommended-strict'],
      rules: {
        // Documents that are never refused, and doors that only redirect.
        'operation-4xx-response': 'off',
        'operation-2xx-response': 'off',
      },
    });
    const source = JSON.stringify(describeApi());
    const found = await lintFromString({ source, absoluteRef: 'openapi.json', config });
    const problems = found.map(
      (one) => `${one.ruleId}: ${one.message} ${one.location[0]?.pointer}`,
    );
    expect(problems).toEqual([]);
    const broken = source.replaceAll('"isAlive"', '"isReady"');
    const faults = await lintFromString({ source: broken, absoluteRef: 'openapi.json', config });
    expect(faults.map((one) => one.ruleId)).toContain('operation-operationId-unique');
  });

  test('is what the admin listener serves and what is committed', async () => {
    const served = await admin.request('/.well-known/openapi.json');
    expect(served.status).toBe(200);
    expect(await served.json()).toEqual(JSON.parse(readFileSync(file, 'utf8')));
  });

  test('names 415 where a form of another type is refused, and nowhere else', async () => {
    const api: Paths = JSON.parse(readFileSync(file, 'utf8')).paths;
    const forms = operations.filter(
      ({ body, listener, refusesByPage }) =>
        body?.kind === 'form' && listener === 'public' && refusesByPage !== true,
    );
    expect(forms.map(({ path }) => path)).toContain('/userinfo');
    for (const { path } of forms) {
      const headers = { 'content-type': 'text/plain' };
      const { status } = await open.request(path, { method: 'POST', headers, body: 'x' });
      const named = Object.hasOwn(api[path]?.post?.responses ?? {}, '415');
      expect([path, named]).toEqual([path, status === 415]);
    }
  });

  test('says what each field of a client is for', () => {
    const unsaid = Object.entries(clientFieldSchemas).filter(
      ([name, { enum: values }]) =>
        clientFieldNotes[name] === undefined &&
        !name.endsWith('_lifespan') &&
        !(Array.isArray(values) && values.length === 0),
    );
    expect(unsaid).toEqual([]);
    const unknown = Object.keys(clientFieldNotes).filter((name) => !(name in clientFieldSchemas));
    expect(unknown).toEqual([]);
  });

  test('has an example of every body, with all that is required', () => {
    const without = operations.filter(({ body }) => {
      if (body === undefined) return false;
      if (body.kind === 'json') return body.example === undefined;
      return body.fields.some(
        ({ required, example, schema }) =>
          required === true && example === undefined && schema.enum === undefined,
      );
    });
    expect(without.map(({ id }) => id)).toEqual([]);
  });
});

/** Hydra 2.x: its SDKs are generated from these names, so ours must be the same. */
const hydra: Readonly<Record<string, string>> = {
  'GET /.well-known/jwks.json': 'discoverJsonWebKeys',
  'GET /.well-known/openid-configuration': 'discoverOidcConfiguration',
  'GET /admin/clients': 'listOAuth2Clients',
  'POST /admin/clients': 'createOAuth2Client',
  'DELETE /admin/clients/{id}': 'deleteOAuth2Client',
  'GET /admin/clients/{id}': 'getOAuth2Client',
  'PATCH /admin/clients/{id}': 'patchOAuth2Client',
  'PUT /admin/clients/{id}': 'setOAuth2Client',
  'PUT /admin/clients/{id}/lifespans': 'setOAuth2ClientLifespans',
  'DELETE /admin/clients/{id}/secrets/rotate': 'deleteRotatedOAuth2ClientSecrets',
  'POST /admin/clients/{id}/secrets/rotate': 'rotateOAuth2ClientSecret',
  'DELETE /admin/keys/{set}': 'deleteJsonWebKeySet',
  'GET /admin/keys/{set}': 'getJsonWebKeySet',
  'POST /admin/keys/{set}': 'createJsonWebKeySet',
  'PUT /admin/keys/{set}': 'setJsonWebKeySet',
  'DELETE /admin/keys/{set}/{kid}': 'deleteJsonWebKey',
  'GET /admin/keys/{set}/{kid}': 'getJsonWebKey',
  'PUT /admin/keys/{set}/{kid}': 'setJsonWebKey',
  'GET /admin/oauth2/auth/requests/consent': 'getOAuth2ConsentRequest',
  'PUT /admin/oauth2/auth/requests/consent/accept': 'acceptOAuth2ConsentRequest',
  'PUT /admin/oauth2/auth/requests/consent/reject': 'rejectOAuth2ConsentRequest',
  'GET /admin/oauth2/auth/requests/login': 'getOAuth2LoginRequest',
  'PUT /admin/oauth2/auth/requests/login/accept': 'acceptOAuth2LoginRequest',
  'PUT /admin/oauth2/auth/requests/login/reject': 'rejectOAuth2LoginRequest',
  'GET /admin/oauth2/auth/requests/logout': 'getOAuth2LogoutRequest',
  'PUT /admin/oauth2/auth/requests/logout/accept': 'acceptOAuth2LogoutRequest',
  'PUT /admin/oauth2/auth/requests/logout/reject': 'rejectOAuth2LogoutRequest',
  'DELETE /admin/oauth2/auth/sessions/consent': 'revokeOAuth2ConsentSessions',
  'GET /admin/oauth2/auth/sessions/consent': 'listOAuth2ConsentSessions',
  'DELETE /admin/oauth2/auth/sessions/login': 'revokeOAuth2LoginSessions',
  'POST /admin/oauth2/introspect': 'introspectOAuth2Token',
  'DELETE /admin/oauth2/tokens': 'deleteOAuth2Token',
  'GET /health/alive': 'isAlive',
  'GET /health/ready': 'isReady',
  'GET /oauth2/auth': 'oAuth2Authorize',
  'POST /oauth2/revoke': 'revokeOAuth2Token',
  'GET /oauth2/sessions/logout': 'revokeOidcSession',
  'POST /oauth2/token': 'oauth2TokenExchange',
  'GET /userinfo': 'getOidcUserInfo',
  'GET /version': 'getVersion',
};

test('R2: a door that Hydra has keeps its operation id', () => {
  const ours = new Map(
    operations.map(({ method, path, id }) => [`${method.toUpperCase()} ${path}`, id]),
  );
  expect(Object.fromEntries(Object.keys(hydra).map((door) => [door, ours.get(door)]))).toEqual(
    hydra,
  );
});
