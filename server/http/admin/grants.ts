import { Hono } from 'hono';
import { decideNarrowing } from '#core/narrowing.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { parseScope } from '#core/scope.ts';
import type { Engine } from '#server/engine.ts';
import { type Ctx, type Env, json, refusalAnswer } from '#server/http/frame/answer.ts';
import { readJson } from '#server/http/frame/body.ts';
import { narrowGrant, readGrant } from '#server/store/narrowing.ts';
import { readInput } from '../handshake/input.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const scopeCharsMax = 32_000;
const reasonCharsMax = 500;
const namesMax = 100;
/** Names that one grant may lose in its life, counted once each: its row stays bounded. */
const lostMax = 400;

/**
 * `POST /admin/grants/{id}/narrow {scope?, audience?, reason?}`: what remains of a grant. Access
 * tokens made before are dead on every node when it answers, and a refresh gives what is left.
 */
export function grantAdminRoutes(engine: Engine): Hono<Env> {
  return new Hono<Env>().post('/admin/grants/:id/narrow', async (c) => {
    const answer = await narrow(engine, c);
    return isRefusal(answer) ? refusalAnswer(answer, { admin: true }) : json(200, answer);
  });
}

async function narrow(engine: Engine, c: Ctx): Promise<object | Refusal> {
  const read = await readJson(c);
  if (isRefusal(read)) return read;
  const input = readInput(read.body);
  const scopeText = input.text('scope', scopeCharsMax);
  const audience = input.textList('audience', namesMax);
  const reason = input.text('reason', reasonCharsMax) || 'narrowed_by_admin';
  const fault = input.fault();
  if (fault !== undefined) return fault;
  const scope = scopeText === undefined ? undefined : parseScope(scopeText);
  if (isRefusal(scope)) return scope;
  const id = (c.req.param('id') ?? '').toLowerCase();
  const grant = uuid.test(id) ? await readGrant(engine.database, id) : undefined;
  if (grant === undefined) return refuse('not_found', 'No living grant has this id.');
  const decision = decideNarrowing(grant, { scope, audience });
  if (isRefusal(decision)) return decision;
  if (decision === 'narrow' && grant.lostCount >= lostMax) {
    const hint = `This grant was narrowed too often (${lostMax} names): revoke it instead.`;
    return refuse('malformed_request', hint);
  }
  const left =
    decision === 'unchanged'
      ? grant
      : await narrowGrant(engine.database, id, {
          scope: scope ?? null,
          audience: audience ?? null,
          reason,
        });
  if (left === undefined) return refuse('not_found', 'The grant was revoked meanwhile.');
  c.set('audited', { reason, detail: { version: left.version, scope: left.scope } });
  // Also where nothing changed: whoever repeats a request may not be told before it holds.
  await engine.feed.acknowledged();
  engine.log.info('grant_narrowed', { grant: id, version: left.version });
  return { grant: id, version: left.version, scope: left.scope.join(' '), audience: left.audience };
}
