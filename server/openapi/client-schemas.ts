import { clientFieldSchemas } from '#core/client-metadata.ts';
import { clientSecretCharsMax, clientSecretCharsMin } from '#tokens/secret.ts';
import type { Schema } from './operation.ts';

/** What each field is for. A field that the rules know and this list does not fails a test. */
export const clientFieldNotes: Readonly<Record<string, string>> = {
  client_id: 'Chosen by you, or a UUID. It cannot be changed.',
  client_secret: 'Chosen by you, or random. It is only in the answer that made it.',
  client_name: 'The name that people see.',
  owner: 'Whose it is, for your own use; listings filter by it.',
  contacts: 'How to reach the people behind it.',
  client_uri: 'Its home page.',
  logo_uri: 'Its logo.',
  policy_uri: 'Its privacy policy.',
  tos_uri: 'Its terms of service.',
  redirect_uris: 'Where codes may be sent, byte for byte; of loopback addresses any port.',
  post_logout_redirect_uris: 'Where to go after signing out.',
  grant_types: 'What it may give for tokens.',
  response_types: 'What it may ask for at the authorization endpoint.',
  scope: 'Scopes that it may ask for, with spaces between; segments may be wildcards.',
  audience: "Audiences that it may ask for by Hydra's `audience`.",
  resources: 'APIs that it may ask for by `resource` (RFC 8707); none: any.',
  token_endpoint_auth_method: 'How it proves who it is; `none` for public clients.',
  jwks: 'Its public keys.',
  jwks_uri: 'Where its public keys are.',
  subject_type: '`pairwise`: it sees a subject of its own for each person.',
  id_token_signed_response_alg: 'How its ID tokens are signed.',
  userinfo_signed_response_alg: 'How its userinfo is signed; `none`: JSON.',
  request_object_signing_alg: 'Only `none`: request objects are not supported.',
  request_uris: 'Only an empty list: request objects are not supported.',
  access_token_strategy: 'Opaque access tokens, or JWTs (RFC 9068).',
  allowed_cors_origins: 'Web origins whose pages may call the token endpoint.',
  skip_consent: 'Said to the consent app: no need to ask.',
  skip_logout_consent: 'Sign out without asking.',
  frontchannel_logout_uri: 'Kept, not used.',
  frontchannel_logout_session_required: 'Kept, not used.',
  backchannel_logout_uri: 'Kept, not used.',
  backchannel_logout_session_required: 'Kept, not used.',
  metadata: 'Anything of yours.',
  refresh_grace_seconds: 'How long a refresh may be repeated; 0: not at all.',
  refresh_token_scopes: 'Scopes that earn a refresh token; an empty list: any.',
  insecure_no_pkce: 'Exempts a confidential OpenID client from PKCE; it must send a nonce.',
  disabled: 'Nothing of it works while this is true.',
  client_secret_expires_at: 'Always 0: it does not expire.',
  created_at: 'When it was registered.',
  updated_at: 'When it was last changed.',
  registration_access_token: 'Ignored.',
  registration_client_uri: 'Ignored.',
};

const lifespanNote = 'A Go duration such as `1h30m`; absent: the default of the deployment.';

/** A field that can only be left out is no part of the description. */
const describable = Object.entries(clientFieldSchemas).filter(
  ([, { enum: values }]) => !Array.isArray(values) || values.length > 0,
);

const properties: Readonly<Record<string, Schema>> = Object.fromEntries(
  describable.map(([name, schema]) => [
    name,
    { ...schema, description: clientFieldNotes[name] ?? lifespanNote },
  ]),
);

/** The fields that only set lifetimes. */
const lifespans = Object.fromEntries(
  Object.entries(properties).filter(([name]) => name.endsWith('_lifespan')),
);

/** Hydra's client document, from the rules that judge it. */
export const clientSchemas: Readonly<Record<string, Schema>> = {
  oAuth2Client: {
    type: 'object',
    description: 'A client. `null`, an empty string and an empty list mean "not given".',
    properties: {
      ...properties,
      client_secret: {
        type: 'string',
        minLength: clientSecretCharsMin,
        maxLength: clientSecretCharsMax,
        description: clientFieldNotes.client_secret,
      },
    },
  },
  oAuth2ClientTokenLifespans: {
    type: 'object',
    description: 'Lifetimes of what a client is issued.',
    properties: lifespans,
  },
};
