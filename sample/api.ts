import { Hono } from 'hono';
import * as oidc from 'openid-client';
import type { Provider } from './provider.ts';

const scope = 'notes.read';

/**
 * The app's own API. It believes no token by itself: for every request it asks the authorization
 * server, as a client that proves who it is (RFC 7662), so that a revoked token fails at once.
 */
export function notesApi(provider: Provider): Hono {
  const api = new Hono();
  api.get('/api/notes', async (c) => {
    const token = /^Bearer +([\w.~+/-]+=*)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    if (token === undefined) return denied(401, 'Bearer');
    const answer = await oidc.tokenIntrospection(await provider(), token);
    if (!answer.active) return denied(401, 'Bearer error="invalid_token"');
    if (!(answer.scope ?? '').split(' ').includes(scope)) {
      return denied(403, `Bearer error="insufficient_scope", scope="${scope}"`);
    }
    c.header('cache-control', 'no-store');
    return c.json({
      owner: answer.sub,
      notes: [
        { title: 'Groceries', text: 'Bread, olives, a lemon' },
        { title: 'Ideas', text: 'Water the plants by API' },
      ],
    });
  });
  return api;
}

/** RFC 6750 §3: why a request was refused, in the header that clients read. */
function denied(status: 401 | 403, challenge: string): Response {
  return new Response(null, {
    status,
    headers: { 'www-authenticate': challenge, 'cache-control': 'no-store' },
  });
}
