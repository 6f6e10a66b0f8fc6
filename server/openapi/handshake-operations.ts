import { clientIdCharsMax } from '#core/client-field.ts';
import type { RefusalReason } from '#core/refusal.ts';
import { pageSizeDefault, pageSizeMax } from '#server/http/admin/page.ts';
import { answers, named, nothing, type Operation, type Parameter, text } from './operation.ts';

/** Paging of admin listings, as Hydra has it. */
export const paging: readonly Parameter[] = [
  {
    name: 'page_size',
    about: 'Entries on a page; more than the most is cut to it.',
    schema: { type: 'integer', minimum: 1, maximum: pageSizeMax, default: pageSizeDefault },
  },
  {
    name: 'page_token',
    about: 'From the `Link` header of the page before.',
    schema: { type: 'string' },
  },
];

/** The header that leads to the next page. */
export const linkHeader = { link: 'The first and the next page (RFC 8288).' } as const;

const goesOn = answers(200, 'Where to send the browser.', named('oAuth2RedirectTo'), {
  redirect_to: 'https://auth.example/oauth2/auth?login_verifier=…',
});

/** What a client or a request may turn out to be by the time a challenge is looked at. */
const changedSince: readonly RefusalReason[] = [
  'scope_malformed',
  'scope_not_allowed',
  'resource_invalid',
  'invalid_parameter',
  'response_type_not_registered',
  'pkce_missing',
  'nonce_missing',
];

interface Step {
  readonly name: 'login' | 'consent' | 'logout';
  /** The word in Hydra's operation ids. */
  readonly word: string;
  readonly accepts: Operation['body'];
}

const reject: NonNullable<Operation['body']> = {
  kind: 'json',
  optional: true,
  schema: named('rejectOAuth2Request'),
  example: { error: 'access_denied', error_description: 'The person declined.' },
};

/** The three doors of a step: read, accept, reject its challenge. */
function step({ name, word, accepts }: Step): readonly Operation[] {
  const base = `/admin/oauth2/auth/requests/${name}`;
  const challenge: Parameter = {
    name: `${name}_challenge`,
    about: `From the redirect to the ${name} app.`,
    schema: { type: 'string' },
    required: true,
  };
  const all = {
    listener: 'admin',
    tag: 'oAuth2',
    caller: 'administrator',
    query: [challenge],
  } as const;
  const refusals: readonly RefusalReason[] = ['missing_parameter', 'challenge_unknown'];
  const isLogout = name === 'logout';
  return [
    {
      ...all,
      method: 'get',
      path: base,
      id: `getOAuth2${word}Request`,
      summary: `What is asked in this ${name}`,
      answers: [answers(200, 'The request.', named(`oAuth2${word}Request`))],
      refusals: isLogout ? refusals : [...refusals, ...changedSince],
    },
    {
      ...all,
      method: 'put',
      path: `${base}/accept`,
      id: `acceptOAuth2${word}Request`,
      summary: `Accept the ${name}`,
      ...(accepts === undefined ? {} : { body: accepts }),
      answers: [goesOn],
      refusals: name === 'consent' ? [...refusals, ...changedSince] : refusals,
    },
    {
      ...all,
      method: 'put',
      path: `${base}/reject`,
      id: `rejectOAuth2${word}Request`,
      summary: `Refuse the ${name}`,
      ...(isLogout ? {} : { body: reject }),
      answers: [isLogout ? nothing('The challenge is dead.') : goesOn],
      refusals,
    },
  ];
}

const subject: Parameter = {
  name: 'subject',
  about: 'The person, by the name that the login app chose.',
  schema: { type: 'string' },
};

const sessions = { listener: 'admin', tag: 'oAuth2', caller: 'administrator' } as const;

/** Hydra's handshake with login, consent and logout apps, and its doors on what came of it. */
export const handshakeOperations: readonly Operation[] = [
  ...step({
    name: 'login',
    word: 'Login',
    accepts: {
      kind: 'json',
      schema: named('acceptOAuth2LoginRequest'),
      example: { subject: 'ana', remember: true, remember_for: 3600 },
    },
  }),
  ...step({
    name: 'consent',
    word: 'Consent',
    accepts: {
      kind: 'json',
      optional: true,
      schema: named('acceptOAuth2ConsentRequest'),
      example: { grant_scope: ['openid', 'notes.read'], remember: true },
    },
  }),
  ...step({ name: 'logout', word: 'Logout', accepts: undefined }),
  {
    ...sessions,
    method: 'get',
    path: '/admin/oauth2/auth/sessions/consent',
    id: 'listOAuth2ConsentSessions',
    summary: 'What a person has allowed',
    query: [
      { ...subject, required: true },
      { name: 'login_session_id', about: 'Of this login only.', schema: { type: 'string' } },
      ...paging,
    ],
    answers: [answers(200, 'One entry per app.', named('oAuth2ConsentSessions'), [], linkHeader)],
    refusals: ['malformed_request', 'missing_parameter', 'invalid_parameter'],
  },
  {
    ...sessions,
    method: 'delete',
    path: '/admin/oauth2/auth/sessions/consent',
    id: 'revokeOAuth2ConsentSessions',
    summary: 'Take back what a person has allowed',
    about:
      'Grants die with everything that was issued under them, and what was accepted before and is ' +
      'on its way back is not given. Either `consent_request_id`, or ' +
      '`subject` with `client` or with `all=true`.',
    query: [
      subject,
      { name: 'client', about: 'Of this app only.', schema: text(clientIdCharsMax) },
      {
        name: 'consent_request_id',
        about: 'The grant of this consent.',
        schema: { type: 'string' },
      },
      { name: 'all', about: 'Of all apps.', schema: { type: 'boolean' } },
    ],
    answers: [nothing('No node accepts any more what died.')],
    refusals: ['malformed_request', 'missing_parameter'],
  },
  {
    ...sessions,
    method: 'delete',
    path: '/admin/oauth2/auth/sessions/login',
    id: 'revokeOAuth2LoginSessions',
    summary: 'Sign a person out',
    about: 'Online tokens end; apps with offline access stay connected.',
    query: [subject, { name: 'sid', about: 'This session only.', schema: { type: 'string' } }],
    answers: [nothing('Signed out, on every node.')],
    refusals: ['malformed_request', 'missing_parameter'],
  },
  {
    ...sessions,
    method: 'delete',
    path: '/admin/oauth2/tokens',
    id: 'deleteOAuth2Token',
    summary: 'Revoke all tokens of a client',
    query: [
      {
        name: 'client_id',
        about: 'The client.',
        schema: { type: 'string' },
        required: true,
        example: 'my-app',
      },
    ],
    answers: [nothing('No node accepts any of them any more.')],
    refusals: ['malformed_request', 'missing_parameter'],
  },
];
