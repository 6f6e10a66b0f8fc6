import { clientTextCharsMax } from '#core/client-field.ts';
import { clientOperations } from './client-operations.ts';
import { keyOperations } from './key-operations.ts';
import { answers, named, nothing, type Operation, text } from './operation.ts';
import { operatorOperations } from './operator-operations.ts';

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
