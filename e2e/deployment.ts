import { startServer, type TestServer, type TestServerOptions } from '#server/testing/harness.ts';

/** A JSON object, or any other body as `{}`. */
export type Json = Readonly<Record<string, unknown>>;

/** An answer, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body where it is JSON. */
  readonly body: Json;
  /** The body where it is a JSON list. */
  readonly list: readonly Json[];
}

export interface RegisteredClient {
  readonly id: string;
  /** '' for a public client. */
  readonly secret: string;
  readonly method: string;
  readonly redirectUri: string;
  readonly document: Json;
}

/** A server, and what tests ask of it. */
export interface Deployment {
  readonly server: TestServer;
  readonly issuer: string;
  /** Calls an admin door with the bootstrap token. */
  admin(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Registers an app; by default a confidential one that may do everything. */
  register(fields?: Json): Promise<RegisteredClient>;
  /** Posts a form to the public listener. */
  post(path: string, form: Parameters, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Posts a form as `client`, authenticated by the method it is registered for. */
  postAs(client: RegisteredClient, path: string, form: Parameters): Promise<Answer>;
  /** What the admin door says of a token. */
  introspect(token: string): Promise<Json>;
  userinfo(token: string): Promise<Answer>;
  close(): Promise<void>;
}

/** Parameters of a request; a list is sent once per value, undefined not at all. */
export type Parameters = Readonly<Record<string, string | readonly string[] | undefined>>;

export const redirectUri = 'https://app.example/callback';
export const postLogoutUri = 'https://app.example/signed-out';
/** An access token's scope for an API. */
export const everyScope = 'openid offline_access profile api.read api.write';

/** Starts a server of its own for a test file. */
export async function deploy(options: TestServerOptions = {}): Promise<Deployment> {
  return deploymentOf(await startServer(options), options.env?.GATEHOUSE_ISSUER);
}

/** What tests ask of a server that runs; its issuer is its own address unless one is named. */
export function deploymentOf(server: TestServer, issuer = server.publicUrl): Deployment {
  const admin = (method: string, path: string, body?: unknown) =>
    call(server.adminUrl + path, {
      method,
      headers: {
        authorization: `Bearer ${server.adminToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const post: Deployment['post'] = (path, form, headers = {}) =>
    call(server.publicUrl + path, { method: 'POST', body: formOf(form), headers });
  return {
    server,
    issuer,
    admin,
    post,
    async register(fields = {}) {
      const made = await admin('POST', '/admin/clients', {
        client_name: 'Test app',
        redirect_uris: [redirectUri],
        post_logout_redirect_uris: [postLogoutUri],
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
        scope: everyScope,
        ...fields,
      });
      if (made.status !== 201) throw new Error(`the app was not registered: ${made.text}`);
      const uris = made.body.redirect_uris;
      return {
        id: String(made.body.client_id),
        secret: String(made.body.client_secret ?? ''),
        method: String(made.body.token_endpoint_auth_method),
        redirectUri: String(Array.isArray(uris) ? uris[0] : ''),
        document: made.body,
      };
    },
    postAs(client, path, form) {
      if (client.method === 'client_secret_basic') return post(path, form, basic(client));
      const secret = client.method === 'none' ? undefined : client.secret;
      return post(path, { client_id: client.id, client_secret: secret, ...form });
    },
    async introspect(token) {
      const answer = await call(`${server.adminUrl}/admin/oauth2/introspect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.adminToken}` },
        body: formOf({ token }),
      });
      return answer.body;
    },
    userinfo: (token) =>
      call(`${server.publicUrl}/userinfo`, { headers: { authorization: `Bearer ${token}` } }),
    async close() {
      await server.stop();
    },
  };
}

/** The Authorization header of a client; id and secret are form-encoded (RFC 6749 §2.3.1). */
export function basic(
  client: Pick<RegisteredClient, 'id' | 'secret'>,
): Readonly<{ authorization: string }> {
  const pair = `${encodeURIComponent(client.id)}:${encodeURIComponent(client.secret)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** One request without redirects followed. */
export async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { redirect: 'manual', ...init });
  const text = await response.text();
  const parsed = jsonOf(text);
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: typeof parsed === 'object' && parsed !== null ? { ...parsed } : {},
    list: Array.isArray(parsed) ? parsed : [],
  };
}

export function formOf(parameters: Parameters): URLSearchParams {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of typeof value === 'string' ? [value] : (value ?? [])) form.append(name, one);
  }
  return form;
}

/** What a text is as JSON; undefined where it is none. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A browser's cookies, and requests with them. */
export interface Browser {
  readonly cookies: Map<string, string>;
  get(url: string): Promise<Answer>;
  post(url: string, form: Parameters): Promise<Answer>;
}

export function openBrowser(cookies = new Map<string, string>()): Browser {
  const visit = async (url: string, init: RequestInit) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await call(url, { ...init, headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = '', attributes = ''] = /^([^=]+)=([^;]*)(.*)$/.exec(line) ?? [];
      if (value === '' || /max-age=0/i.test(attributes)) cookies.delete(name);
      else cookies.set(name, value);
    }
    return answer;
  };
  return {
    cookies,
    get: (url) => visit(url, {}),
    post: (url, form) => visit(url, { method: 'POST', body: formOf(form) }),
  };
}
