import { audienceCountMax, scopeCountMax } from '#server/http/handshake/consent.ts';
import { wordCharsMax } from '#server/http/handshake/input.ts';
import {
  acrCharsMax,
  amrCountMax,
  idpSessionIdCharsMax,
  rememberSecondsMax,
  subjectCharsMax,
} from '#server/http/handshake/login.ts';
import { rejectionCharsMax } from '#server/http/handshake/rejection.ts';
import { named, type Schema, text } from './operation.ts';

const strings: Schema = { type: 'array', items: { type: 'string' } };
const word: Schema = { type: 'string', pattern: '^[^\\s]+$', maxLength: wordCharsMax };
const anything: Schema = { description: 'Any JSON value.' };
const rememberFor: Schema = {
  type: 'integer',
  minimum: 0,
  description: `Seconds; 0: as long as may be. More than ${rememberSecondsMax} is cut to it.`,
};

const sessionClaims: Schema = {
  type: 'object',
  description: 'Claims of this consent.',
  properties: {
    id_token: { type: 'object', description: 'For the ID token and userinfo.' },
    access_token: { type: 'object', description: 'For introspection and JWTs, as `ext`.' },
  },
};

const oidcContext: Schema = {
  type: 'object',
  properties: {
    acr_values: strings,
    display: { type: 'string' },
    id_token_hint_claims: { type: 'object' },
    login_hint: { type: 'string' },
    ui_locales: strings,
  },
};

const asked: Readonly<Record<string, Schema>> = {
  challenge: { type: 'string' },
  client: named('oAuth2Client'),
  oidc_context: oidcContext,
  request_url: { type: 'string' },
  requested_access_token_audience: strings,
  requested_scope: strings,
  skip: { type: 'boolean' },
  subject: { type: 'string' },
};

/** What goes between the engine and login, consent and logout apps, as Hydra has it. */
export const handshakeSchemas: Readonly<Record<string, Schema>> = {
  oAuth2RedirectTo: {
    type: 'object',
    required: ['redirect_to'],
    properties: { redirect_to: { type: 'string' } },
  },
  oAuth2LoginRequest: {
    type: 'object',
    required: ['challenge', 'skip', 'subject', 'client', 'request_url'],
    properties: { ...asked, session_id: { type: 'string' } },
  },
  acceptOAuth2LoginRequest: {
    type: 'object',
    required: ['subject'],
    properties: {
      subject: { type: 'string', minLength: 1, maxLength: subjectCharsMax },
      remember: { type: 'boolean' },
      remember_for: rememberFor,
      extend_session_lifespan: { type: 'boolean' },
      identity_provider_session_id: text(idpSessionIdCharsMax),
      acr: text(acrCharsMax),
      amr: { type: 'array', maxItems: amrCountMax, items: word },
      context: anything,
      force_subject_identifier: text(subjectCharsMax),
    },
  },
  oAuth2ConsentRequest: {
    type: 'object',
    required: ['challenge'],
    properties: {
      ...asked,
      acr: { type: 'string' },
      amr: strings,
      consent_request_id: { type: 'string' },
      context: anything,
      login_challenge: { type: 'string' },
      login_session_id: { type: 'string' },
    },
  },
  acceptOAuth2ConsentRequest: {
    type: 'object',
    properties: {
      grant_scope: { type: 'array', maxItems: scopeCountMax, items: word },
      grant_access_token_audience: { type: 'array', maxItems: audienceCountMax, items: word },
      remember: { type: 'boolean' },
      remember_for: rememberFor,
      session: sessionClaims,
      context: anything,
    },
  },
  rejectOAuth2Request: {
    type: 'object',
    properties: {
      error: text(rejectionCharsMax),
      error_description: text(rejectionCharsMax),
      error_hint: text(rejectionCharsMax),
      error_debug: { type: 'string', description: 'Ignored.' },
      status_code: { type: 'integer', description: 'Ignored.' },
    },
  },
  oAuth2LogoutRequest: {
    type: 'object',
    required: ['challenge', 'subject', 'sid', 'request_url', 'rp_initiated'],
    properties: {
      challenge: { type: 'string' },
      subject: { type: 'string' },
      sid: { type: 'string' },
      request_url: { type: 'string' },
      rp_initiated: { type: 'boolean' },
      client: named('oAuth2Client'),
      requested_at: { type: 'string', format: 'date-time' },
      expires_at: { type: 'string', format: 'date-time' },
    },
  },
  oAuth2ConsentSession: {
    type: 'object',
    required: ['consent_request_id', 'consent_request', 'grant_scope', 'handled_at', 'grant_id'],
    properties: {
      consent_request_id: { type: 'string' },
      consent_request: named('oAuth2ConsentRequest'),
      grant_scope: strings,
      grant_access_token_audience: strings,
      remember: { type: 'boolean' },
      remember_for: { type: 'integer' },
      handled_at: { type: 'string', format: 'date-time' },
      session: sessionClaims,
      context: anything,
      grant_id: { type: 'string', description: 'What POST /admin/revocations takes as `grant`.' },
    },
  },
  oAuth2ConsentSessions: { type: 'array', items: named('oAuth2ConsentSession') },
};
