import { Hono } from 'hono';
import { requestedAudience } from '#core/authorization-request.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import type { Ctx, Env } from '#server/http/frame/answer.ts';
import { readJson } from '#server/http/frame/body.ts';
import type { Node } from '#server/node.ts';
import type { Flow, FlowSession, LoginDecision } from '#tokens/flow.ts';
import { answer } from './answer.ts';
import { goOn, openChallenge } from './challenge.ts';
import { readInput } from './input.ts';
import { readRejection } from './rejection.ts';
import { oidcContext, requestUrl, viewFlow } from './request-view.ts';

export const subjectCharsMax = 255;
/** 400 days: browsers keep no cookie longer. */
export const rememberSecondsMax = 400 * 86_400;
const contextCharsMax = 4096;
export const acrCharsMax = 255;
export const amrCountMax = 16;
export const idpSessionIdCharsMax = 255;

/** Hydra's login handshake: read, accept or reject a `login_challenge`. Challenges are stateless. */
export function loginHandshakeRoutes(node: Node): Hono<Env> {
  const base = '/admin/oauth2/auth/requests/login';
  return new Hono<Env>()
    .get(base, (c) => answer(show(node, c)))
    .put(`${base}/accept`, (c) => answer(accept(node, c)))
    .put(`${base}/reject`, (c) => answer(reject(node, c)));
}

async function show(node: Node, c: Ctx): Promise<object | Refusal> {
  const opened = await openChallenge(node, c, 'login_challenge');
  if (isRefusal(opened)) return opened;
  const { flow, challenge, ring } = opened;
  const view = await viewFlow(node, flow);
  if (isRefusal(view)) return view;
  return {
    challenge,
    requested_scope: view.request.scope,
    requested_access_token_audience: requestedAudience(view.request),
    // A login of this very flow is what the challenge in a consent request shows afterwards.
    skip: flow.session !== undefined && flow.session.id !== flow.id,
    subject: flow.session?.subject ?? '',
    oidc_context: oidcContext(node, ring, view.request),
    client: view.client.metadata,
    request_url: requestUrl(node, flow.query),
    session_id: flow.session?.id ?? flow.id,
  };
}

async function accept(node: Node, c: Ctx): Promise<object | Refusal> {
  const opened = await openChallenge(node, c, 'login_challenge');
  if (isRefusal(opened)) return opened;
  const { flow, ring } = opened;
  const read = await readJson(c);
  if (isRefusal(read)) return read;
  const input = readInput(read.body);
  const subject = input.text('subject', subjectCharsMax) ?? '';
  const decision = {
    remember: input.flag('remember'),
    rememberSeconds: input.seconds('remember_for', rememberSecondsMax),
    extend: input.flag('extend_session_lifespan'),
    idpSessionId: input.text('identity_provider_session_id', idpSessionIdCharsMax) || undefined,
  };
  const acr = input.text('acr', acrCharsMax) ?? '';
  const amr = input.textList('amr', amrCountMax) ?? [];
  const context = input.json('context', contextCharsMax);
  const forcedSubject = input.text('force_subject_identifier', subjectCharsMax) || undefined;
  const fault = input.fault() ?? subjectFault(flow, subject);
  if (fault !== undefined) return fault;

  // What was born before a revocation that is reported already must not be killed by it, and what
  // comes after must be: so the newest fact is asked for after this request arrived.
  const loginBorn = await node.feed.born();
  const session: FlowSession = flow.session ?? {
    id: flow.id,
    subject,
    loginBorn,
    authenticatedAt: Math.floor(node.feed.nowMs() / 1000),
    acr,
    amr,
  };
  const login: LoginDecision = { session, skipped: flow.session !== undefined, ...decision };
  const decided = { ...flow, session: undefined, login, context, forcedSubject };
  return goOn(node, ring, 'login_verifier', decided);
}

function subjectFault(flow: Flow, subject: string): Refusal | undefined {
  if (subject === '') return refuse('malformed_request', 'subject is missing or empty.');
  if (flow.session !== undefined && flow.session.subject !== subject) {
    return refuse('malformed_request', 'subject must be that of the challenge where skip is true.');
  }
  return undefined;
}

async function reject(node: Node, c: Ctx): Promise<object | Refusal> {
  const opened = await openChallenge(node, c, 'login_challenge');
  if (isRefusal(opened)) return opened;
  const rejection = await readRejection(c, 'login request denied');
  if (isRefusal(rejection)) return rejection;
  const flow = { ...opened.flow, session: undefined, rejection };
  return goOn(node, opened.ring, 'login_verifier', flow);
}
