import { clientTextCharsMax } from '#core/client-field.ts';
import type { RefusalReason } from '#core/refusal.ts';
import { linkHeader, paging } from './handshake-operations.ts';
import { answers, named, nothing, type Operation, text } from './operation.ts';
import { operatorOperations } from './operator-operations.ts';

const client = { listener: 'admin', tag: 'oAuth2', caller: 'administrator' } as const;
const clientAnswer = answers(200, 'The client.', named('oAuth2Client'));
const exampleClient = {
  client_name: 'Notes',
  redirect_uris: ['https://notes.example/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  scope: 'openid offline_access notes.read',
} as const;
const clientBody = {
  kind: 'json',
  schema: named('oAuth2Client'),
  example: exampleClient,
} as const;
const changing: readonly RefusalReason[] = [
  'malformed_request',
  'invalid_metadata',
  'invalid_redirect_uri',
  'not_found',
  'conflict',
];

const clientOperations: readonly Operation[] = [
  {
    ...client,
    method: 'get',
    path: '/admin/clients',
    id: 'listOAuth2Clients',
    summary: 'Clients, in pages',
    query: [
      { name: 'client_name', about: 'Those of this name.', schema: { type: 'string' } },
      { name: 'owner', about: 'Those of this owner.', schema: { type: 'string' } },
      ...paging,
    ],
    answers: [
      answers(
        200,
        'Without secrets.',
        { type: 'array', items: named('oAuth2Client') },
        [],
        linkHeader,
      ),
    ],
    refusals: ['invalid_parameter'],
  },
  {
    ...client,
    method: 'post',
    path: '/admin/clients',
    id: 'createOAuth2Client',
    summary: 'Register a client',
    about: 'The secret is in this answer and in no other.',
    body: clientBody,
    answers: [answers(201, 'The client, with its secret.', named('oAuth2Client'))],
    refusals: ['malformed_request', 'invalid_metadata', 'invalid_redirect_uri', 'conflict'],
  },
  {
    ...client,
    method: 'get',
    path: '/admin/clients/{id}',
    id: 'getOAuth2Client',
    summary: 'One client',
    answers: [clientAnswer],
    refusals: ['not_found'],
  },
  {
    ...client,
    method: 'put',
    path: '/admin/clients/{id}',
    id: 'setOAuth2Client',
    summary: 'Replace a client',
    about: 'What is left out goes back to its default. The secret stays unless a new one is given.',
    body: clientBody,
    answers: [clientAnswer],
    refusals: changing,
  },
  {
    ...client,
    method: 'patch',
    path: '/admin/clients/{id}',
    id: 'patchOAuth2Client',
    summary: 'Change parts of a client (RFC 6902)',
    body: {
      kind: 'json',
      schema: named('jsonPatchDocument'),
      example: [{ op: 'replace', path: '/client_name', value: 'Notes 2' }],
    },
    answers: [clientAnswer],
    refusals: changing,
  },
  {
    ...client,
    method: 'delete',
    path: '/admin/clients/{id}',
    id: 'deleteOAuth2Client',
    summary: 'Delete a client',
    about:
      'Everything that it was issued dies with it, and stays dead under a new client of its id.',
    answers: [nothing('Gone, on every node.')],
    refusals: ['not_found'],
  },
  {
    ...client,
    method: 'put',
    path: '/admin/clients/{id}/lifespans',
    id: 'setOAuth2ClientLifespans',
    summary: 'Set the lifetimes of what a client is issued',
    about: 'Those that are left out go back to the defaults of the deployment.',
    body: {
      kind: 'json',
      schema: named('oAuth2ClientTokenLifespans'),
      example: { authorization_code_grant_access_token_lifespan: '15m' },
    },
    answers: [clientAnswer],
    refusals: changing,
  },
  {
    ...client,
    method: 'post',
    path: '/admin/clients/{id}/secrets/rotate',
    id: 'rotateOAuth2ClientSecret',
    summary: 'A new secret; earlier ones stay valid until they are removed',
    answers: [clientAnswer],
    refusals: ['invalid_metadata', 'not_found', 'conflict'],
  },
  {
    ...client,
    method: 'delete',
    path: '/admin/clients/{id}/secrets/rotate',
    id: 'deleteRotatedOAuth2ClientSecrets',
    summary: 'Remove all secrets but the newest',
    answers: [clientAnswer],
    refusals: ['not_found', 'conflict'],
  },
];

const key = { listener: 'admin', tag: 'jwk', caller: 'administrator' } as const;
const keysAnswer = answers(200, 'Public parts only.', named('jsonWebKeySet'));
const setPath = '/admin/keys/{set}';
const keyPath = '/admin/keys/{set}/{kid}';

const keyOperations: readonly Operation[] = [
  {
    ...key,
    method: 'get',
    path: setPath,
    id: 'getJsonWebKeySet',
    summary: 'The keys of a set',
    answers: [keysAnswer],
    refusals: ['not_found'],
  },
  {
    ...key,
    method: 'post',
    path: setPath,
    id: 'createJsonWebKeySet',
    summary: 'Make a key',
    about: 'It signs at once; earlier ones stay published. An RSA key takes a while to find.',
    body: {
      kind: 'json',
      schema: named('createJsonWebKeySet'),
      example: { alg: 'ES256', use: 'sig', kid: 'spring' },
    },
    answers: [answers(201, 'The public part.', named('jsonWebKeySet'))],
    refusals: ['malformed_request', 'conflict'],
  },
  {
    ...key,
    method: 'put',
    path: setPath,
    id: 'setJsonWebKeySet',
    summary: 'Replace a set by private keys of yours',
    body: {
      kind: 'json',
      schema: named('importedJsonWebKeySet'),
      example: { keys: [{ kty: 'EC', alg: 'ES256', crv: 'P-256', x: '…', y: '…', d: '…' }] },
    },
    answers: [keysAnswer],
    refusals: ['malformed_request', 'conflict'],
  },
  {
    ...key,
    method: 'delete',
    path: setPath,
    id: 'deleteJsonWebKeySet',
    summary: 'Delete a set',
    answers: [nothing('Gone, or was never there.')],
    refusals: ['not_found', 'conflict'],
  },
  {
    ...key,
    method: 'get',
    path: keyPath,
    id: 'getJsonWebKey',
    summary: 'One key',
    answers: [keysAnswer],
    refusals: ['not_found'],
  },
  {
    ...key,
    method: 'put',
    path: keyPath,
    id: 'setJsonWebKey',
    summary: 'Put one private key of yours into a set',
    about: "The body's `kid` counts; the path's stands in where it has none.",
    body: {
      kind: 'json',
      schema: named('importedJsonWebKey'),
      example: { kty: 'EC', alg: 'ES256', crv: 'P-256', x: '…', y: '…', d: '…' },
    },
    answers: [answers(200, 'The public part.', named('jsonWebKey'))],
    refusals: ['malformed_request', 'conflict'],
  },
  {
    ...key,
    method: 'delete',
    path: keyPath,
    id: 'deleteJsonWebKey',
    summary: 'Delete one key',
    answers: [nothing('Gone, or was never there.')],
    refusals: ['not_found', 'conflict'],
  },
];

const own = { listener: 'admin', tag: 'gatehouse', caller: 'administrator' } as const;

const ownOperations: readonly Operation[] = [
  {
    ...own,
    method: 'post',
    path: '/admin/oauth2/introspect',
    id: 'introspectOAuth2Token',
    tag: 'oAuth2',
    summary: 'Is this token alive?',
    body: {
      kind: 'form',
      fields: [
        {
          name: 'token',
          about: 'Any token of this issuer.',
          schema: { type: 'string' },
          required: true,
          example: 'gh_at_…',
        },
        {
          name: 'scope',
          about: 'A token without all of these is shown as inactive.',
          schema: { type: 'string' },
        },
      ],
    },
    answers: [
      answers(200, 'What the token says.', named('introspectedOAuth2Token'), { active: false }),
    ],
    refusals: ['missing_parameter'],
  },
  {
    ...own,
    method: 'post',
    path: '/admin/revocations',
    id: 'createRevocation',
    summary: 'Revoke a person, a client, a grant, a session, a chain or a token',
    about:
      'Answers when all nodes know. Repeating is harmless. No `client_id` by role `handshake`.',
    body: {
      kind: 'json',
      schema: named('newRevocation'),
      example: { subject: 'ana', reason: 'left the company' },
    },
    answers: [answers(200, 'Done.', named('revocation'), { revoked: 'subject', known: true })],
    refusals: ['malformed_request', 'not_found'],
  },
  {
    ...own,
    method: 'post',
    path: '/admin/grants/{id}/narrow',
    id: 'narrowGrant',
    summary: 'Take back a part of a grant',
    about:
      'Names what remains. Access tokens made before are dead on every node when this answers, and ' +
      'a refresh gives what is left.',
    body: {
      kind: 'json',
      schema: named('grantNarrowing'),
      example: { scope: 'openid notes.read', reason: 'asked for by the person' },
    },
    answers: [answers(200, 'What is left.', named('narrowedGrant'))],
    refusals: ['malformed_request', 'not_found', 'scope_malformed', 'scope_widened'],
  },
  {
    ...own,
    method: 'get',
    path: '/admin/credentials',
    id: 'listAdminCredentials',
    summary: 'Admin credentials',
    answers: [
      answers(200, 'Without secrets.', { type: 'array', items: named('adminCredential') }, []),
    ],
    refusals: [],
  },
  {
    ...own,
    method: 'post',
    path: '/admin/credentials',
    id: 'createAdminCredential',
    summary: 'Make an admin credential',
    body: {
      kind: 'json',
      schema: named('newAdminCredential'),
      example: { name: 'login app', role: 'handshake' },
    },
    answers: [answers(201, 'With its secret, this once.', named('adminCredential'))],
    refusals: ['malformed_request', 'conflict'],
  },
  {
    ...own,
    method: 'delete',
    path: '/admin/credentials/{id}',
    id: 'deleteAdminCredential',
    summary: 'Delete an admin credential',
    answers: [nothing('It opens nothing any more.')],
    refusals: ['not_found'],
  },
];

const watch = { tag: 'metadata', refusals: [] } as const;
const exposition = {
  ...watch,
  method: 'get',
  listener: 'admin',
  caller: 'administrator',
  summary: 'Metrics for Prometheus',
  answers: [
    {
      status: 200,
      about: 'The text format of Prometheus.',
      content: { 'text/plain': { schema: { type: 'string' } } },
    },
  ],
} as const;
const open = { ...watch, method: 'get', listener: 'both', caller: 'anybody' } as const;

const watchOperations: readonly Operation[] = [
  {
    ...open,
    path: '/health/alive',
    id: 'isAlive',
    summary: 'Does the process answer?',
    answers: [answers(200, 'It does.', named('healthStatus'), { status: 'ok' })],
  },
  {
    ...open,
    path: '/health/ready',
    id: 'isReady',
    summary: 'Can it decide?',
    answers: [
      answers(200, 'It can.', named('healthStatus'), { status: 'ok' }),
      answers(503, 'What keeps it, by part.', named('healthNotReadyStatus')),
    ],
  },
  {
    ...open,
    path: '/version',
    id: 'getVersion',
    summary: 'Which release is this?',
    answers: [answers(200, 'The version.', named('version'), { version: '0.1.0' })],
  },
  { ...exposition, path: '/metrics', id: 'getMetrics' },
  { ...exposition, path: '/admin/metrics/prometheus', id: 'getPrometheusMetrics' },
  {
    ...open,
    listener: 'admin',
    path: '/.well-known/openapi.json',
    id: 'describeApi',
    summary: 'This description',
    answers: [answers(200, 'An OpenAPI document.', { type: 'object' })],
  },
];

/** What stands in a path, by its name. */
export const pathSegments: Readonly<Record<string, { about: string; schema: object }>> = {
  id: { about: 'The identifier.', schema: text(clientTextCharsMax) },
  set: { about: 'The name of the set.', schema: { type: 'string' } },
  kid: { about: 'The id of the key.', schema: { type: 'string' } },
};

/** The administrator's doors beside the handshake. */
export const adminOperations: readonly Operation[] = [
  ...clientOperations,
  ...keyOperations,
  ...ownOperations,
  ...operatorOperations,
  ...watchOperations,
];
