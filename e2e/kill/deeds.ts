import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { hash } from '@node-rs/argon2';
import { call, type Deployment, openBrowser } from '../deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  connect,
  door,
  newPkce,
  redeem,
  refresh,
  signIn,
} from '../login-app.ts';
import {
  active,
  found,
  hop,
  type Make,
  newCredential,
  ofLogin,
  ok,
  onItsWay,
  someone,
} from './stage.ts';

const sessions = '/admin/oauth2/auth/sessions';
const tokenIn = (page: string) => /name="token" value="([^"]+)"/.exec(page)?.[1] ?? '';

/** What makes a process run each statement that writes, by its name. */
export const deeds: Readonly<Record<string, Make>> = {
  session_begin: (stage) => hop(stage, 'login'),
  grant_give: (stage) => hop(stage, 'consent'),
  async redeem(stage) {
    const { a, app } = stage;
    const signedIn = await signIn(a, app, someone());
    const again = async () => !ok(await redeem(a, app, signedIn));
    return { act: (node) => redeem(node, app, signedIn), happened: again };
  },
  async refresh(stage) {
    const { a, app } = stage;
    const tokens = await connect(a, app, someone());
    return { act: (node) => refresh(node, app, tokens.refresh) };
  },
  revoke: (stage) =>
    ofLogin(stage, (node, ids) =>
      node.admin('POST', '/admin/revocations', { chain: ids.get('chain') }),
    ),
  consent_withdraw: (stage) =>
    onItsWay(stage, 'consent', (node, subject) =>
      node.admin('DELETE', `${sessions}/consent?subject=${subject}&client=${stage.app.id}`),
    ),
  cut_consents: (stage) =>
    onItsWay(stage, 'consent', (node, subject) =>
      node.admin('DELETE', `${sessions}/consent?subject=${subject}&all=true`),
    ),
  chain_forestall: (stage) =>
    onItsWay(stage, 'consent', (node, _, flowId) =>
      node.admin('DELETE', `${sessions}/consent?consent_request_id=${flowId}`),
    ),
  cut_logins: (stage) =>
    onItsWay(stage, 'login', (node, subject) =>
      node.admin('DELETE', `${sessions}/login?subject=${subject}`),
    ),
  session_forestall: (stage) =>
    onItsWay(stage, 'login', (node, _, flowId) =>
      node.admin('POST', '/admin/revocations', { session: flowId }),
    ),
  async session_extend({ a, app }) {
    const login = { ...someone().login, remember: true, remember_for: 60 };
    const { browser } = await connect(a, app, { login });
    const again = authorizationUrl(a, authorizationParameters(app, newPkce()));
    const asked = new URL((await browser.get(again)).headers.get('location') ?? '');
    const challenge = asked.searchParams.get('login_challenge') ?? '';
    const body = { ...login, extend_session_lifespan: true };
    const accepted = await a.admin('PUT', door('login', challenge, 'accept'), body);
    const url = new URL(String(accepted.body.redirect_to));
    return { act: (node) => browser.get(node.server.publicUrl + url.pathname + url.search) };
  },
  async flow_tombstone_put({ a, app }) {
    const { browser } = await connect(a, app, { login: { ...someone().login, remember: true } });
    const asked = await browser.get(`${a.server.publicUrl}/oauth2/sessions/logout`);
    const { searchParams } = new URL(asked.headers.get('location') ?? '');
    const challenge = searchParams.get('logout_challenge') ?? '';
    return {
      act: (node) => node.admin('PUT', door('logout', challenge, 'reject')),
      happened: async () => (await a.admin('GET', door('logout', challenge))).status === 404,
    };
  },
  async control_raise_access_seconds({ a, ask }) {
    // Each longer than all before: what has risen needs no second rise.
    const seconds = 7200 + Math.floor(performance.now() / 1000);
    const client = await a.register();
    await a.admin('PUT', `/admin/clients/${client.id}/lifespans`, {
      client_credentials_grant_access_token_lifespan: `${seconds}s`,
    });
    const form = { grant_type: 'client_credentials' };
    return {
      act: (node) => node.postAs(client, '/oauth2/token', form),
      async happened() {
        const rows = await ask('select 1 from control where access_seconds_max >= $1', [seconds]);
        return rows.length === 1;
      },
    };
  },
  async identity_user_insert({ a, ask, app }) {
    const browser = openBrowser();
    const parameters = authorizationParameters(app, newPkce());
    const first = await browser.get(authorizationUrl(a, parameters));
    const { search } = new URL(first.headers.get('location') ?? '');
    const login = `${randomUUID()}@people.example`;
    const page = (node: Deployment) => `${node.server.publicUrl}/ui/sign-up${search}`;
    const token = tokenIn((await browser.get(page(a))).text);
    const fields = { login, name: 'Ada', password: 'a long enough password', token };
    return {
      act: (node) => browser.post(page(node), fields),
      happened: async () =>
        (await ask('select 1 from identity_user where login = $1', [login])).length === 1,
    };
  },
  async identity_user_replace_password({ a, app, ask }) {
    const [id, password] = [randomUUID(), 'a long enough password'];
    const login = `${id}@people.example`;
    // As an earlier release might have made it.
    const weak = await hash(password, { memoryCost: 8192, timeCost: 1, parallelism: 1 });
    await ask(
      `insert into identity_user (id, login, login_key, name, password_hash)
       values ($1, $2, $2, 'Ada', $3)`,
      [id, login, weak],
    );
    const browser = openBrowser();
    const parameters = authorizationParameters(app, newPkce());
    const first = await browser.get(authorizationUrl(a, parameters));
    const { search } = new URL(first.headers.get('location') ?? '');
    const page = (node: Deployment) => `${node.server.publicUrl}/ui/login${search}`;
    const token = tokenIn((await browser.get(page(a))).text);
    return {
      act: (node) => browser.post(page(node), { login, password, token }),
      happened: async () =>
        (await ask('select 1 from identity_user where id = $1 and password_hash = $2', [id, weak]))
          .length === 0,
    };
  },
  grant_narrow: (stage) =>
    ofLogin(stage, (node, ids) =>
      node.admin('POST', `/admin/grants/${ids.get('grant')}/narrow`, { scope: 'openid' }),
    ),
  async flow_reference_put(stage) {
    const { app } = stage;
    const state = randomBytes(2000).toString('base64url');
    const parameters = authorizationParameters(app, newPkce(), { state });
    return { act: (node) => openBrowser().get(authorizationUrl(node, parameters)) };
  },
  async insert_client(stage) {
    const id = randomUUID();
    return {
      act: (node) => node.admin('POST', '/admin/clients', { client_id: id }),
      happened: () => found(stage, `/admin/clients/${id}`),
    };
  },
  async update_client(stage) {
    const { a } = stage;
    const { id, document } = await a.register();
    const changed = { ...document, client_name: 'Changed' };
    return {
      act: (node) => node.admin('PUT', `/admin/clients/${id}`, changed),
      happened: async () =>
        (await a.admin('GET', `/admin/clients/${id}`)).body.client_name === 'Changed',
    };
  },
  async rotate_client_secret(stage) {
    const { a } = stage;
    const { id } = await a.register();
    return { act: (node) => node.admin('POST', `/admin/clients/${id}/secrets/rotate`) };
  },
  async drop_rotated_client_secrets(stage) {
    const { a } = stage;
    const client = await a.register();
    const path = `/admin/clients/${client.id}/secrets/rotate`;
    await a.admin('POST', path);
    const form = { grant_type: 'client_credentials' };
    return {
      act: (node) => node.admin('DELETE', path),
      happened: async () => !ok(await a.postAs(client, '/oauth2/token', form)),
    };
  },
  async delete_client(stage) {
    const { a } = stage;
    const client = await a.register();
    const { access } = await connect(a, client, someone());
    return {
      act: (node) => node.admin('DELETE', `/admin/clients/${client.id}`),
      happened: async () => {
        const gone = !(await found(stage, `/admin/clients/${client.id}`));
        if ((await active(stage, access)) === gone) throw new Error('half of a deletion happened');
        return gone;
      },
    };
  },
  async insert_admin_credential(stage) {
    const { a } = stage;
    const name = `credential-${randomUUID()}`;
    return {
      act: (node) => node.admin('POST', '/admin/credentials', { name, role: 'clients' }),
      happened: async () => (await a.admin('GET', '/admin/credentials')).text.includes(name),
    };
  },
  async delete_admin_credential(stage) {
    const { a } = stage;
    const { path, secret } = await newCredential(stage);
    const headers = { authorization: `Bearer ${secret}` };
    return {
      act: (node) => node.admin('DELETE', path),
      happened: async () => !ok(await call(`${a.server.adminUrl}/admin/clients`, { headers })),
    };
  },
  async replace_keys(stage) {
    const path = `/admin/keys/set-${randomUUID()}`;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'one' };
    return {
      act: (node) => node.admin('PUT', path, { keys: [jwk] }),
      happened: () => found(stage, path),
    };
  },
  async insert_keys(stage) {
    const path = `/admin/keys/set-${randomUUID()}`;
    const body = { alg: 'ES256', use: 'sig', kid: 'one' };
    return { act: (node) => node.admin('POST', path, body), happened: () => found(stage, path) };
  },
  async delete_keys(stage) {
    const { a } = stage;
    const path = `/admin/keys/set-${randomUUID()}`;
    await a.admin('POST', path, { alg: 'ES256', use: 'sig', kid: 'one' });
    return {
      act: (node) => node.admin('DELETE', path),
      happened: async () => !(await found(stage, path)),
    };
  },
};
