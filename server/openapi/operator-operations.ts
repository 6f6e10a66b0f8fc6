import { auditActionNames } from '#server/audit/actions.ts';
import { auditActors, auditOutcomes } from '#server/audit/entry.ts';
import { linkHeader, paging } from './handshake-operations.ts';
import { answers, named, type Operation, type Schema, text } from './operation.ts';

const wordCharsMax = 255;
const moment: Schema = { type: 'string', format: 'date-time' };
const read = {
  listener: 'admin',
  tag: 'gatehouse',
  caller: 'administrator',
  method: 'get',
} as const;

/** What operators look at: the audit log. */
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
];

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
};
