import { type Context, Hono } from 'hono';
import * as oidc from 'openid-client';
import { notesApi } from './api.ts';
import { homePage, plainPage } from './pages.ts';
import { createProvider } from './provider.ts';
import { sampleScope } from './registration.ts';
import { type Connection, createSessions, type Session } from './session.ts';
import type { Settings } from './settings.ts';

/**
 * Acme Notes: an app as anybody outside would write it, with openid-client and nothing of
 * Gatehouse. People connect it to their account, and it calls an API with the token it gets.
 */
export function sampleApp(settings: Settings): Hono {
  const provider = createProvider(settings);
  const sessions = createSessions();
  const redirectUri = `${settings.url}/callback`;
  const home = (c: Context) => c.redirect('/', 303);
  const tell = (session: Session, title: string, text: string, failed = false) => {
    session.notice = { title, text, failed };
  };
  const app = new Hono();

  app.get('/', (c) => {
    const session = sessions.of(c);
    const page = homePage(session);
    delete session?.notice;
    return c.html(page);
  });

  app.post('/connect', async (c) => {
    const config = await provider();
    const attempt = {
      verifier: oidc.randomPKCECodeVerifier(),
      state: oidc.randomState(),
      nonce: oidc.randomNonce(),
    };
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: sampleScope,
      code_challenge: await oidc.calculatePKCECodeChallenge(attempt.verifier),
      code_challenge_method: 'S256',
      state: attempt.state,
      nonce: attempt.nonce,
    });
    sessions.begin(c, { attempt });
    return c.redirect(url.href, 303);
  });

  app.get('/callback', async (c) => {
    const attempt = sessions.of(c)?.attempt;
    if (attempt === undefined) {
      return c.html(plainPage('Please start again', 'This browser did not start a sign-in.'), 400);
    }
    // What the browser sent, at the address that was registered.
    const current = new URL(`${redirectUri}${new URL(c.req.url).search}`);
    const session: Session = {};
    try {
      const tokens = await oidc.authorizationCodeGrant(await provider(), current, {
        pkceCodeVerifier: attempt.verifier,
        expectedState: attempt.state,
        expectedNonce: attempt.nonce,
        idTokenExpected: true,
      });
      session.connection = connectionOf(tokens);
      tell(session, 'Connected', 'Acme Notes may now use your account.');
    } catch (error) {
      tell(session, 'Not connected', reasonOf(error), true);
    }
    sessions.begin(c, session);
    return home(c);
  });

  /** An action of somebody who is connected; what goes wrong is shown on the page. */
  const action = (
    path: string,
    run: (session: Session, connection: Connection, c: Context) => Promise<Response | undefined>,
  ) =>
    app.post(path, async (c) => {
      const session = sessions.of(c);
      if (session?.connection === undefined) return home(c);
      try {
        return (await run(session, session.connection, c)) ?? home(c);
      } catch (error) {
        tell(session, 'That did not work', reasonOf(error), true);
        return home(c);
      }
    });

  action('/call-api', async (session, { accessToken }) => {
    const url = new URL(`${settings.url}/api/notes`);
    const answer = await oidc.fetchProtectedResource(await provider(), accessToken, url, 'GET');
    tell(session, `The API answered ${answer.status}`, await answer.text(), !answer.ok);
    return undefined;
  });

  action('/refresh', async (session, connection) => {
    if (connection.refreshToken === undefined) {
      tell(session, 'Nothing to refresh', 'You did not let the app stay connected.', true);
      return undefined;
    }
    const tokens = await oidc.refreshTokenGrant(await provider(), connection.refreshToken);
    session.connection = connectionOf(tokens, connection);
    tell(session, 'Refreshed', 'The app has a new access token.');
    return undefined;
  });

  action('/disconnect', async (session, { accessToken, refreshToken }, c) => {
    const config = await provider();
    await oidc.tokenRevocation(config, refreshToken ?? accessToken);
    // The proof: the API is asked once more with the token that has just died.
    const { active } = await oidc.tokenIntrospection(config, accessToken);
    delete session.connection;
    const text = active ? 'The last access token still works.' : 'Its tokens stopped working.';
    tell(session, 'Disconnected', text, active);
    sessions.begin(c, session);
    return undefined;
  });

  action('/sign-out', async (_session, { idToken }, c) => {
    const url = oidc.buildEndSessionUrl(await provider(), {
      id_token_hint: idToken,
      post_logout_redirect_uri: `${settings.url}/signed-out`,
    });
    sessions.end(c);
    return c.redirect(url.href, 303);
  });

  app.get('/signed-out', (c) =>
    c.html(plainPage('Signed out', 'You have signed out of Acme Notes and of your account.')),
  );
  app.get('/privacy', (c) => c.html(plainPage('Privacy', 'Acme Notes keeps nothing on disk.')));
  app.get('/terms', (c) => c.html(plainPage('Terms', 'Acme Notes is an example.')));
  app.route('/', notesApi(provider));
  app.onError((error, c) => {
    console.error(`sample app: ${c.req.method} ${c.req.path}: ${reasonOf(error)}`);
    return c.html(plainPage('Something went wrong', reasonOf(error)), 502);
  });
  return app;
}

/** A refresh may leave out what did not change: then what was known before stays. */
function connectionOf(
  tokens: oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers,
  before?: Connection,
): Connection {
  const claims = tokens.claims() ?? before?.claims;
  const idToken = tokens.id_token ?? before?.idToken;
  if (claims === undefined || idToken === undefined) throw new Error('no ID token came');
  return {
    claims,
    idToken,
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token ?? before?.refreshToken,
    scope: tokens.scope ?? before?.scope ?? sampleScope,
  };
}

/** What the authorization server or the library says, never a token. */
function reasonOf(error: unknown): string {
  if (error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError) {
    return `${error.error}: ${error.error_description ?? 'no description'}`;
  }
  if (error instanceof oidc.WWWAuthenticateChallengeError) {
    const [challenge] = error.cause;
    return `the server answered ${error.status} ${challenge?.parameters.error ?? ''}`.trim();
  }
  return error instanceof Error ? error.message : 'unknown';
}
