import type { RefusalReason } from '#core/refusal.ts';
import { linkHeader, paging } from './handshake-operations.ts';
import { answers, named, nothing, type Operation } from './operation.ts';

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

/** The doors of clients. */
export const clientOperations: readonly Operation[] = [
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
