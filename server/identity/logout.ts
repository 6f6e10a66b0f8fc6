import { html } from 'hono/html';
import type { Ctx } from '#server/http/frame/answer.ts';
import { nameOf } from './app.ts';
import { linkable } from './display.ts';
import { unknownChallenge } from './error.ts';
import type { LogoutRequest } from './handshake.ts';
import { answerPage, formMessage, formPage, type Refused } from './page.ts';
import { challengeOf, type Pages, proceed, readSent, stale } from './pages.ts';

/** `GET /ui/logout`: asks first, because any page can send a browser here. */
export async function showLogout(pages: Pages, c: Ctx): Promise<Response> {
  const challenge = challengeOf(c, 'logout_challenge');
  if (challenge === undefined) return unknownChallenge(c);
  const looked = await pages.door.logout(challenge);
  if (!('request' in looked)) return proceed(c, looked);
  if (c.req.query('stay') !== undefined) return stillSignedIn(c, looked.request);
  return logoutForm(pages, c, challenge, looked.request);
}

/** `POST /ui/logout`: the one button. */
export async function takeLogout(pages: Pages, c: Ctx): Promise<Response> {
  const sent = await readSent(c, 'logout_challenge');
  if (sent instanceof Response) return sent;
  const { challenge, fields } = sent;
  if (!pages.forms.belongs(c, 'logout', challenge, fields.get('token') ?? '')) {
    const looked = await pages.door.logout(challenge);
    if (!('request' in looked)) return proceed(c, looked);
    return logoutForm(pages, c, challenge, looked.request, stale);
  }
  // Hydra's SDK sends no body here, and neither do we.
  return proceed(c, await pages.door.accept('logout', challenge, undefined));
}

function logoutForm(
  pages: Pages,
  c: Ctx,
  challenge: string,
  request: LogoutRequest,
  refused?: Refused,
): Response | Promise<Response> {
  const asking =
    request.client.client_id === ''
      ? ''
      : html`<p class="lead"><strong><bdi>${nameOf(request.client)}</bdi></strong> asks to sign you
out. Apps that you let in to work while you are away stay connected.</p>`;
  const body = html`<h1>Sign out on this device?</h1>
${asking}
${formMessage(refused)}
<form method="post">
<input type="hidden" name="token" value="${pages.forms.issue(c, 'logout', challenge)}">
<div class="actions">
<button id="confirm" class="primary" type="submit" name="action" value="accept">Sign out</button>
<a id="cancel" class="button"
href="logout?logout_challenge=${challenge}&amp;stay">Stay signed in</a>
</div>
</form>`;
  return answerPage(c, formPage('Sign out?', refused, body));
}

/** Nothing to undo: a logout that is not confirmed just expires. */
function stillSignedIn(c: Ctx, request: LogoutRequest): Response | Promise<Response> {
  const home = linkable(request.client.client_uri);
  return answerPage(c, {
    title: 'You are still signed in',
    body: html`<h1>You are still signed in</h1>
<p class="lead">Nothing has changed. You can close this page.</p>
${
  home === undefined
    ? ''
    : html`<p><a href="${home}" rel="noopener noreferrer">Go to ${nameOf(request.client)}</a></p>`
}`,
  });
}

/** `GET /ui/signed-out`: where a logout ends that came without a place to go. */
export function signedOut(c: Ctx): Response | Promise<Response> {
  return answerPage(c, {
    title: 'You are signed out',
    body: html`<h1>You are signed out</h1>
<p class="lead">You have signed out on this device. You can close this page.</p>`,
  });
}
