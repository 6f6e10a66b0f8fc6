import { html } from 'hono/html';
import { auditActions } from '#server/audit/actions.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import type { Form } from '#server/http/frame/body.ts';
import { appCard, nameOf } from './app.ts';
import { harmless } from './display.ts';
import { unknownChallenge } from './error.ts';
import type { LoginRequest } from './handshake.ts';
import { acceptLogin } from './login.ts';
import { answerPage, formMessage, formPage, type Refused, seeOther } from './page.ts';
import { busy, challengeOf, type Pages, proceed, readSent, stale, waitMessage } from './pages.ts';
import { passwordBytesMin, passwordProblem } from './password.ts';
import { networkOf } from './throttle.ts';
import { insertUser, isMailAddress, type User } from './user.ts';

interface RefusedField extends Refused {
  /** The input that the message speaks of. */
  readonly field?: 'login' | 'password';
}

/** `GET /ui/sign-up`, where the deployment lets people make accounts themselves. */
export async function showSignUp(pages: Pages, c: Ctx): Promise<Response> {
  const challenge = challengeOf(c, 'login_challenge');
  if (challenge === undefined) return unknownChallenge(c);
  const looked = await pages.door.login(challenge);
  if (!('request' in looked)) return proceed(c, looked);
  // Somebody is signed in already; the login page lets them pass.
  if (looked.request.skip) return seeOther(c, `login?login_challenge=${challenge}`);
  return signUpForm(pages, c, challenge, looked.request);
}

/** `POST /ui/sign-up`: makes the account and signs in with it. */
export async function takeSignUp(pages: Pages, c: Ctx): Promise<Response> {
  const sent = await readSent(c, 'login_challenge');
  if (sent instanceof Response) return sent;
  const { challenge, fields } = sent;
  const looked = await pages.door.login(challenge);
  if (!('request' in looked)) return proceed(c, looked);
  const user = await signUp(pages, c, challenge, fields);
  if ('message' in user) return signUpForm(pages, c, challenge, looked.request, fields, user);
  return acceptLogin(pages, c, challenge, user, false);
}

async function signUp(
  pages: Pages,
  c: Ctx,
  challenge: string,
  fields: Form,
): Promise<User | RefusedField> {
  if (!pages.forms.belongs(c, 'sign-up', challenge, fields.get('token') ?? '')) {
    return stale;
  }
  const login = (fields.get('login') ?? '').trim();
  if (!isMailAddress(login)) {
    return { status: 200, message: 'Please enter a whole email address.', field: 'login' };
  }
  const problem = passwordProblem(fields.get('password') ?? '');
  if (problem !== undefined) {
    return { status: 200, message: `This password cannot be used. ${problem}`, field: 'password' };
  }
  const nowMs = performance.now();
  const network = networkOf(c.get('address'));
  const seconds = pages.throttles?.signUp.waitSeconds(network, nowMs) ?? 0;
  if (seconds > 0) {
    pages.audit.count({
      action: 'user.sign_up_slowed',
      target: { kind: auditActions['user.sign_up_slowed'].target, id: '' },
      requestId: c.get('requestId'),
      address: network,
    });
    return { status: 429, message: waitMessage(seconds), retryAfterSeconds: seconds };
  }
  pages.throttles?.signUp.failed(network, nowMs);
  const passwordHash = await pages.passwords.hash(fields.get('password') ?? '');
  if (passwordHash === 'busy') {
    return busy;
  }
  const name = harmless(fields.get('name') ?? '');
  const user = await insertUser(
    pages.database,
    { login, name, passwordHash },
    {
      action: 'user.sign_up',
      actorKind: 'subject',
      requestId: c.get('requestId'),
      address: c.get('address'),
    },
  );
  return (
    user ?? {
      status: 409,
      message: 'There is an account with this email address already. Sign in instead.',
      field: 'login',
    }
  );
}

function signUpForm(
  pages: Pages,
  c: Ctx,
  challenge: string,
  request: LoginRequest,
  fields?: Form,
  refused?: RefusedField,
): Response | Promise<Response> {
  const typed = (name: string) => (fields?.get(name) ?? '').slice(0, 255);
  const invalid = (field: 'login' | 'password') =>
    refused?.field === field ? html` aria-invalid="true" autofocus` : '';
  const described = (field: 'login' | 'password', hint = '') => {
    const ids = [hint, refused?.field === field ? 'message' : ''].filter((id) => id !== '');
    return ids.length === 0 ? '' : html` aria-describedby="${ids.join(' ')}"`;
  };
  const focus = refused === undefined ? html` autofocus` : '';
  const body = html`${appCard(request.client)}
<h1>Create your account</h1>
<p class="lead">to continue to <strong><bdi>${nameOf(request.client)}</bdi></strong></p>
${formMessage(refused)}
<form method="post">
<input type="hidden" name="token" value="${pages.forms.issue(c, 'sign-up', challenge)}">
<div class="field"><label for="login">Email address</label>
<input id="login" name="login" type="email" autocomplete="username" value="${typed('login')}"
maxlength="255" required${focus}${invalid('login')}${described('login')}></div>
<div class="field"><label for="name">Name (optional)</label>
<input id="name" name="name" type="text" autocomplete="name" maxlength="80"
value="${typed('name')}"></div>
<div class="field"><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" maxlength="256"
required${invalid('password')}${described('password', 'password-hint')}>
<p class="hint" id="password-hint">At least ${passwordBytesMin} characters. A few words are better
than one with odd signs.</p></div>
<div class="actions">
<button id="submit" class="primary" type="submit">Create account</button>
</div>
</form>
<footer><p>Have an account? <a href="login?login_challenge=${challenge}">Sign in</a></p></footer>`;
  return answerPage(c, formPage('Create your account', refused, body));
}
