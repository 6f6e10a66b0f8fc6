import { Hono } from 'hono';
import type { Env } from '#server/http/frame/answer.ts';
import { openToAll } from '#server/http/frame/cors.ts';
import { describeApi } from './document.ts';

/** A browser or a generator may keep the description this long; it changes with a release. */
const descriptionSeconds = 300;

/** `GET /.well-known/openapi.json`: this very description. It holds nothing secret and is open. */
export function descriptionRoutes(): Hono<Env> {
  let text: string | undefined;
  return new Hono<Env>().get('/.well-known/openapi.json', () => {
    text ??= JSON.stringify(describeApi());
    return new Response(text, {
      headers: {
        'content-type': 'application/json',
        'cache-control': `public, max-age=${descriptionSeconds}`,
        ...openToAll,
      },
    });
  });
}
