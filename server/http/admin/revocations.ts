import { Hono } from 'hono';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import type { Engine } from '#server/engine.ts';
import { type Ctx, type Env, json, refusalAnswer } from '#server/http/frame/answer.ts';
import { readJson } from '#server/http/frame/body.ts';
import type { NewRevocation } from '#server/store/revocation.ts';
import { isKnown } from '#server/store/standing.ts';
import { forestall } from '#server/store/withdrawal.ts';
import { readInput } from '../handshake/input.ts';
import { findToken } from '../revocation.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const targetCharsMax = 255;
const tokenCharsMax = 65_536;
/** Longest reason of a revocation, in characters. */
export const reasonCharsMax = 500;
const idKinds = ['grant', 'session', 'chain'] as const;

/**
 * `POST /admin/revocations {subject | client_id | grant | session | chain | token, reason?}`: one
 * door for every kind of fact. Answers when no node accepts any more what died; repeating is harmless.
 * `client_id` is for the roles `clients` and `all` alone. `known: false` says that there is nothing
 * by that name, so at most what was under way has died.
 */
export function revocationAdminRoutes(engine: Engine): Hono<Env> {
  return new Hono<Env>().post('/admin/revocations', async (c) => {
    const answer = await revoke(engine, c);
    return isRefusal(answer) ? refusalAnswer(answer, { admin: true }) : json(200, answer);
  });
}

async function revoke(engine: Engine, c: Ctx): Promise<object | Refusal> {
  const read = await readJson(c);
  if (isRefusal(read)) return read;
  const input = readInput(read.body);
  const reason = input.text('reason', reasonCharsMax) || 'revoked_by_admin';
  const targets = ['subject', 'client_id', ...idKinds, 'token'].flatMap((name) => {
    const value = input.text(name, name === 'token' ? tokenCharsMax : targetCharsMax);
    return value === undefined || value === '' ? [] : [{ name, value }];
  });
  const fault = input.fault();
  if (fault !== undefined) return fault;
  const [target, ...others] = targets;
  if (target === undefined || others.length > 0) {
    const hint = 'Name exactly one of subject, client_id, grant, session, chain, token.';
    return refuse('malformed_request', hint);
  }
  // A login app speaks for people; what all people let an app do is not its to end.
  if (target.name === 'client_id' && c.get('actor')?.role === 'handshake') {
    return refuse(
      'admin_forbidden',
      'The role handshake revokes no client_id: clients or all does.',
    );
  }
  const revocation = await revocationOf(engine, target.name, target.value, reason);
  if (isRefusal(revocation)) return revocation;
  const { kind } = revocation;
  c.set('audited', { target: { kind, id: revocation.target }, reason: revocation.reason });
  // What is named by its id may be under way still: then it does not begin.
  if (kind === 'chain' || kind === 'session') {
    await forestall(engine.database, kind, revocation.target);
  }
  await engine.writes.revoke(revocation);
  await engine.feed.acknowledged();
  engine.log.info('revoked', { kind: revocation.kind, reason: 'admin' });
  // A slip in an id, or a login in place of a subject, must not pass for a revocation.
  return { revoked: kind, known: await isKnown(engine.database, kind, revocation.target) };
}

async function revocationOf(
  engine: Engine,
  name: string,
  value: string,
  reason: string,
): Promise<NewRevocation | Refusal> {
  if (name === 'subject') return { kind: 'subject', target: value, reason, expiresAt: null };
  if (name === 'client_id') return { kind: 'client', target: value, reason, expiresAt: null };
  if (name === 'token') {
    await engine.feed.fresh();
    const found = await findToken(engine, engine.keys.current(), value);
    if (found === undefined) return refuse('not_found', 'This is no token of this issuer.');
    return { ...found.revocation, reason };
  }
  const kind = idKinds.find((one) => one === name);
  if (kind === undefined || !uuid.test(value)) {
    return refuse('malformed_request', `${name} must be a UUID.`);
  }
  return { kind, target: value.toLowerCase(), reason, expiresAt: null };
}
