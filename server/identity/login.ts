import { html } from 'hono/html';
import { auditActions } from '#server/audit/actions.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import type { Form } from '#server/http/frame/body.ts';
import { appCard, appLinks, nameOf } from './app.ts';
import { unknownChallenge } from './error.ts';
import type { LoginRequest } from './handshake.ts';
import { answerPage, formMessage, formPage, type Refused } from './page.ts';
import {
  busy,
  challengeOf,
  contextOf,
  type Pages,
  proceed,
  readSent,
  rememberSeconds,
  stale,
  waitMessage,
} from './pages.ts';
import { isOutdated } from './password.ts';
import { networkOf } from './throttle.ts';
import {
  findUserById,
  findUserByLogin,
  loginKeyOf,
  replacePasswordHash,
  type User,
} from './user.ts';

/** `GET /ui/login`: a remembered session passes at once, everybody else gets the form. */
export async function showLogin(pages: Pages, c: Ctx): Promise<Response> {
  const challenge = challengeOf(c, 'login_challenge');
  if (challenge === undefined) return unknownChallenge(c);
  const looked = await pages.door.login(challenge);
  if (!('request' in looked)) return proceed(c, looked);
  const { request } = looked;
  if (request.skip) return passRemembered(pages, c, challenge, request.subject);
  return loginForm(pages, c, { challenge, request, login: request.oidc_context.login_hint });
}

/** `POST /ui/login`: cancel, or a password that is right, ends here; else the form comes back. */
export async function takeLogin(pages: Pages, c: Ctx): Promise<Response> {
  const sent = await readSent(c, 'login_challenge');
  if (sent instanceof Response) return sent;
  const { challenge, fields } = sent;
  if (!pages.forms.belongs(c, 'login', challenge, fields.get('token') ?? '')) {
    return askAgain(pages, c, challenge, fields, stale);
  }
  if (fields.get('action') === 'cancel') {
    return proceed(c, await pages.door.reject('login', challenge, cancelled));
  }
  const user = await authenticate(
    pages,
    c,
    fields.get('login') ?? '',
    fields.get('password') ?? '',
  );
  if ('message' in user) return askAgain(pages, c, challenge, fields, user);
  return acceptLogin(pages, c, challenge, user, fields.get('remember') === 'yes');
}

/** Tells the engine who it is. Only a password was seen, and no claim is made about how strong. */
export async function acceptLogin(
  pages: Pages,
  c: Ctx,
  challenge: string,
  user: User,
  remember: boolean,
): Promise<Response> {
  const accepted = await pages.door.accept('login', challenge, {
    subject: user.id,
    remember,
    remember_for: remember ? rememberSeconds : 0,
    acr: '',
    amr: ['pwd'],
    context: contextOf(user),
  });
  return proceed(c, accepted);
}

const cancelled = {
  error: 'access_denied',
  error_description: 'The person cancelled the sign-in.',
  status_code: 403,
} as const;

/** The session names somebody: still ours, and still welcome? Then the login passes unseen. */
async function passRemembered(
  pages: Pages,
  c: Ctx,
  challenge: string,
  subject: string,
): Promise<Response> {
  const user = await findUserById(pages.database, subject);
  if (user === undefined || user.disabled) {
    const rejected = await pages.door.reject('login', challenge, {
      error: 'access_denied',
      error_description: 'The account that is signed in here is no longer available.',
      status_code: 403,
    });
    return proceed(c, rejected);
  }
  const accepted = await pages.door.accept('login', challenge, {
    subject: user.id,
    context: contextOf(user),
  });
  return proceed(c, accepted);
}

const wrong: Refused = {
  status: 200,
  message: 'The email address or the password is not right.',
};

/**
 * One statement and one hash, whoever asks. Nobody is locked out: what is slowed down is one
 * network's guessing, so the person at home still gets in while a stranger guesses (security 35).
 */
async function authenticate(
  pages: Pages,
  c: Ctx,
  login: string,
  password: string,
): Promise<User | Refused> {
  const loginKey = loginKeyOf(login);
  const guess = countGuess(pages, c, loginKey ?? '');
  if ('message' in guess) return guess;
  const user = loginKey === undefined ? undefined : await findUserByLogin(pages.database, loginKey);
  const verdict = await pages.passwords.verify(user?.passwordHash, password);
  if (verdict === 'busy') {
    guess.takeBack();
    return busy;
  }
  if (user === undefined || verdict === 'wrong' || user.disabled) {
    pages.log.info('password_refused', { requestId: c.get('requestId') });
    tellGuess(pages, c, user, verdict);
    return wrong;
  }
  guess.takeBack();
  if (isOutdated(user.passwordHash)) await rehash(pages, user, password);
  return user;
}

/** The login is not written: people type their password there by mistake. */
function tellGuess(pages: Pages, c: Ctx, user: User | undefined, verdict: 'right' | 'wrong'): void {
  pages.audit.count({
    action: 'password.guess',
    target: { kind: auditActions['password.guess'].target, id: user?.id ?? '' },
    reason: user === undefined ? 'unknown_login' : verdict === 'right' ? 'disabled' : 'wrong',
    requestId: c.get('requestId'),
    address: networkOf(c.get('address')),
  });
}

/** Counts the attempt before it is made, or says how long to wait. */
function countGuess(
  pages: Pages,
  c: Ctx,
  loginKey: string,
): Refused | { readonly takeBack: () => void } {
  const { throttles } = pages;
  if (throttles === undefined) return { takeBack: () => {} };
  const nowMs = performance.now();
  const network = networkOf(c.get('address'));
  const both = `${network} ${loginKey}`;
  const seconds = Math.max(
    throttles.login.waitSeconds(both, nowMs),
    throttles.network.waitSeconds(network, nowMs),
  );
  if (seconds > 0) {
    const requestId = c.get('requestId');
    pages.log.warn('password_guessing_slowed', { requestId, seconds });
    pages.audit.count({
      action: 'password.guess_slowed',
      target: { kind: auditActions['password.guess_slowed'].target, id: '' },
      requestId,
      address: network,
    });
    return { status: 429, message: waitMessage(seconds), retryAfterSeconds: seconds };
  }
  const takeBackLogin = throttles.login.failed(both, nowMs);
  const takeBackNetwork = throttles.network.failed(network, nowMs);
  return {
    takeBack() {
      takeBackLogin();
      takeBackNetwork();
    },
  };
}

/** Only after parameters were raised: the one moment at which the password is at hand. */
async function rehash(pages: Pages, user: User, password: string): Promise<void> {
  const after = await pages.passwords.hash(password);
  if (after !== 'busy') {
    await replacePasswordHash(pages.database, user.id, user.passwordHash, after);
  }
}

async function askAgain(
  pages: Pages,
  c: Ctx,
  challenge: string,
  fields: Form,
  refused: Refused,
): Promise<Response> {
  const looked = await pages.door.login(challenge);
  if (!('request' in looked)) return proceed(c, looked);
  const typed = { login: fields.get('login') ?? '', remember: fields.get('remember') === 'yes' };
  return loginForm(pages, c, { challenge, request: looked.request, ...typed, refused });
}

/** What a login form shows. */
interface LoginForm {
  readonly challenge: string;
  readonly request: LoginRequest;
  /** What stands in the field of the address. */
  readonly login: string;
  readonly remember?: boolean;
  readonly refused?: Refused;
}

function loginForm(pages: Pages, c: Ctx, form: LoginForm): Response | Promise<Response> {
  const { challenge, request, remember = false, refused } = form;
  const login = form.login.includes('\u0000') ? '' : form.login.slice(0, 255);
  const invalid = refused === wrong ? html` aria-invalid="true" aria-describedby="message"` : '';
  const focusLogin = login === '' ? html` autofocus` : '';
  const focusPassword = login === '' ? '' : html` autofocus`;
  const signUp = pages.config.signUp
    ? html`<footer><p>No account yet?
<a href="sign-up?login_challenge=${challenge}">Create one</a></p></footer>`
    : '';
  const body = html`${appCard(request.client)}
<h1>Sign in</h1>
<p class="lead">to continue to <strong><bdi>${nameOf(request.client)}</bdi></strong></p>
${formMessage(refused)}
<form method="post">
<input type="hidden" name="token" value="${pages.forms.issue(c, 'login', challenge)}">
<div class="field"><label for="login">Email address</label>
<input id="login" name="login" type="text" inputmode="email" autocomplete="username"
autocapitalize="none" autocorrect="off" spellcheck="false" maxlength="255" value="${login}"
required${focusLogin}${invalid}></div>
<div class="field"><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="256"
required${focusPassword}${invalid}></div>
<div class="check"><input id="remember" name="remember" type="checkbox" value="yes"${
    remember ? html` checked` : ''
  }><label for="remember">Keep me signed in on this device for 30 days</label></div>
<div class="actions">
<button id="submit" class="primary" type="submit" name="action" value="accept">Sign in</button>
<button id="cancel" type="submit" name="action" value="cancel" formnovalidate>Cancel</button>
</div>
</form>
${signUp}
${appLinks(request.client)}`;
  return answerPage(c, formPage(`Sign in to ${nameOf(request.client)}`, refused, body));
}
