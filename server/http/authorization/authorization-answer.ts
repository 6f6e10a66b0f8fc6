import type { VerifiedRedirect } from '#core/authorization-request.ts';
import { type Refusal, refusals } from '#core/refusal.ts';
import { noStore, printable } from '#server/http/frame/answer.ts';
import type { Node } from '#server/node.ts';

/** 303, never 307: a redirect must not replay a POST (RFC 9700 §4.12). */
export function redirectTo(location: string, cookies: readonly string[] = []): Response {
  const [cookie, ...others] = cookies;
  const fixed = { location, ...noStore };
  const plain = cookie === undefined ? fixed : { ...fixed, 'set-cookie': cookie };
  // Plain members are written as they are; a Headers costs 5 us more, and only it repeats a name.
  if (others.length === 0) return new Response(null, { status: 303, headers: plain });
  const headers = new Headers(plain);
  for (const other of others) headers.append('set-cookie', other);
  return new Response(null, { status: 303, headers });
}

/** Sends parameters to the client, with `state` and `iss` (RFC 9207), errors included. */
export function answerClient(
  node: Node,
  redirect: VerifiedRedirect,
  parameters: Readonly<Record<string, string>>,
  cookies: readonly string[] = [],
): Response {
  const { state } = redirect;
  const all = { ...parameters, ...(state === undefined ? {} : { state }), iss: node.config.issuer };
  const separator =
    redirect.responseMode === 'fragment' ? '#' : redirect.uri.includes('?') ? '&' : '?';
  return redirectTo(redirect.uri + separator + formEncoded(all), cookies);
}

/** As a form encodes (RFC 6749 appendix B); a URLSearchParams would cost 6 us more. */
function formEncoded(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(
      ([name, value]) =>
        `${name}=${encodeURIComponent(value.toWellFormed()).replaceAll('%20', '+')}`,
    )
    .join('&');
}

/** Sends a refusal to the client (RFC 6749 §4.1.2.1). */
export function refuseToClient(
  node: Node,
  redirect: VerifiedRedirect,
  refusal: Refusal,
  cookies: readonly string[] = [],
): Response {
  const { error, description } = refusals[refusal.refused];
  const error_description = printable(refusal.hint ?? description);
  return answerClient(node, redirect, { error, error_description }, cookies);
}

/** Sends what the login or consent app said to the client. */
export function rejectToClient(
  node: Node,
  redirect: VerifiedRedirect,
  rejection: { readonly error: string; readonly description: string; readonly hint: string },
): Response {
  const parameters: Record<string, string> = { error: printable(rejection.error) };
  if (rejection.description !== '') {
    parameters.error_description = printable(rejection.description);
  }
  if (rejection.hint !== '') parameters.error_hint = printable(rejection.hint);
  return answerClient(node, redirect, parameters);
}
