import type { Hono } from 'hono';
import type { Engine } from '#server/engine.ts';
import { answerFailpoints } from '#server/failpoints.ts';
import { auditRoutes } from '#server/http/admin/audit.ts';
import { auditing } from '#server/http/admin/audited.ts';
import { type AdminGate, adminPath } from '#server/http/admin/authentication.ts';
import { clientRoutes } from '#server/http/admin/clients.ts';
import { credentialRoutes } from '#server/http/admin/credentials.ts';
import { adminDoors } from '#server/http/admin/doors.ts';
import { grantAdminRoutes } from '#server/http/admin/grants.ts';
import { keyRoutes } from '#server/http/admin/keys.ts';
import { revocationAdminRoutes } from '#server/http/admin/revocations.ts';
import { standingRoutes } from '#server/http/admin/standing.ts';
import type { Env } from '#server/http/frame/answer.ts';
import { createFrame } from '#server/http/frame/frame.ts';
import { consentHandshakeRoutes } from '#server/http/handshake/consent.ts';
import { loginHandshakeRoutes } from '#server/http/handshake/login.ts';
import { logoutHandshakeRoutes } from '#server/http/handshake/logout.ts';
import { sessionRoutes } from '#server/http/handshake/sessions.ts';
import { addHealth } from '#server/http/health.ts';
import { adminIntrospectionRoutes } from '#server/http/introspection.ts';
import { metricsRoutes } from '#server/http/metrics.ts';
import { descriptionRoutes } from '#server/openapi/routes.ts';
import { readinessOf } from '#server/readiness.ts';
import { version } from '#server/version.ts';

/**
 * Where administrators change something; `/*` is also the path before it. Which doors do:
 * server/http/admin/audited.ts.
 */
const changeable = [
  '/admin/oauth2/auth/sessions/*',
  '/admin/oauth2/tokens',
  '/admin/clients/*',
  '/admin/keys/*',
  '/admin/revocations',
  '/admin/grants/*',
  '/admin/credentials/*',
];

/** The admin listener: Hydra's doors and our own, each behind the roles that open it. */
export function adminApp(engine: Engine, gate: AdminGate): Hono<Env> {
  const { config, log, metrics, tracing } = engine;
  const app = createFrame({ config, log, metrics, tracing, admin: true, getPath: adminPath });
  addHealth(app, version, readinessOf(engine));
  if (engine.failpoints !== undefined) app.use('*', answerFailpoints(engine.failpoints));

  for (const { path, roles } of adminDoors) app.use(path, gate.guard(...roles));
  // Not on the handshake's doors, which every login passes: nothing there is an administrator's.
  for (const path of changeable) app.use(path, auditing(engine.audit));

  app.route('/', loginHandshakeRoutes(engine));
  app.route('/', consentHandshakeRoutes(engine));
  app.route('/', logoutHandshakeRoutes(engine));
  app.route('/', sessionRoutes(engine));
  app.route('/', adminIntrospectionRoutes(engine));
  app.route('/', clientRoutes(engine));
  app.route('/', keyRoutes(engine));
  app.route('/', revocationAdminRoutes(engine));
  app.route('/', grantAdminRoutes(engine));
  app.route('/', credentialRoutes(engine));
  app.route('/', auditRoutes(engine));
  app.route('/', standingRoutes(engine));
  app.route('/', metricsRoutes(metrics));
  app.route('/', descriptionRoutes());
  return app;
}
