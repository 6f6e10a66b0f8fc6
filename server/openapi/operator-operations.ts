import { auditActionNames } from '#server/audit/actions.ts';
import { auditActors, auditOutcomes } from '#server/audit/entry.ts';
import { linkHeader, paging } from './handshake-operations.ts';
import { answers, named, type Operation, type Schema, text } from './operation.ts';

const wordCharsMax = 255;
const moment: Schema = { type: 'string', format: 'date-time' };
const subject = {
  name: 'subject',
  about: 'The person.',
  schema: text(wordCharsMax),
  required: true,
  example: 'ada',
};
const read = {
  listener: 'admin',
  tag: 'gatehouse',
  caller: 'administrator',
  method: 'get',
} as const;

/** What operators look at: the audit log, and how things stand. */
export const operatorOperations: readonly Operation[] = [
  {
    ...read,
    path: '/admin/audit',
    id: 'listAuditEntries',
    summary: 'The audit log, in pages',
    about: 'The newest entry first. With a filter a page may be short, or empty, and not the last.',
    query: [
      { name: 'from', about: 'From this moment on.', schema: moment },
      { name: 'to', about: 'Until this moment, which does not count.', schema: moment },
      { name: 'actor', about: 'An id, a name, or a kind.', schema: text(wordCharsMax) },
      {
        name: 'action',
        about: 'An action of docs/audit.md, or a group of them.',
        schema: text(wordCharsMax),
        example: 'client.*',
      },
      { name: 'target', about: 'What it was done to.', schema: text(wordCharsMax) },
      { name: 'request_id', about: 'One request.', schema: { type: 'string', format: 'uuid' } },
      ...paging,
    ],
    answers: [
      answers(200, 'Entries.', { type: 'array', items: named('auditEntry') }, [], linkHeader),
    ],
    refusals: ['invalid_parameter'],
  },
  {
    ...read,
    path: '/admin/grants',
    id: 'listGrants',
    summary: "A person's grants, dead or alive",
    query: [
      subject,
      { name: 'client_id', about: 'To this app.', schema: text(wordCharsMax) },
      ...paging,
    ],
    answers: [
      answers(200, 'Grants.', { type: 'array', items: named('standingGrant') }, [], linkHeader),
    ],
    refusals: ['missing_parameter', 'invalid_parameter'],
  },
  {
    ...read,
    path: '/admin/grants/{id}',
    id: 'getGrant',
    summary: 'One grant',
    answers: [answers(200, 'The grant.', named('standingGrant'))],
    refusals: ['not_found'],
  },
  {
    ...read,
    path: '/admin/sessions',
    id: 'listSessions',
    summary: "A person's sign-ins, the newest first",
    query: [subject, ...paging],
    answers: [
      answers(200, 'Sign-ins.', { type: 'array', items: named('standingSession') }, [], linkHeader),
    ],
    refusals: ['missing_parameter', 'invalid_parameter'],
  },
  {
    ...read,
    tag: 'jwk',
    path: '/admin/keys',
    id: 'listKeys',
    summary: 'Every key by its name and times, and no part of it',
    answers: [answers(200, 'Keys.', { type: 'array', items: named('standingKey') }, [])],
    refusals: [],
  },
  {
    ...read,
    tag: 'jwk',
    method: 'post',
    path: '/admin/keys/{set}/rotate',
    id: 'rotateKeys',
    summary: 'Give the keys of a set their successors at once',
    about: "Also those of Gatehouse's own sets. Earlier keys go on opening and verifying.",
    answers: [answers(201, 'What was made.', { type: 'array', items: named('standingKey') })],
    refusals: ['not_found'],
  },
];

const id: Schema = { type: 'string', format: 'uuid' };

const kindAndId: Schema = {
  type: 'object',
  required: ['kind', 'id'],
  properties: { kind: { type: 'string' }, id: { type: 'string' } },
};

/** What the answers are made of. */
export const operatorSchemas: Readonly<Record<string, Schema>> = {
  auditEntry: {
    type: 'object',
    required: ['id', 'at', 'action', 'outcome', 'actor', 'target', 'count'],
    properties: {
      id: { type: 'string', format: 'uuid' },
      at: moment,
      action: { type: 'string', enum: auditActionNames },
      outcome: { type: 'string', enum: auditOutcomes },
      actor: {
        type: 'object',
        required: ['kind', 'id'],
        properties: {
          kind: { type: 'string', enum: auditActors },
          id: { type: 'string' },
          name: { type: 'string' },
        },
      },
      target: kindAndId,
      reason: { type: 'string' },
      request_id: { type: ['string', 'null'] },
      address: { type: 'string' },
      count: { type: 'integer', minimum: 1 },
      detail: { type: 'object' },
    },
  },
  standingGrant: {
    type: 'object',
    required: ['grant_id', 'subject', 'client_id', 'state', 'scope', 'audience', 'version'],
    properties: {
      grant_id: id,
      subject: { type: 'string' },
      client_id: { type: 'string' },
      state: { type: 'string', enum: ['live', 'revoked'] },
      scope: { type: 'string' },
      audience: { type: 'array', items: { type: 'string' } },
      version: { type: 'integer', minimum: 1 },
      session_id: id,
      remember: { type: 'boolean' },
      created_at: moment,
      handled_at: moment,
    },
  },
  standingSession: {
    type: 'object',
    required: ['session_id', 'subject', 'state', 'authenticated_at', 'expires_at'],
    properties: {
      session_id: id,
      subject: { type: 'string' },
      state: { type: 'string', enum: ['live', 'signed_out', 'revoked', 'expired'] },
      authenticated_at: moment,
      expires_at: moment,
      remember: { type: 'boolean' },
      acr: { type: 'string' },
      amr: { type: 'array', items: { type: 'string' } },
    },
  },
  standingKey: {
    type: 'object',
    required: ['set', 'kid', 'alg', 'use'],
    properties: {
      set: { type: 'string' },
      kid: { type: 'string' },
      alg: { type: 'string' },
      use: { type: 'string' },
      state: { type: 'string', enum: ['waiting', 'active', 'retired'] },
      active_at: moment,
      retired_at: { type: ['string', 'null'], format: 'date-time' },
    },
  },
};
