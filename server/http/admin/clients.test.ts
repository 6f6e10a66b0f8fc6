import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isRefusal } from '#core/refusal.ts';
import { adminPath, createAdminGate } from '#server/http/admin/authentication.ts';
import { clientRoutes } from '#server/http/admin/clients.ts';
import { credentialRoutes } from '#server/http/admin/credentials.ts';
import { presentedClient, provenClient } from '#server/http/client-authentication.ts';
import type { Env } from '#server/http/frame/answer.ts';
import type { Node } from '#server/node.ts';
import { openTestNode, type TestNode } from '#server/testing/node.ts';

type Document = Record<string, unknown>;
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Document;
}

const adminToken = 'bootstrap-token-of-this-test-file';
let one: TestNode;
let two: TestNode;
let app: Hono<Env>;
let other: Hono<Env>;
beforeAll(async () => {
  one = await openTestNode({ env: { GATEHOUSE_ADMIN_TOKEN: adminToken } });
  two = await openTestNode({ env: { GATEHOUSE_ADMIN_TOKEN: adminToken }, beside: one });
  app = adminApp(one.node);
  other = adminApp(two.node);
});
afterAll(async () => {
  await two?.close();
  await one?.close();
});

function adminApp(node: Node): Hono<Env> {
  const gate = createAdminGate(node);
  const made = new Hono<Env>({ getPath: adminPath });
  made.use('/admin/clients/*', gate.guard('clients'));
  made.use('/admin/credentials/*', gate.guard('all'));
  made.use('/admin/handshake', gate.guard('handshake'));
  made.get('/admin/handshake', (c) => c.json({}));
  return made.route('/', clientRoutes(node)).route('/', credentialRoutes(node));
}

async function ask(
  method: string,
  path: string,
  body?: unknown,
  authorization: string | undefined = `Bearer ${adminToken}`,
  at: Hono<Env> = app,
): Promise<Answer> {
  const response = await at.request(`http://admin.example${path}`, {
    method,
    headers: {
      ...(authorization === undefined ? {} : { authorization }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const { status, headers } = response;
  return { status, headers, body: text === '' ? {} : JSON.parse(text) };
}

async function created(fields: Document = {}): Promise<Document & { client_id: string }> {
  const { status, body } = await ask('POST', '/admin/clients', fields);
  expect([status, body.error_description]).toEqual([201, undefined]);
  return { ...body, client_id: String(body.client_id) };
}

async function opens(clientId: string, secret: unknown, node: Node = one.node) {
  const form = new URLSearchParams({ client_id: clientId, client_secret: String(secret) });
  const presented = await presentedClient(node, undefined, form);
  return isRefusal(presented) ? presented : provenClient(node, node.keys.current(), presented);
}

const posting = { token_endpoint_auth_method: 'client_secret_post' };

describe('POST /admin/clients', () => {
  test("answers Hydra's defaults, a secret once, and nothing null or empty", async () => {
    const client = await created();
    expect(client).toMatchObject({
      client_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      client_secret: expect.stringMatching(/^gh_cs_[\w-]{43}$/),
      client_secret_expires_at: 0,
      redirect_uris: [],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      scope: 'offline_access offline openid',
      token_endpoint_auth_method: 'client_secret_basic',
      subject_type: 'public',
      skip_consent: false,
      metadata: {},
      jwks: {},
    });
    expect(Object.values(client).filter((value) => value === null || value === '')).toEqual([]);
    const got = await ask('GET', `/admin/clients/${client.client_id}`);
    const { client_secret: _once, ...shown } = client;
    expect([got.status, got.body]).toEqual([200, shown]);
  });

  test('a public client gets no secret, and none may be given', async () => {
    const fields = { token_endpoint_auth_method: 'none' };
    expect(await created(fields)).not.toHaveProperty('client_secret');
    const refused = await ask('POST', '/admin/clients', { ...fields, client_secret: 'chosen-one' });
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_client_metadata' } });
  });

  test('a chosen secret is echoed and works, long or short', async () => {
    for (const client_secret of ['short-one', 'x'.repeat(40)]) {
      const client = await created({ client_secret, ...posting });
      expect(client.client_secret).toBe(client_secret);
      expect(await opens(client.client_id, client_secret)).toMatchObject({
        method: 'client_secret_post',
      });
      expect(await opens(client.client_id, `${client_secret}x`)).toHaveProperty('refused');
    }
    const refused = await ask('POST', '/admin/clients', { client_secret: 'five5' });
    expect(refused.body.error_description).toContain('client_secret must have 6 to 512');
  });

  test('a client_id that is taken is 409, also for many at once', async () => {
    const client_id = `chosen-${crypto.randomUUID()}`;
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => ask('POST', '/admin/clients', { client_id })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(7).fill(409)]);
    expect(answers.find(({ status }) => status === 409)?.body).toMatchObject({
      error: 'conflict',
      status_code: 409,
    });
  });

  test.each([
    [{ redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri', 'redirect_uris[0]'],
    [{ grant_types: ['implicit'] }, 'invalid_client_metadata', 'grant_types[0] must be'],
    [{ scope: 7 }, 'invalid_client_metadata', 'scope must be'],
  ])('%j is refused and the field named', async (fields, error, hint) => {
    const { status, body } = await ask('POST', '/admin/clients', fields);
    expect([status, body.error, body.status_code]).toEqual([400, error, 400]);
    expect(body.error_description).toContain(hint);
  });

  test.each(['', '[]', '"x"', 'null', '{'])('the body %j is 400, never 500', async (text) => {
    const response = await app.request('http://admin.example/admin/clients', {
      method: 'POST',
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      body: text,
    });
    expect(response.status).toBe(400);
  });
});

describe('PUT /admin/clients/:id', () => {
  test('an answer can be sent back as it came, and the secret stays', async () => {
    const { client_secret, ...client } = await created({ ...posting, client_name: 'First' });
    const put = await ask('PUT', `/admin/clients/${client.client_id}`, client);
    expect(put.status).toBe(200);
    expect({ ...put.body, updated_at: '' }).toEqual({ ...client, updated_at: '' });
    expect(await opens(client.client_id, client_secret)).toHaveProperty('client');
  });

  test('what is not given goes back to its default', async () => {
    const client = await created({ client_name: 'First', audience: ['https://api.example'] });
    const put = await ask('PUT', `/admin/clients/${client.client_id}`, { client_name: 'Second' });
    expect(put.body).toMatchObject({ client_name: 'Second', audience: [] });
  });

  test('a given secret replaces all; leaving none drops them; coming back makes one', async () => {
    const client = await created(posting);
    const path = `/admin/clients/${client.client_id}`;
    await ask('POST', `${path}/secrets/rotate`);
    const secret = 'y'.repeat(40);
    const put = await ask('PUT', path, { ...posting, client_secret: secret });
    expect(put.body.client_secret).toBe(secret);
    expect(await opens(client.client_id, client.client_secret)).toHaveProperty('refused');
    expect(await opens(client.client_id, secret)).toHaveProperty('client');
    await ask('PUT', path, { token_endpoint_auth_method: 'none' });
    expect(await opens(client.client_id, secret)).toHaveProperty('refused');
    const back = await ask('PUT', path, posting);
    expect(await opens(client.client_id, back.body.client_secret)).toHaveProperty('client');
  });

  test('404 for an unknown client, 400 for another client_id', async () => {
    expect((await ask('PUT', '/admin/clients/nobody', {})).status).toBe(404);
    const { client_id } = await created();
    const put = await ask('PUT', `/admin/clients/${client_id}`, { client_id: 'other' });
    expect(put.status).toBe(400);
  });

  test('once it has answered that a client is disabled, no node lets it in', async () => {
    const client = await created(posting);
    expect(await opens(client.client_id, client.client_secret, two.node)).toHaveProperty('client');
    await ask('PUT', `/admin/clients/${client.client_id}`, { ...posting, disabled: true });
    expect(await opens(client.client_id, client.client_secret, two.node)).toEqual({
      refused: 'client_disabled',
    });
  });
});

describe('PATCH /admin/clients/:id', () => {
  test('replaces, adds to lists and removes, also fields that were never given', async () => {
    const { client_id } = await created({ tos_uri: 'https://app.example/tos' });
    const patch = await ask('PATCH', `/admin/clients/${client_id}`, [
      { op: 'replace', path: '/client_name', value: 'Patched' },
      { op: 'add', path: '/redirect_uris/-', value: 'https://app.example/cb' },
      { op: 'add', path: '/post_logout_redirect_uris/-', value: 'https://app.example/out' },
      { op: 'add', path: '/metadata/team', value: 'x' },
      { op: 'remove', path: '/tos_uri' },
    ]);
    expect([patch.status, patch.body]).toMatchObject([
      200,
      {
        client_name: 'Patched',
        redirect_uris: ['https://app.example/cb'],
        post_logout_redirect_uris: ['https://app.example/out'],
        metadata: { team: 'x' },
      },
    ]);
    expect(patch.body).not.toHaveProperty('tos_uri');
    expect(patch.body).not.toHaveProperty('client_secret');
  });

  test.each([
    [{}],
    ['x'],
    [undefined],
    [[{}]],
    [[{ op: 'replace', path: '/scope' }]],
    [[{ op: 'nope', path: '/scope' }]],
    [[{ op: 'remove', path: '/nothing' }]],
    [[{ op: 'add', path: '/redirect_uris/9', value: 'https://a.example' }]],
    [[{ op: 'replace', path: '/client_id', value: 'other' }]],
    [[{ op: 'replace', path: '', value: { client_id: 'other' } }]],
    [[{ op: 'replace', path: '', value: 3 }]],
    [[{ op: 'remove', path: '' }]],
    [[{ op: 'move', from: '/client_id', path: '/owner' }]],
    [[{ op: 'replace', path: '/redirect_uris', value: ['data:,x'] }]],
    [[{ op: 'test', path: '/client_name', value: 'else' }]],
    [[{ op: 'add', path: '/__proto__/x', value: 1 }]],
  ])('%j is 400, never 500, and changes nothing', async (patch) => {
    const { client_id } = await created();
    const path = `/admin/clients/${client_id}`;
    const before = (await ask('GET', path)).body;
    expect((await ask('PATCH', path, patch)).status).toBe(400);
    expect((await ask('GET', path)).body).toEqual(before);
  });

  test('a member of any name is no refusal: fields that are unknown are ignored', async () => {
    const { body: client } = await ask('POST', '/admin/clients', { scope: 'a' });
    for (const value of ['zzz', 'rate_limited', true]) {
      const add = [{ op: 'add', path: '/refused', value }];
      const answer = await ask('PATCH', `/admin/clients/${client.client_id}`, add);
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({ client_id: client.client_id, scope: 'a' });
      expect(answer.body).not.toHaveProperty('refused');
    }
  });

  test('patches side by side lose nothing of each other', async () => {
    const { client_id } = await created();
    const answers = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) =>
        ask('PATCH', `/admin/clients/${client_id}`, [
          { op: 'add', path: '/audience/-', value: `https://${name}.example` },
        ]),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const { body } = await ask('GET', `/admin/clients/${client_id}`);
    expect(body.audience).toHaveLength(4);
  });

  test('404 for an unknown client', async () => {
    expect((await ask('PATCH', '/admin/clients/nobody', [])).status).toBe(404);
  });
});

describe('DELETE /admin/clients/:id', () => {
  test('204, then 404; no node knows the client any more', async () => {
    const client = await created(posting);
    expect(await opens(client.client_id, client.client_secret, two.node)).toHaveProperty('client');
    expect((await ask('DELETE', `/admin/clients/${client.client_id}`)).status).toBe(204);
    expect(await opens(client.client_id, client.client_secret, two.node)).toHaveProperty('refused');
    expect((await ask('DELETE', `/admin/clients/${client.client_id}`)).status).toBe(404);
    expect((await ask('GET', `/admin/clients/${client.client_id}`)).status).toBe(404);
  });
});

test('PUT lifespans sets them in Go’s form, clears the rest, touches nothing else', async () => {
  const { client_id } = await created({
    client_name: 'Lives',
    refresh_token_grant_refresh_token_lifespan: '720h',
  });
  const put = await ask('PUT', `/admin/clients/${client_id}/lifespans`, {
    authorization_code_grant_access_token_lifespan: '1h',
    client_credentials_grant_access_token_lifespan: null,
  });
  expect([put.status, put.body]).toMatchObject([
    200,
    { client_name: 'Lives', authorization_code_grant_access_token_lifespan: '1h0m0s' },
  ]);
  expect(put.body).not.toHaveProperty('refresh_token_grant_refresh_token_lifespan');
  const wrong = await ask('PUT', `/admin/clients/${client_id}/lifespans`, {
    authorization_code_grant_access_token_lifespan: 'soon',
  });
  expect(wrong.status).toBe(400);
  expect((await ask('PUT', '/admin/clients/nobody/lifespans', {})).status).toBe(404);
});

describe('secret rotation', () => {
  test('old secrets stay valid until they are removed', async () => {
    const client = await created(posting);
    const path = `/admin/clients/${client.client_id}/secrets/rotate`;
    const rotated = await ask('POST', path);
    expect(rotated.status).toBe(200);
    const fresh = rotated.body.client_secret;
    for (const secret of [client.client_secret, fresh]) {
      expect(await opens(client.client_id, secret, two.node)).toHaveProperty('client');
    }
    const removed = await ask('DELETE', path);
    expect([removed.status, removed.body.client_secret]).toEqual([200, undefined]);
    expect(await opens(client.client_id, client.client_secret, two.node)).toHaveProperty('refused');
    expect(await opens(client.client_id, fresh, two.node)).toHaveProperty('client');
    expect((await ask('POST', '/admin/clients/nobody/secrets/rotate')).status).toBe(404);
  });

  test('two rotations at once both answer a secret that works', async () => {
    const client = await created(posting);
    const path = `/admin/clients/${client.client_id}/secrets/rotate`;
    const rotated = await Promise.all([ask('POST', path), ask('POST', path)]);
    for (const { status, body } of rotated) {
      expect(status).toBe(200);
      expect(await opens(client.client_id, body.client_secret)).toHaveProperty('client');
    }
  });
});

test('GET /admin/clients pages by Link headers, each client once', async () => {
  const owner = `o-${crypto.randomUUID()}`;
  for (let n = 0; n < 5; n += 1) await created({ owner, client_name: `n${n}` });
  const seen: unknown[] = [];
  let path: string | undefined = `/admin/clients?owner=${owner}&page_size=2`;
  while (path !== undefined) {
    const response = await app.request(`http://admin.example${path}`, {
      headers: { authorization: `Bearer ${adminToken}` },
    });
    const page: Document[] = JSON.parse(await response.text());
    expect(page.every((client) => !('client_secret' in client))).toBe(true);
    seen.push(...page.map((client) => client.client_id));
    const link: string = response.headers.get('link') ?? '';
    expect(link).toContain('rel="first"');
    path = /<([^>]+)>; rel="next"/.exec(link)?.[1];
  }
  expect([seen.length, new Set(seen).size]).toEqual([5, 5]);
  expect((await ask('GET', '/admin/clients?page_token=%00')).status).toBe(400);
  expect((await ask('GET', '/admin/clients?page_size=-1')).status).toBe(400);
  expect((await ask('GET', '/admin/clients?owner=%00')).status).toBe(400);
  expect((await ask('GET', '/admin/clients/%00')).status).toBe(404);
  expect((await ask('DELETE', '/admin/clients/%00')).status).toBe(404);
});

describe('admin credentials', () => {
  const make = async (role: string) => {
    const name = `${role}-${crypto.randomUUID()}`;
    const { status, body } = await ask('POST', '/admin/credentials', { name, role });
    expect(status).toBe(201);
    return { id: String(body.id), secret: String(body.secret), name };
  };

  test('none, a wrong one and a malformed one are 401 with a challenge', async () => {
    const wrong = [
      '',
      'Bearer',
      'Bearer x',
      `Bearer gh_ad_${'x'.repeat(43)}`,
      'Basic !',
      'Digest x',
    ];
    for (const authorization of wrong) {
      const { status, headers, body } = await ask(
        'GET',
        '/admin/clients',
        undefined,
        authorization,
      );
      expect([status, body.error, body.status_code]).toEqual([401, 'unauthorized', 401]);
      expect(headers.get('www-authenticate')).toContain('Bearer');
    }
  });

  test('as Bearer, and as the Basic password of any user', async () => {
    const basic = `Basic ${Buffer.from(`any:${adminToken}`).toString('base64')}`;
    expect((await ask('GET', '/admin/clients', undefined, basic)).status).toBe(200);
    const bearer = `bearer ${adminToken}`;
    expect((await ask('GET', '/admin/clients', undefined, bearer)).status).toBe(200);
  });

  test('a role opens its doors and no others; the secret is shown once', async () => {
    const { secret, name } = await make('clients');
    expect((await ask('GET', '/admin/clients', undefined, `Bearer ${secret}`)).status).toBe(200);
    const denied = await ask('GET', '/admin/credentials', undefined, `Bearer ${secret}`);
    expect([denied.status, denied.body.error]).toEqual([403, 'forbidden']);
    const listed = await ask('GET', '/admin/credentials');
    expect(JSON.stringify(listed.body)).toContain(name);
    expect(JSON.stringify(listed.body)).not.toContain(secret);
    expect((await ask('POST', '/admin/credentials', { name, role: 'all' })).status).toBe(409);
    expect((await ask('POST', '/admin/credentials', { name: 'x', role: 'root' })).status).toBe(400);
  });

  test('a handshake credential may stand in the path, others and the token may not', async () => {
    const { secret } = await make('handshake');
    const open = `/c/${secret}/admin/handshake?login_challenge=x`;
    expect((await ask('GET', open, undefined, '')).status).toBe(401);
    const response = await app.request(`http://admin.example${open}`);
    expect(response.status).toBe(200);
    const path = async (credential: string, door: string) =>
      (await app.request(`http://admin.example/c/${credential}/admin/${door}`)).status;
    expect(await path(secret, 'clients')).toBe(403);
    expect(await path((await make('all')).secret, 'handshake')).toBe(403);
    expect(await path(adminToken, 'handshake')).toBe(403);
    expect(await path('', 'handshake')).toBe(401);
    expect(one.logged()).not.toContain(secret);
  });

  test('once its deletion is answered it opens nothing on any node', async () => {
    const { id, secret } = await make('clients');
    const at = (node: Hono<Env>) =>
      ask('GET', '/admin/clients', undefined, `Bearer ${secret}`, node);
    expect([(await at(app)).status, (await at(other)).status]).toEqual([200, 200]);
    expect((await ask('DELETE', `/admin/credentials/${id}`)).status).toBe(204);
    expect([(await at(app)).status, (await at(other)).status]).toEqual([401, 401]);
    expect((await ask('DELETE', `/admin/credentials/${id}`)).status).toBe(404);
    expect((await ask('DELETE', '/admin/credentials/x')).status).toBe(404);
  });
});
