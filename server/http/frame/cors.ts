import type { Hono } from 'hono';
import type { Client } from '#core/client.ts';
import type { Config } from '#server/config/config.ts';
import { type Ctx, type Env, json, requestHeader } from './answer.ts';
import { addHeader } from './frame.ts';

/** How long a browser may remember a preflight. */
const preflightSeconds = 600;

/** Headers of public documents: discovery and JWKS may be read from any page. */
export const openToAll = { 'access-control-allow-origin': '*' } as const;

/**
 * Answers preflights. For public documents any origin may read. For `paths` that take a client or a
 * token (token, userinfo, revocation) a preflight cannot know the client, so the origin is
 * reflected, without credentials: it lets the browser send the request, which any program could
 * send anyway. Whether the page may read the answer is decided on the answer, by
 * {@link permitOrigin}, for the client that was identified.
 */
export function addPreflights(
  app: Hono<Env>,
  paths: { readonly open: readonly string[]; readonly byClient: readonly string[] },
): void {
  for (const path of paths.open) app.options(path, () => preflight('*', 'GET'));
  for (const path of paths.byClient) {
    app.options(path, (c) => {
      const origin = requestHeader(c, 'origin');
      return origin === undefined
        ? preflight(undefined, 'GET, POST')
        : preflight(origin, 'GET, POST');
    });
  }
}

/**
 * Lets the page that called read this answer, when its origin is in the deployment's list or among
 * the client's `allowed_cors_origins`. Call it once without client at entry, so that a refusal can
 * be read too, and again when the client is known. Cookies are never involved.
 */
export function permitOrigin(c: Ctx, config: Config, client?: Client): void {
  const origin = requestHeader(c, 'origin');
  if (origin === undefined) return;
  addHeader(c, 'vary', 'origin');
  const allowed =
    config.corsOrigins.includes(origin) || client?.allowedCorsOrigins.includes(origin);
  if (allowed === true) {
    addHeader(c, 'access-control-allow-origin', origin);
    addHeader(c, 'access-control-expose-headers', 'www-authenticate, retry-after, x-request-id');
  }
}

function preflight(origin: string | undefined, methods: string): Response {
  const allowed: Record<string, string> =
    origin === undefined ? {} : { 'access-control-allow-origin': origin };
  return json(
    200,
    {},
    {
      ...allowed,
      'access-control-allow-methods': methods,
      'access-control-allow-headers': 'authorization, content-type, dpop',
      'access-control-max-age': String(preflightSeconds),
      vary: 'origin',
    },
  );
}
