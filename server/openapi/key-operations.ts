import { answers, named, nothing, type Operation } from './operation.ts';

const key = { listener: 'admin', tag: 'jwk', caller: 'administrator' } as const;
const keysAnswer = answers(200, 'Public parts only.', named('jsonWebKeySet'));
const setPath = '/admin/keys/{set}';
const keyPath = '/admin/keys/{set}/{kid}';

/** The doors of key sets. */
export const keyOperations: readonly Operation[] = [
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
