import { type AuthorizationRequest, requestedAudience } from '#core/authorization-request.ts';
import { refuse } from '#core/refusal.ts';
import { newId } from '#server/identifiers.ts';
import { type Code, codePrefix, encodeCode } from '#tokens/code.ts';
import type { ConsentDecision, Flow, FlowSession } from '#tokens/flow.ts';
import { answerClient, refuseToClient } from './authorization-answer.ts';
import { codeSealedCharsMax, sealForUrl } from './sealed.ts';
import type { Asked, Visit } from './visit.ts';

/**
 * The consent becomes a grant (one statement), and the decision itself becomes the code, sealed:
 * nothing is written for it (hot path 2). A flow whose code was redeemed gets no second.
 */
export async function issueCode(
  visit: Visit,
  flow: Flow,
  asked: Asked,
  session: FlowSession,
  consent: ConsentDecision,
): Promise<Response> {
  const { engine, ring } = visit;
  const { client, redirect, request } = asked;
  const grant = await engine.writes.giveGrant({
    id: newId(),
    flowId: flow.id,
    subject: session.subject,
    clientId: client.clientId,
    sessionId: session.id,
    scope: consent.scope,
    audience: consent.audience,
    loginBorn: session.loginBorn,
    grantBorn: consent.grantBorn,
    remember: consent.remember,
    rememberSeconds: consent.rememberSeconds,
    skipped: flow.rememberedBorn !== undefined,
    detail: consentDetail(flow, request, session, consent),
  });
  if (grant.kind === 'redeemed') return engine.errorPage(visit.c, refuse('flow_used'));
  if (grant.kind !== 'granted') {
    const refusal = refuse('access_denied', 'Consent or login was withdrawn meanwhile.');
    return refuseToClient(engine, redirect, refusal);
  }
  const code: Code = {
    id: flow.id,
    expiresAt: Math.floor(engine.feed.nowMs() / 1000) + engine.config.codeSeconds,
    clientId: client.clientId,
    redirectUri: redirect.given,
    challenge: Buffer.from(request.codeChallenge ?? '', 'base64url'),
    scope: consent.scope,
    audience: consent.audience.filter((one) => !request.resource.includes(one)),
    resource: consent.audience.filter((one) => request.resource.includes(one)),
    subject: session.subject,
    forcedSubject: flow.forcedSubject ?? '',
    grantId: grant.id,
    grantVersion: grant.version,
    sessionId: session.id,
    loginBorn: session.loginBorn,
    grantBorn: consent.grantBorn,
    authenticatedAt: session.authenticatedAt,
    acr: session.acr,
    amr: session.amr,
    nonce: request.nonce,
    claims: claimsText(flow, consent),
  };
  const sealed = await sealForUrl(engine, ring, 'code', encodeCode(code), {
    charsMax: codeSealedCharsMax,
    lifetimeSeconds: engine.config.codeSeconds,
  });
  return answerClient(engine, redirect, {
    code: codePrefix + sealed,
    scope: consent.scope.join(' '),
  });
}

/** What the consent listing shows later (Hydra's oAuth2ConsentSession). */
function consentDetail(
  flow: Flow,
  request: AuthorizationRequest,
  session: FlowSession,
  consent: ConsentDecision,
): Readonly<Record<string, unknown>> {
  return {
    query: flow.query,
    scope: request.scope,
    audience: requestedAudience(request),
    acr: session.acr,
    amr: session.amr,
    context: flow.context,
    id_token: consent.idTokenClaims,
    access_token: consent.accessTokenClaims,
  };
}

/** Most characters of {@link claimsText} that a chain's row takes. */
export const claimsTextCharsMax = 65_536;

/** What the chain keeps of the login app's claims; undefined in the ordinary case. */
export function claimsText(
  flow: Pick<Flow, 'forcedSubject'>,
  consent: Pick<ConsentDecision, 'idTokenClaims' | 'accessTokenClaims'>,
): string | undefined {
  const { idTokenClaims, accessTokenClaims } = consent;
  const forced = flow.forcedSubject;
  if (idTokenClaims === undefined && accessTokenClaims === undefined && forced === undefined) {
    return undefined;
  }
  const members = [
    idTokenClaims === undefined ? undefined : `"id_token":${idTokenClaims}`,
    accessTokenClaims === undefined ? undefined : `"access_token":${accessTokenClaims}`,
    forced === undefined ? undefined : `"forced_subject":${JSON.stringify(forced)}`,
  ];
  return `{${members.filter((member) => member !== undefined).join(',')}}`;
}
