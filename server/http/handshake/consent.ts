import { Hono } from 'hono';
import { requestedAudience } from '#core/authorization-request.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { claimsText, claimsTextCharsMax } from '#server/http/authorization/code.ts';
import { sealFlow } from '#server/http/authorization/flow.ts';
import type { Ctx, Env } from '#server/http/frame/answer.ts';
import { readJson } from '#server/http/frame/body.ts';
import type { Node } from '#server/node.ts';
import type { ConsentDecision, Flow } from '#tokens/flow.ts';
import { answer } from './answer.ts';
import { goOn, openChallenge } from './challenge.ts';
import { type Input, readInput } from './input.ts';
import { rememberSecondsMax } from './login.ts';
import { readRejection } from './rejection.ts';
import { type FlowView, oidcContext, requestUrl, viewFlow } from './request-view.ts';

/** Session claims of one consent, as JSON text; over 4 KiB they travel by reference. */
const claimsCharsMax = 32_000;
/**
 * Claims of both kinds and context together, in bytes: with the longest request and login they must
 * still fit into one seal (256 KiB).
 */
const togetherBytesMax = 131_072;
export const scopeCountMax = 100;
/** 20 by `audience` and 20 by `resource`: what may be asked for may be granted. */
export const audienceCountMax = 40;

/** Hydra's consent handshake: read, accept or reject a `consent_challenge`. */
export function consentHandshakeRoutes(node: Node): Hono<Env> {
  const base = '/admin/oauth2/auth/requests/consent';
  return new Hono<Env>()
    .get(base, (c) => answer(show(node, c)))
    .put(`${base}/accept`, (c) => answer(accept(node, c)))
    .put(`${base}/reject`, (c) => answer(reject(node, c)));
}

async function show(node: Node, c: Ctx): Promise<object | Refusal> {
  const opened = await openConsent(node, c);
  if (isRefusal(opened)) return opened;
  const { flow, session, challenge, ring } = opened;
  const view = await viewFlow(node, flow);
  if (isRefusal(view)) return view;
  // The login challenge is not carried along; one sealed anew reads the same. It keeps the login
  // that was made, so that it cannot be accepted for somebody else.
  const login = { ...flow, context: undefined, forcedSubject: undefined };
  return {
    challenge,
    consent_request_id: flow.id,
    requested_scope: view.request.scope,
    requested_access_token_audience: requestedAudience(view.request),
    skip: flow.rememberedBorn !== undefined,
    subject: session.subject,
    oidc_context: oidcContext(node, ring, view.request),
    client: view.client.metadata,
    request_url: requestUrl(node, flow.query),
    login_challenge: await sealFlow(node, ring, 'login_challenge', login),
    login_session_id: session.id,
    acr: session.acr,
    amr: session.amr,
    ...(flow.context === undefined ? {} : { context: JSON.parse(flow.context) }),
  };
}

async function accept(node: Node, c: Ctx): Promise<object | Refusal> {
  const opened = await openConsent(node, c);
  if (isRefusal(opened)) return opened;
  const { flow, ring } = opened;
  const view = await viewFlow(node, flow);
  if (isRefusal(view)) return view;
  const read = await readJson(c);
  if (isRefusal(read)) return read;
  const input = readInput(read.body);
  const granted = readGranted(input, view);
  const context = input.json('context', claimsCharsMax);
  const fault = input.fault() ?? exceeds(granted, view) ?? oversized(flow, granted, context);
  if (fault !== undefined) return fault;
  // A skipped consent is as old as the grant it repeats (hot path 6).
  const grantBorn = flow.rememberedBorn ?? (await node.feed.born());
  // What is remembered keeps its end: a consent that was skipped does not prolong itself.
  const remember = granted.remember && flow.rememberedBorn === undefined;
  const consent: ConsentDecision = { ...granted, remember, grantBorn };
  const next: Flow = { ...flow, consent, context: context ?? flow.context };
  return goOn(node, ring, 'consent_verifier', next);
}

function readGranted(input: Input, view: FlowView): Omit<ConsentDecision, 'grantBorn'> {
  const session = input.object('session');
  return {
    scope: input.textList('grant_scope', scopeCountMax) ?? [],
    // Without a word on audiences, what was asked is what was consented to: nothing is widened.
    audience: input.textList('grant_access_token_audience', audienceCountMax) ?? [
      ...view.request.resource,
    ],
    remember: input.flag('remember'),
    rememberSeconds: input.seconds('remember_for', rememberSecondsMax),
    idTokenClaims: objectText(session, 'id_token'),
    accessTokenClaims: objectText(session, 'access_token'),
  };
}

/** Claims as JSON text; an empty object is none. */
function objectText(session: Input | undefined, name: string): string | undefined {
  const text = session?.json(name, claimsCharsMax);
  if (text === undefined || text === '{}') return undefined;
  if (!text.startsWith('{')) {
    session?.object(name);
    return undefined;
  }
  return text;
}

/** What each field may hold, all of them together may not. */
function oversized(
  flow: Flow,
  granted: Omit<ConsentDecision, 'grantBorn'>,
  context: string | undefined,
): Refusal | undefined {
  const texts = [granted.idTokenClaims, granted.accessTokenClaims, context];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text ?? ''), 0);
  const kept = claimsText(flow, granted)?.length ?? 0;
  if (bytes <= togetherBytesMax && kept <= claimsTextCharsMax) return undefined;
  const most = `${togetherBytesMax} bytes, and session claims ${claimsTextCharsMax} characters`;
  return refuse('malformed_request', `session and context have at most ${most} together.`);
}

/** A consent app can narrow what was asked, not widen it. */
function exceeds(granted: Omit<ConsentDecision, 'grantBorn'>, view: FlowView): Refusal | undefined {
  const scope = granted.scope.find((one) => !view.request.scope.includes(one));
  if (scope !== undefined) {
    return refuse('malformed_request', `grant_scope has "${scope}", which was not requested.`);
  }
  const asked = requestedAudience(view.request);
  const audience = granted.audience.find((one) => !asked.includes(one));
  if (audience === undefined) return undefined;
  return refuse(
    'malformed_request',
    `grant_access_token_audience has "${audience}", which was not requested.`,
  );
}

async function reject(node: Node, c: Ctx): Promise<object | Refusal> {
  const opened = await openConsent(node, c);
  if (isRefusal(opened)) return opened;
  const rejection = await readRejection(c, 'consent request denied');
  if (isRefusal(rejection)) return rejection;
  const flow = { ...opened.flow, rejection };
  return goOn(node, opened.ring, 'consent_verifier', flow);
}

async function openConsent(node: Node, c: Ctx) {
  const opened = await openChallenge(node, c, 'consent_challenge');
  if (isRefusal(opened)) return opened;
  const { session } = opened.flow;
  return session === undefined ? refuse('challenge_unknown') : { ...opened, session };
}
