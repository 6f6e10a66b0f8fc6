import { Hono } from 'hono';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { authenticateCaller } from '#server/http/caller.ts';
import { type Ctx, type Env, json, refusalAnswer } from '#server/http/frame/answer.ts';
import { formBytesMax, readForm } from '#server/http/frame/body.ts';
import { permitOrigin } from '#server/http/frame/cors.ts';
import { grantClientCredentials } from './client-credentials.ts';
import { redeemCode } from './redemption.ts';
import { refreshTokens } from './refreshing.ts';
import type { TokenRequest } from './token-request.ts';

type Answered = Readonly<Record<string, unknown>> | Refusal;
type Grant = (engine: Engine, request: TokenRequest) => Promise<Answered>;

/** The grants this endpoint knows (RFC 6749 §4.1.3, §6, §4.4.2). */
const grants: ReadonlyMap<string, Grant> = new Map([
  ['authorization_code', redeemCode],
  ['refresh_token', refreshTokens],
  ['client_credentials', grantClientCredentials],
]);

const repeatable = new Set(['resource', 'audience']);

/** The token endpoint (RFC 6749 §3.2). */
export function tokenRoutes(engine: Engine): Hono<Env> {
  return new Hono<Env>().post('/oauth2/token', (c) => token(engine, c));
}

async function token(engine: Engine, c: Ctx): Promise<Response> {
  permitOrigin(c, engine.config);
  const form = await readForm(c, formBytesMax, repeatable);
  if (isRefusal(form)) return refusalAnswer(form);
  await engine.feed.fresh();
  const ring = engine.keys.current();
  const caller = await authenticateCaller(engine, c, ring, form, 'token');
  if (caller instanceof Response) return caller;
  const { client, born } = caller;

  const grantType = form.get('grant_type');
  if (grantType === undefined) {
    return refused(engine, refuse('missing_parameter', 'grant_type is missing.'));
  }
  const grant = grants.get(grantType);
  if (grant === undefined) return refused(engine, refuse('unsupported_grant_type'));
  if (!client.grantTypes.has(grantType))
    return refused(engine, refuse('grant_type_not_registered'));
  const answer = await grant(engine, { c, ring, form, client, born });
  return isRefusal(answer) ? refused(engine, answer) : json(200, answer);
}

function refused(engine: Engine, refusal: Refusal): Response {
  engine.metrics.refused('token', refusal.refused);
  return refusalAnswer(refusal);
}
