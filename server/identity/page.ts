import { html, raw } from 'hono/html';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Ctx } from '#server/http/frame/answer.ts';
import { style, styleHash } from './style.ts';

/** Escaped HTML, as the `html` template makes it. */
export type Markup = ReturnType<typeof html>;

/** One page: what is in its title and in `<main>`. */
export interface Page {
  readonly title: string;
  readonly body: Markup;
  readonly status?: number;
  readonly retryAfterSeconds?: number;
  /** True for pages that are a step of an authorization, see {@link securityHeaders}. */
  readonly flow?: boolean;
}

/**
 * The headers of every page. No script, no image, no frame, nothing from elsewhere.
 *
 * Two things are left out on the steps of an authorization, on purpose (docs/decisions/pages.md).
 * `form-action`: Chromium applies it to every redirect after a form's POST, and such a chain ends
 * at the app's redirect URI and goes on from there to wherever the app sends it. Cross-Origin-
 * Opener-Policy: it would cut off an app that opened the page in a pop-up and waits for its answer.
 */
function securityHeaders(flow: boolean): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    `style-src ${styleHash}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
    ...(flow ? [] : ["form-action 'none'"]),
  ];
  return {
    'content-security-policy': policy.join('; '),
    'x-frame-options': 'DENY',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=()',
    'cache-control': 'no-store',
    pragma: 'no-cache',
    ...(flow ? {} : { 'cross-origin-opener-policy': 'same-origin' }),
  };
}

const styleElement = raw(`<style>${style}</style>`);

/** Answers with a page, in English whatever `ui_locales` asks for: we write no other language. */
export function answerPage(c: Ctx, page: Page): Response | Promise<Response> {
  for (const [name, value] of Object.entries(securityHeaders(page.flow ?? false))) {
    c.header(name, value);
  }
  if (page.retryAfterSeconds !== undefined) {
    c.header('retry-after', String(page.retryAfterSeconds));
  }
  const markup = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${page.title}</title>
${styleElement}
</head>
<body>
<main>
${page.body}
</main>
</body>
</html>
`;
  // The refusal table writes its statuses as numbers; all of them are ones that carry a body.
  return c.html(markup, (page.status ?? 200) as ContentfulStatusCode);
}

/** Sends the browser on. 303: a POST is never replayed at the other end (RFC 9700 §4.12). */
export function seeOther(c: Ctx, location: string): Response {
  c.header('cache-control', 'no-store');
  c.header('referrer-policy', 'no-referrer');
  return c.redirect(location, 303);
}

/** Why a form is shown again, and what stays filled in: never a password. */
export interface Refused {
  readonly status: number;
  readonly message: string;
  readonly retryAfterSeconds?: number;
}

/** A page with a form, which is a step of an authorization; `refused`: it is shown again. */
export function formPage(title: string, refused: Refused | undefined, body: Markup): Page {
  if (refused === undefined) return { flow: true, title, body };
  const { status, retryAfterSeconds } = refused;
  const again = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  return { flow: true, title: `Error: ${title}`, status, ...again, body };
}

/** The message at the top of a form that was refused; inputs point to it by `aria-describedby`. */
export function formMessage(refused: Refused | undefined): Markup {
  return refused === undefined
    ? html``
    : html`<p class="message" id="message" role="alert">${refused.message}</p>`;
}
