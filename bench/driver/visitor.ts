import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { type Answer, type Connection, header } from './connection.ts';
import { type Cookies, cookieHeaders, takeCookies } from './cookies.ts';
import { createIdTokenJudge, object } from './id-token.ts';
import { type Fields, get, post } from './message.ts';

/**
 * Thrown where a server said 503: it can be overloaded, on a machine that others use too, and says
 * so. That is no wrong answer; it is counted by itself.
 */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

/** What to throw for an answer that is not the one that was hoped for. */
export function refusalOf(answer: Answer, who: string): Error {
  const sentence = `${who}: ${answer.status} ${answer.body}`;
  return answer.status === 503 ? new Unavailable(sentence) : new Error(sentence);
}

/** A registered client, as the driver knows it. */
export interface App {
  readonly id: string;
  readonly secret: string;
  readonly redirectUri: string;
  /** What signs its ID tokens. */
  readonly alg: 'RS256' | 'ES256';
}

/** What a login or a refresh has brought; its ID token has been verified. */
export interface Tokens {
  readonly app: App;
  readonly subject: string;
  readonly access: string;
  readonly refresh: string;
  readonly id: string;
}

/** Somebody who does one thing at a time, and checks every answer: what is wrong is thrown. */
export interface Visitor {
  /** The whole of a first login: authorization, sign-in, consent, code, tokens. */
  login(app: App): Promise<Tokens>;
  refresh(tokens: Tokens): Promise<Tokens>;
  /** Gives an access token of the client itself. */
  clientCredentials(app: App): Promise<string>;
  /** Whether the server says that the access token is active. */
  introspect(app: App, token: string): Promise<boolean>;
  userinfo(tokens: Tokens): Promise<void>;
  revoke(app: App, token: string): Promise<void>;
  close(): void;
}

/** Where a server answers. */
export interface Endpoints {
  readonly issuer: string;
  readonly publicPort: number;
  readonly authorization: string;
  readonly token: string;
  readonly userinfo: string;
  readonly revocation: string;
  readonly jwks: string;
}

/** A browser on its way through a login. */
export interface Journey {
  readonly app: App;
  readonly subject: string;
  readonly cookies: Cookies;
  /** Follows a redirect inside the server, gives the next one. */
  visit(location: string): Promise<string>;
  /** Sends one request as this browser, gives where it is sent. */
  send(request: (cookieLines: readonly string[]) => string): Promise<string>;
}

/** What differs between servers. */
export interface Manners {
  readonly endpoints: Endpoints;
  /** Beyond the usual parameters of an authorization request. */
  readonly parameters: Fields;
  readonly clientCredentials: Fields;
  /** Signs in and consents, from where the authorization endpoint led to where the app is called. */
  handshake(journey: Journey, location: string): Promise<string>;
  introspect(app: App, token: string): Promise<Answer>;
  close(): void;
}

export const scope = 'openid offline_access';

/** Makes a visitor on a connection of its own. */
export function createVisitor(connection: Connection, manners: Manners): Visitor {
  const { endpoints } = manners;
  const judge = createIdTokenJudge(endpoints.issuer, endpoints.jwks, connection);

  async function tokens(app: App, fields: Fields, expected: { nonce?: string; subject?: string }) {
    const answer = await connection.send(post(endpoints.token, { ...fields, ...secretOf(app) }));
    const body = successOf(answer, 'the token endpoint');
    const id = String(body.id_token);
    const subject = await judge.check(id, { clientId: app.id, alg: app.alg, ...expected });
    const { access_token: access, refresh_token: refresh } = body;
    if (typeof access !== 'string' || typeof refresh !== 'string') {
      throw new Error(`an answer without tokens: ${answer.body}`);
    }
    return { app, subject, access, refresh, id };
  }

  return {
    async login(app) {
      const verifier = randomBytes(32).toString('base64url');
      const state = randomBytes(16).toString('base64url');
      const subject = randomUUID();
      const journey = setOut(connection, endpoints, app, subject);
      const query = {
        client_id: app.id,
        response_type: 'code',
        scope,
        redirect_uri: app.redirectUri,
        state,
        nonce: state,
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
        ...manners.parameters,
      };
      const first = await journey.visit(`${endpoints.authorization}?${queryOf(query)}`);
      const back = new URL(await manners.handshake(journey, first));
      const code = back.searchParams.get('code');
      if (code === null || back.searchParams.get('state') !== state) {
        throw new Error(`a login ended at ${back.href}`);
      }
      const fields = {
        grant_type: 'authorization_code',
        code,
        redirect_uri: app.redirectUri,
        code_verifier: verifier,
      };
      return tokens(app, fields, { nonce: state, subject });
    },
    refresh: ({ app, refresh, subject }) =>
      tokens(app, { grant_type: 'refresh_token', refresh_token: refresh }, { subject }),
    async clientCredentials(app) {
      const fields = { grant_type: 'client_credentials', ...manners.clientCredentials };
      const answer = await connection.send(post(endpoints.token, { ...fields, ...secretOf(app) }));
      const { access_token: token } = successOf(answer, 'the token endpoint');
      if (typeof token !== 'string') throw new Error(`no access token: ${answer.body}`);
      return token;
    },
    async introspect(app, token) {
      return successOf(await manners.introspect(app, token), 'introspection').active === true;
    },
    async userinfo({ access, subject }) {
      const bearer = `authorization: Bearer ${access}`;
      const answer = await connection.send(get(endpoints.userinfo, bearer));
      const { sub } = successOf(answer, 'userinfo');
      if (sub !== subject) throw new Error(`userinfo names somebody else: ${answer.body}`);
    },
    async revoke(app, token) {
      const answer = await connection.send(post(endpoints.revocation, { token, ...secretOf(app) }));
      if (answer.status !== 200) throw refusalOf(answer, 'revocation');
    },
    close() {
      connection.close();
      manners.close();
    },
  };
}

function setOut(connection: Connection, endpoints: Endpoints, app: App, subject: string): Journey {
  const cookies: Cookies = new Map();
  const send: Journey['send'] = async (request) => {
    const answer = await connection.send(request(cookieHeaders(cookies)));
    takeCookies(cookies, answer);
    const location = header(answer, 'location');
    if (location === undefined) throw refusalOf(answer, 'no redirect');
    return location;
  };
  return {
    app,
    subject,
    cookies,
    send,
    visit: (location) => {
      const { issuer } = endpoints;
      const path = location.startsWith(issuer) ? location.slice(issuer.length) : location;
      return send((lines) => get(path, ...lines));
    },
  };
}

/** Client authentication by the body. */
export function secretOf(app: App): Fields {
  return { client_id: app.id, client_secret: app.secret };
}

/** The body of an answer with status 200; throws otherwise. */
function successOf(answer: Answer, who: string): Record<string, unknown> {
  if (answer.status !== 200) throw refusalOf(answer, who);
  return object(answer.body);
}

function queryOf(fields: Fields): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) query.set(name, value);
  }
  return query.toString();
}
