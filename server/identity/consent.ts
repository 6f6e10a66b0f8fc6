import { html } from 'hono/html';
import { isRefusal, refuse } from '#core/refusal.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import { parseForm } from '#server/http/frame/body.ts';
import { appCard, appLinks, nameOf } from './app.ts';
import { destinationOf, harmless } from './display.ts';
import { unknownChallenge } from './error.ts';
import { type ConsentRequest, type Person, personOf } from './handshake.ts';
import { answerPage, formMessage, formPage, type Markup, type Refused } from './page.ts';
import { challengeOf, type Pages, proceed, readSent, stale, unreadable } from './pages.ts';
import { describeScope, isRequiredScope } from './scopes.ts';

/** `GET /ui/consent`: what was allowed before, or needs no asking, passes at once. */
export async function showConsent(pages: Pages, c: Ctx): Promise<Response> {
  const challenge = challengeOf(c, 'consent_challenge');
  if (challenge === undefined) return unknownChallenge(c);
  const looked = await pages.door.consent(challenge);
  if (!('request' in looked)) return proceed(c, looked);
  const { request } = looked;
  if (request.skip || request.client.skip_consent) {
    return acceptConsent(pages, c, challenge, request, request.requested_scope);
  }
  return consentForm(pages, c, challenge, request);
}

/** `POST /ui/consent`: grants what is ticked, never more than was asked. */
export async function takeConsent(pages: Pages, c: Ctx): Promise<Response> {
  const sent = await readSent(c, 'consent_challenge');
  if (sent instanceof Response) return sent;
  const { challenge, fields } = sent;
  const looked = await pages.door.consent(challenge);
  if (!('request' in looked)) return proceed(c, looked);
  const { request } = looked;
  if (!pages.forms.belongs(c, 'consent', challenge, fields.get('token') ?? '')) {
    return consentForm(pages, c, challenge, request, stale);
  }
  const action = fields.get('action');
  if (action === 'deny') return proceed(c, await pages.door.reject('consent', challenge, denied));
  if (action !== 'accept') {
    const hint = 'The form says neither that you allow this nor that you do not.';
    return unreadable(c, refuse('malformed_request', hint));
  }
  const ticked = new Set(fields.all('scope'));
  const granted = request.requested_scope.filter(
    (scope) => ticked.has(scope) || isRequiredScope(scope),
  );
  return acceptConsent(pages, c, challenge, request, granted);
}

const denied = {
  error: 'access_denied',
  error_description: 'The person declined the request.',
  status_code: 403,
} as const;

async function acceptConsent(
  pages: Pages,
  c: Ctx,
  challenge: string,
  request: ConsentRequest,
  granted: readonly string[],
): Promise<Response> {
  const accepted = await pages.door.accept('consent', challenge, {
    grant_scope: granted,
    grant_access_token_audience: request.requested_access_token_audience,
    remember: true,
    remember_for: 0,
    session: { id_token: claimsOf(personOf(request.context), granted) },
  });
  return proceed(c, accepted);
}

/** The claims that the granted scopes ask for (OIDC Core §5.4), as far as we know them. */
function claimsOf(person: Person | undefined, granted: readonly string[]) {
  if (person === undefined) return {};
  const profile = granted.includes('profile') && person.name !== '' ? { name: person.name } : {};
  const email =
    granted.includes('email') && person.login.includes('@')
      ? { email: person.login, email_verified: person.email_verified }
      : {};
  return { ...profile, ...email };
}

function consentForm(
  pages: Pages,
  c: Ctx,
  challenge: string,
  request: ConsentRequest,
  refused?: Refused,
): Response | Promise<Response> {
  const { client } = request;
  const name = nameOf(client);
  const person = personOf(request.context);
  const scopes = request.requested_scope.map(scopeItem);
  const body = html`${appCard(client, unverified)}
<h1>Allow <bdi>${name}</bdi> to use your account?</h1>
<p class="lead">Signed in as <strong><bdi>${harmless(
    person?.login ?? request.subject,
    255,
  )}</bdi></strong></p>
${formMessage(refused)}
<form method="post">
<input type="hidden" name="token" value="${pages.forms.issue(c, 'consent', challenge)}">
${
  scopes.length === 0
    ? html`<p>It asks for no permission beyond signing you in.</p>`
    : html`<h2 id="asks">It will be able to</h2>
<ul class="scopes" aria-labelledby="asks">${scopes}</ul>`
}
${audienceFacts(request.requested_access_token_audience)}
${destinationNotice(request)}
<div class="actions armed">
<button id="accept" class="primary" type="submit" name="action" value="accept">Allow</button>
<button id="deny" type="submit" name="action" value="deny">Do not allow</button>
</div>
</form>
${appLinks(client)}`;
  return answerPage(c, formPage(`Allow ${name}?`, refused, body));
}

const unverified = html`<span class="badge">Unverified publisher</span>`;

function scopeItem(scope: string): Markup {
  const required = isRequiredScope(scope);
  const text = describeScope(scope);
  const id = `scope-${scope}`;
  const label =
    text === undefined
      ? html`<code>${scope}</code><small>A permission that has no description here.</small>`
      : html`${text.title}<small>${text.detail}</small>`;
  const disabled = required ? html` disabled` : '';
  return html`<li class="scope"><input id="${id}" name="scope" value="${scope}" type="checkbox"
checked${disabled}><label for="${id}">${label}</label></li>`;
}

function audienceFacts(audience: readonly string[]): Markup | '' {
  if (audience.length === 0) return '';
  const items = audience.map((resource) => html`<li class="scope"><code>${resource}</code></li>`);
  return html`<h2 id="at">At these services</h2>
<ul class="scopes" aria-labelledby="at">${items}</ul>`;
}

/** Where the answer goes: the one thing here that the app cannot make up (security 42). */
function destinationNotice(request: ConsentRequest): Markup {
  const destination = destinationOf(redirectUriOf(request));
  if (destination === undefined) return html``;
  const where = html`<strong id="redirect-host"><bdi>${destination.text}</bdi></strong>`;
  const sentence = {
    host: html`You will be sent to ${where}. We have not checked who is behind this app: continue
only if you know it.`,
    loopback: html`You will be sent to a program on this device (${where}). We have not checked who
is behind it: continue only if you have just started it yourself.`,
    app: html`You will be sent to an app on this device (${where}). We have not checked who is
behind it: continue only if you have just used it yourself.`,
  }[destination.kind];
  return html`<h2>Then</h2><p class="notice">${sentence}</p>`;
}

const repeatable = new Set(['resource', 'audience']);

/** The redirect URI of the request, or the only one that is registered (RFC 6749 §3.1.2.3). */
function redirectUriOf(request: ConsentRequest): string {
  const { request_url } = request;
  const at = request_url.indexOf('?');
  // Read by the very parser that the engine verified it with, or the person could be shown another.
  const form = parseForm(at < 0 ? '' : request_url.slice(at + 1), repeatable);
  if (isRefusal(form)) return '';
  return form.get('redirect_uri') ?? request.client.redirect_uris[0] ?? '';
}
