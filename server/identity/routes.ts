import { Hono } from 'hono';
import type { Audit } from '#server/audit/audit.ts';
import type { Config } from '#server/config/config.ts';
import type { Env } from '#server/http/frame/answer.ts';
import { ClientGone, goneAnswer } from '#server/http/frame/body.ts';
import type { Log } from '#server/operation/log.ts';
import { type Database, DatabaseUnavailable } from '#server/store/database.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { showConsent, takeConsent } from './consent.ts';
import { answerProblem, errorPage, unavailable } from './error.ts';
import { openForms } from './form.ts';
import { type Handshake, openDoor } from './handshake.ts';
import { showLogin, takeLogin } from './login.ts';
import { showLogout, signedOut, takeLogout } from './logout.ts';
import type { Pages, Throttles } from './pages.ts';
import { openPasswords } from './password.ts';
import { showSignUp, takeSignUp } from './sign-up.ts';
import { createThrottle } from './throttle.ts';

export interface IdentityOptions {
  readonly config: Config;
  readonly handshake: Handshake;
  readonly database: Database;
  /** The ring in force. */
  readonly seal: () => Keyring;
  /** PostgreSQL's time, which all nodes share: a form of one is taken by another. */
  readonly nowMs: () => number;
  readonly audit: Pick<Audit, 'count'>;
  readonly log: Log;
  /** False: password guesses are not slowed down. */
  readonly rateLimits: boolean;
}

/**
 * The built-in pages, mounted on the public listener at the root of the issuer. They are a login
 * app like any other: all they know of the engine is Hydra's handshake, so a deployment that has
 * pages of its own leaves these out and loses nothing.
 */
export function identityRoutes(options: IdentityOptions): Hono<Env> {
  const { config, database, audit, log } = options;
  const pages: Pages = {
    config,
    database,
    audit,
    log,
    door: openDoor(options.handshake),
    forms: openForms(config.issuer, options.seal, options.nowMs),
    passwords: openPasswords(),
    throttles: options.rateLimits ? openThrottles() : undefined,
  };

  const app = new Hono<Env>();
  app.get('/ui/login', (c) => showLogin(pages, c));
  app.post('/ui/login', (c) => takeLogin(pages, c));
  app.get('/ui/consent', (c) => showConsent(pages, c));
  app.post('/ui/consent', (c) => takeConsent(pages, c));
  app.get('/ui/logout', (c) => showLogout(pages, c));
  app.post('/ui/logout', (c) => takeLogout(pages, c));
  app.get('/ui/signed-out', (c) => signedOut(c));
  app.get('/ui/error', (c) => errorPage(c));
  if (config.signUp) {
    app.get('/ui/sign-up', (c) => showSignUp(pages, c));
    app.post('/ui/sign-up', (c) => takeSignUp(pages, c));
  }
  app.onError((error, c) => {
    const requestId = c.get('requestId');
    if (error instanceof DatabaseUnavailable) {
      log.warn('page_unavailable', { requestId }, error);
      return unavailable(c);
    }
    if (error instanceof ClientGone) {
      log.debug('page_aborted', { requestId });
      return goneAnswer();
    }
    log.error('page_failed', { requestId }, error);
    return answerProblem(c, {
      status: 500,
      error: 'server_error',
      description: 'Something went wrong on our side.',
    });
  });
  return app;
}

/** Limits for one process; the numbers bound memory to a few MiB. */
function openThrottles(): Throttles {
  return {
    // Five wrong passwords are a person's; then 1 s, 2 s, 4 s … 15 min between guesses.
    login: createThrottle({
      freeFailures: 5,
      firstWaitSeconds: 1,
      waitSecondsMax: 900,
      forgiveSeconds: 120,
      keysMax: 20_000,
    }),
    // One address may stand for a whole office, so it gets more room.
    network: createThrottle({
      freeFailures: 60,
      firstWaitSeconds: 1,
      waitSecondsMax: 60,
      forgiveSeconds: 10,
      keysMax: 20_000,
    }),
    signUp: createThrottle({
      freeFailures: 10,
      firstWaitSeconds: 30,
      waitSecondsMax: 3600,
      forgiveSeconds: 600,
      keysMax: 20_000,
    }),
  };
}
