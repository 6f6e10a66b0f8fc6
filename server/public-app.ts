import type { Hono } from 'hono';
import type { Engine } from '#server/engine.ts';
import { answerFailpoints } from '#server/failpoints.ts';
import { authorizationRoutes } from '#server/http/authorization/authorization.ts';
import { logoutRoutes } from '#server/http/authorization/logout.ts';
import { discoveryRoutes } from '#server/http/discovery.ts';
import type { Env } from '#server/http/frame/answer.ts';
import { addPreflights } from '#server/http/frame/cors.ts';
import { createFrame } from '#server/http/frame/frame.ts';
import { addHealth } from '#server/http/health.ts';
import { introspectionRoutes } from '#server/http/introspection.ts';
import { revocationRoutes } from '#server/http/revocation.ts';
import { tokenRoutes } from '#server/http/token/token.ts';
import { userinfoRoutes } from '#server/http/userinfo.ts';
import type { Handshake } from '#server/identity/handshake.ts';
import { identityRoutes } from '#server/identity/routes.ts';
import { readinessOf } from '#server/readiness.ts';
import { version } from '#server/version.ts';

/**
 * The public listener: the protocol, and the built-in pages, which speak to the engine only through
 * the same admin doors as anybody's login app.
 */
export function publicApp(engine: Engine, admin: Hono<Env>): Hono<Env> {
  const { audit, config, database, feed, keys, log, metrics, tracing } = engine;
  const app = createFrame({ config, log, metrics, tracing, admin: false });
  addHealth(app, version, readinessOf(engine));
  if (engine.failpoints !== undefined) app.use('*', answerFailpoints(engine.failpoints));
  addPreflights(app, {
    open: [
      '/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server',
      '/.well-known/jwks.json',
    ],
    byClient: ['/oauth2/token', '/oauth2/revoke', '/userinfo'],
  });
  app.route('/', discoveryRoutes(engine));
  app.route('/', authorizationRoutes(engine));
  app.route('/', tokenRoutes(engine));
  app.route('/', introspectionRoutes(engine));
  app.route('/', revocationRoutes(engine));
  app.route('/', userinfoRoutes(engine));
  app.route('/', logoutRoutes(engine));
  app.route(
    '/',
    identityRoutes({
      config,
      handshake: handshakeThrough(admin, config.adminToken ?? ''),
      database,
      seal: () => keys.current(),
      nowMs: () => feed.nowMs(),
      audit,
      log,
      rateLimits: config.rateLimits,
    }),
  );
  return app;
}

/** Calls the admin doors without a socket, with an admin credential like any caller. */
function handshakeThrough(admin: Hono<Env>, adminToken: string): Handshake {
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
  return async (method, path, body) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await admin.request(path, { method, headers, ...init });
    const text = await response.text();
    return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
  };
}
