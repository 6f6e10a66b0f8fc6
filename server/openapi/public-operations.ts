import { clientIdCharsMax, clientUriCharsMax } from '#core/client-field.ts';
import type { RefusalReason } from '#core/refusal.ts';
import { clientSecretCharsMax } from '#tokens/secret.ts';
import { audience, authorizationQuery, resource, scope } from './authorization-parameters.ts';
import {
  answers,
  named,
  type Operation,
  type Parameter,
  page,
  redirects,
  text,
} from './operation.ts';

const verifierPattern = '^[A-Za-z0-9._~-]{43,128}$';

/** How a client may authenticate in the body; the alternative is HTTP Basic. */
const clientFields: readonly Parameter[] = [
  {
    name: 'client_id',
    about: 'The client; needed where no HTTP Basic names it.',
    schema: text(clientIdCharsMax),
  },
  {
    name: 'client_secret',
    about: 'For clients registered for `client_secret_post`.',
    schema: text(clientSecretCharsMax),
  },
];

const token: Parameter = {
  name: 'token',
  about: 'An access or refresh token of this issuer.',
  schema: { type: 'string' },
  required: true,
  example: 'gh_at_…',
};

const requestRefusals: readonly RefusalReason[] = [
  'malformed_request',
  'duplicate_parameter',
  'missing_parameter',
  'unknown_client',
  'client_disabled',
  'redirect_uri_mismatch',
  'flow_invalid',
  'flow_csrf',
  'flow_used',
  'rate_limited',
];

const authorization = {
  path: '/oauth2/auth',
  listener: 'public',
  tag: 'oAuth2',
  caller: 'anybody',
  answers: [
    redirects(
      'To the login app, to the consent app, or back to the app with `code` or `error`, ' +
        '`state` and `iss` (RFC 9207).',
    ),
  ],
  refusesByPage: true,
} as const;

const logout = {
  path: '/oauth2/sessions/logout',
  listener: 'public',
  tag: 'oidc',
  caller: 'anybody',
  answers: [redirects('To the logout app, or to where the app or the deployment wants it.')],
  refusals: [
    'malformed_request',
    'duplicate_parameter',
    'flow_invalid',
    'hint_invalid',
    'unknown_client',
    'post_logout_mismatch',
    'body_too_large',
    'rate_limited',
  ],
  refusesByPage: true,
} as const;

const logoutFields: readonly Parameter[] = [
  {
    name: 'id_token_hint',
    about: 'An ID token of the login that is to end; expired ones will do.',
    schema: { type: 'string' },
  },
  { name: 'client_id', about: 'The app, where no hint names it.', schema: text(clientIdCharsMax) },
  {
    name: 'post_logout_redirect_uri',
    about: 'Registered with the app, byte for byte.',
    schema: text(clientUriCharsMax),
  },
  { name: 'state', about: 'Comes back as it is.', schema: { type: 'string' } },
];

const userinfo = {
  path: '/userinfo',
  listener: 'public',
  tag: 'oidc',
  caller: 'token holder',
  answers: [
    {
      status: 200,
      about: 'The claims, signed where the client registered `userinfo_signed_response_alg`.',
      content: {
        'application/json': { schema: named('oidcUserInfo'), example: { sub: 'ana' } },
        'application/jwt': { schema: { type: 'string' } },
      },
    },
  ],
  refusals: ['token_missing', 'token_inactive', 'scope_insufficient', 'rate_limited'],
} as const;

const metadata = (id: string, path: string, summary: string): Operation => ({
  method: 'get',
  path,
  id,
  listener: 'public',
  tag: 'oidc',
  summary,
  caller: 'anybody',
  answers: [answers(200, 'The metadata.', named('oidcConfiguration'))],
  refusals: [],
});

/** The doors of the protocol on the public listener. */
export const publicOperations: readonly Operation[] = [
  metadata(
    'discoverOidcConfiguration',
    '/.well-known/openid-configuration',
    'OpenID Connect Discovery',
  ),
  metadata(
    'discoverAuthorizationServer',
    '/.well-known/oauth-authorization-server',
    'The same for OAuth (RFC 8414)',
  ),
  {
    method: 'get',
    path: '/.well-known/jwks.json',
    id: 'discoverJsonWebKeys',
    listener: 'public',
    tag: 'wellknown',
    summary: 'The public keys of tokens',
    caller: 'anybody',
    answers: [answers(200, 'A JWK Set (RFC 7517 §5).', named('jsonWebKeySet'))],
    refusals: [],
  },
  {
    ...authorization,
    method: 'get',
    id: 'oAuth2Authorize',
    summary: 'The authorization endpoint (RFC 6749 §3.1)',
    query: authorizationQuery,
    refusals: [...requestRefusals, 'body_too_large'],
  },
  {
    ...authorization,
    method: 'post',
    id: 'oAuth2AuthorizePost',
    summary: 'The same, for requests too large for a URL',
    body: { kind: 'form', fields: authorizationQuery },
    refusals: requestRefusals,
  },
  {
    method: 'post',
    path: '/oauth2/token',
    id: 'oauth2TokenExchange',
    listener: 'public',
    tag: 'oAuth2',
    summary: 'The token endpoint (RFC 6749 §3.2)',
    caller: 'client',
    body: {
      kind: 'form',
      fields: [
        {
          name: 'grant_type',
          about: 'What is given for tokens.',
          schema: {
            type: 'string',
            enum: ['authorization_code', 'refresh_token', 'client_credentials'],
          },
          required: true,
          example: 'client_credentials',
        },
        { name: 'code', about: 'From the redirect.', schema: { type: 'string' } },
        {
          name: 'redirect_uri',
          about: 'As in the authorization request.',
          schema: text(clientUriCharsMax),
        },
        {
          name: 'code_verifier',
          about: 'What the `code_challenge` was made from.',
          schema: { type: 'string', pattern: verifierPattern },
        },
        {
          name: 'refresh_token',
          about: 'The newest one of its family.',
          schema: { type: 'string' },
        },
        scope,
        audience,
        resource,
        ...clientFields,
      ],
    },
    answers: [
      answers(200, 'Tokens (RFC 6749 §5.1).', named('oAuth2TokenExchange'), {
        access_token: 'gh_at_…',
        expires_in: 3600,
        scope: 'notes.read',
        token_type: 'bearer',
      }),
    ],
    refusals: [
      'missing_parameter',
      'unsupported_grant_type',
      'grant_type_not_registered',
      'code_invalid',
      'code_replayed',
      'code_redirect_uri',
      'code_verifier',
      'grant_dead',
      'refresh_invalid',
      'refresh_reused',
      'scope_malformed',
      'scope_widened',
      'scope_not_allowed',
      'resource_invalid',
    ],
  },
  {
    method: 'post',
    path: '/oauth2/introspect',
    id: 'introspectOAuth2TokenAsClient',
    listener: 'public',
    tag: 'oAuth2',
    summary: 'Is this token alive? (RFC 7662)',
    about: 'A token that is neither of the caller nor for it is shown as inactive.',
    caller: 'confidential client',
    body: { kind: 'form', fields: [token, ...clientFields] },
    answers: [
      answers(
        200,
        'What the token says, or that it is inactive.',
        named('introspectedOAuth2Token'),
        {
          active: false,
        },
      ),
    ],
    refusals: ['missing_parameter'],
  },
  {
    method: 'post',
    path: '/oauth2/revoke',
    id: 'revokeOAuth2Token',
    listener: 'public',
    tag: 'oAuth2',
    summary: 'Revoke a token (RFC 7009)',
    about:
      'Answers when no node accepts the token any more. A refresh token takes its whole family ' +
      'along. Unknown tokens and those of others are answered alike, and live on.',
    caller: 'client',
    body: { kind: 'form', fields: [token, ...clientFields] },
    answers: [answers(200, 'Done, or there was nothing to do.', { type: 'object' }, {})],
    refusals: ['missing_parameter'],
  },
  { ...userinfo, method: 'get', id: 'getOidcUserInfo', summary: 'Who the token is about' },
  {
    ...userinfo,
    method: 'post',
    id: 'getOidcUserInfoPost',
    summary: 'The same by POST',
    body: {
      kind: 'form',
      optional: true,
      fields: [
        {
          name: 'access_token',
          about: 'Where no Authorization header carries it (RFC 6750 §2.2).',
          schema: { type: 'string' },
        },
      ],
    },
  },
  {
    ...logout,
    method: 'get',
    id: 'revokeOidcSession',
    summary: 'Sign out (OIDC RP-Initiated Logout)',
    query: logoutFields,
  },
  {
    ...logout,
    method: 'post',
    id: 'revokeOidcSessionPost',
    summary: 'The same by POST',
    body: { kind: 'form', fields: logoutFields },
  },
  {
    method: 'get',
    path: '/ui/signed-out',
    id: 'showSignedOut',
    listener: 'public',
    tag: 'pages',
    summary: 'The page after signing out',
    caller: 'anybody',
    answers: [page(200, 'The page.')],
    refusals: [],
  },
];
