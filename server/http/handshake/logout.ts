import { Hono } from 'hono';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { baseUrl } from '#server/config/config.ts';
import type { Engine } from '#server/engine.ts';
import { openLogout, sealLogout } from '#server/http/authorization/logout.ts';
import { type Ctx, type Env, noStore, refusalAnswer } from '#server/http/frame/answer.ts';
import { isTombstone, putTombstone } from '#server/store/flow-reference.ts';
import { answer } from './answer.ts';
import { readChallenge } from './challenge.ts';

/** Hydra's logout handshake: read, accept or reject a `logout_challenge`. */
export function logoutHandshakeRoutes(engine: Engine): Hono<Env> {
  const base = '/admin/oauth2/auth/requests/logout';
  return new Hono<Env>()
    .get(base, (c) => answer(show(engine, c)))
    .put(`${base}/accept`, (c) => answer(accept(engine, c)))
    .put(`${base}/reject`, async (c) => {
      const refusal = await reject(engine, c);
      if (refusal !== undefined) return refusalAnswer(refusal, { admin: true });
      return new Response(null, { status: 204, headers: noStore });
    });
}

async function show(engine: Engine, c: Ctx): Promise<object | Refusal> {
  const opened = await openChallenge(engine, c);
  if (isRefusal(opened)) return opened;
  const { flow, challenge } = opened;
  const client = flow.clientId === '' ? undefined : await engine.clients.get(flow.clientId);
  return {
    challenge,
    subject: flow.subject,
    sid: flow.sessionId,
    request_url: `${baseUrl(engine.config)}/oauth2/sessions/logout?${flow.query}`,
    rp_initiated: flow.rpInitiated,
    ...(client === undefined ? {} : { client: client.metadata }),
    requested_at: new Date(flow.requestedAt * 1000).toISOString(),
    expires_at: new Date(flow.expiresAt * 1000).toISOString(),
  };
}

async function accept(engine: Engine, c: Ctx): Promise<object | Refusal> {
  const opened = await openChallenge(engine, c);
  if (isRefusal(opened)) return opened;
  const verifier = await sealLogout(engine, opened.ring, 'logout_verifier', opened.flow);
  const base = baseUrl(engine.config);
  return { redirect_to: `${base}/oauth2/sessions/logout?logout_verifier=${verifier}` };
}

/** What was rejected stays rejected: a row says so until the challenge has expired. */
async function reject(engine: Engine, c: Ctx): Promise<Refusal | undefined> {
  const opened = await openChallenge(engine, c);
  if (isRefusal(opened)) return opened;
  await putTombstone(engine.database, opened.flow.id, engine.config.flowSeconds);
  return undefined;
}

async function openChallenge(engine: Engine, c: Ctx) {
  const read = await readChallenge(engine, c, 'logout_challenge');
  if (isRefusal(read)) return read;
  const flow = await openLogout(engine, read.ring, 'logout_challenge', read.challenge);
  if (isRefusal(flow)) return flow;
  if (await isTombstone(engine.database, flow.id)) {
    return refuse('challenge_unknown', 'This logout request was rejected.');
  }
  return { flow, ...read };
}
