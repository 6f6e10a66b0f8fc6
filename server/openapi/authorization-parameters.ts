import { nonceCharsMax, stateCharsMax } from '#core/authorization-request.ts';
import { clientIdCharsMax, clientUriCharsMax } from '#core/client-field.ts';
import { type Parameter, text } from './operation.ts';

const challengePattern = '^[A-Za-z0-9_-]{43}$';

export const scope: Parameter = {
  name: 'scope',
  about: 'Scopes with spaces between (RFC 6749 §3.3).',
  schema: { type: 'string' },
  example: 'openid notes.read',
};

export const resource: Parameter = {
  name: 'resource',
  about: 'An API that the token is for (RFC 8707 §2); may be given several times.',
  schema: { type: 'array', items: { type: 'string', format: 'uri' } },
};

export const audience: Parameter = {
  name: 'audience',
  about: "Hydra's parameter: audiences from the client's list, with spaces between.",
  schema: { type: 'string' },
};

/** What an authorization request may say (RFC 6749 §4.1.1, OIDC Core §3.1.2.1). */
export const authorizationQuery: readonly Parameter[] = [
  {
    name: 'client_id',
    about: 'The app that asks.',
    schema: text(clientIdCharsMax),
    required: true,
    example: 'my-app',
  },
  {
    name: 'response_type',
    about: 'Always `code`.',
    schema: { type: 'string', enum: ['code'] },
    required: true,
  },
  {
    name: 'redirect_uri',
    about: 'One that is registered, byte for byte. It may be left out where the app has just one.',
    schema: text(clientUriCharsMax),
    example: 'https://app.example/callback',
  },
  scope,
  {
    name: 'state',
    about: 'Comes back as it is.',
    schema: text(stateCharsMax),
    example: 'af0ifjsldkj',
  },
  {
    name: 'code_challenge',
    about:
      'base64url of the SHA-256 of the `code_verifier` (RFC 7636 §4.2). Every client needs it.',
    schema: { type: 'string', pattern: challengePattern },
    example: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  },
  {
    name: 'code_challenge_method',
    about: 'Always `S256`.',
    schema: { type: 'string', enum: ['S256'] },
  },
  { name: 'nonce', about: 'Comes back in the ID token.', schema: text(nonceCharsMax) },
  {
    name: 'prompt',
    about: '`none` alone, or `login`, `consent`, `select_account` with spaces between.',
    schema: { type: 'string' },
  },
  {
    name: 'max_age',
    about: 'Seconds that the login may be old (OIDC Core §3.1.2.1).',
    schema: { type: 'integer', minimum: 0, maximum: 9_999_999_999 },
  },
  {
    name: 'response_mode',
    about: 'Where the answer stands in the redirect.',
    schema: { type: 'string', enum: ['query', 'fragment'] },
  },
  { name: 'login_hint', about: 'Shown to the login app.', schema: { type: 'string' } },
  { name: 'id_token_hint', about: 'Who should be signed in.', schema: { type: 'string' } },
  { name: 'acr_values', about: 'Shown to the login app.', schema: { type: 'string' } },
  { name: 'ui_locales', about: 'Shown to the login app.', schema: { type: 'string' } },
  {
    name: 'claims',
    about: 'A JSON object (OIDC Core §5.5).',
    schema: { type: 'string' },
  },
  audience,
  resource,
];
