import { z } from 'zod';
import { clientIdCharsMax } from '#core/client-field.ts';
import { patchOperationsMax } from '#core/json-patch.ts';
import { refusals } from '#core/refusal.ts';
import { reasonCharsMax } from '#server/http/admin/revocations.ts';
import { generateBody, importedJwk, importedSet } from '#server/keys/jwk.ts';
import { adminRoles } from '#server/store/credential.ts';
import { clientSchemas } from './client-schemas.ts';
import { handshakeSchemas } from './handshake-schemas.ts';
import { named, type Schema, text } from './operation.ts';
import { operatorSchemas } from './operator-operations.ts';

const errors = [...new Set(Object.values(refusals).map(({ error }) => error))].sort();

const seconds: Schema = { type: 'integer', minimum: 0 };
const strings: Schema = { type: 'array', items: { type: 'string' } };

/** A Zod schema as JSON Schema; the components have one dialect, so it names none. */
function fromZod(schema: z.ZodType): Schema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  return rest;
}

const protocolSchemas: Readonly<Record<string, Schema>> = {
  errorOAuth2: {
    type: 'object',
    description: 'A refusal. `status_code` is in answers of the admin listener.',
    required: ['error', 'error_description'],
    properties: {
      error: { type: 'string', enum: errors },
      error_description: { type: 'string' },
      status_code: { type: 'integer' },
    },
  },
  oAuth2TokenExchange: {
    type: 'object',
    required: ['access_token', 'expires_in', 'token_type'],
    properties: {
      access_token: { type: 'string' },
      token_type: { type: 'string', enum: ['bearer'] },
      expires_in: seconds,
      scope: { type: 'string' },
      refresh_token: { type: 'string' },
      id_token: { type: 'string' },
    },
  },
  introspectedOAuth2Token: {
    type: 'object',
    required: ['active'],
    properties: {
      active: { type: 'boolean' },
      scope: { type: 'string' },
      client_id: { type: 'string' },
      sub: { type: 'string' },
      obfuscated_subject: { type: 'string' },
      exp: seconds,
      iat: seconds,
      nbf: seconds,
      aud: strings,
      iss: { type: 'string' },
      jti: { type: 'string' },
      token_type: { type: 'string' },
      token_use: { type: 'string', enum: ['access_token', 'refresh_token'] },
      ext: { type: 'object' },
    },
  },
  oidcUserInfo: {
    type: 'object',
    required: ['sub'],
    properties: {
      sub: { type: 'string' },
      name: { type: 'string' },
      email: { type: 'string' },
      email_verified: { type: 'boolean' },
    },
  },
  oidcConfiguration: {
    type: 'object',
    description: 'OpenID Connect Discovery 1.0 §3 and RFC 8414 §2; further members may come.',
    required: [
      'issuer',
      'authorization_endpoint',
      'token_endpoint',
      'jwks_uri',
      'response_types_supported',
      'subject_types_supported',
      'id_token_signing_alg_values_supported',
    ],
    properties: {
      issuer: { type: 'string', format: 'uri' },
      authorization_endpoint: { type: 'string', format: 'uri' },
      token_endpoint: { type: 'string', format: 'uri' },
      userinfo_endpoint: { type: 'string', format: 'uri' },
      revocation_endpoint: { type: 'string', format: 'uri' },
      introspection_endpoint: { type: 'string', format: 'uri' },
      end_session_endpoint: { type: 'string', format: 'uri' },
      jwks_uri: { type: 'string', format: 'uri' },
      response_types_supported: strings,
      response_modes_supported: strings,
      grant_types_supported: strings,
      code_challenge_methods_supported: strings,
      subject_types_supported: strings,
      id_token_signing_alg_values_supported: strings,
      token_endpoint_auth_methods_supported: strings,
      scopes_supported: strings,
      claims_supported: strings,
    },
  },
};

const keySchemas: Readonly<Record<string, Schema>> = {
  jsonWebKey: {
    type: 'object',
    description: 'A public key (RFC 7517).',
    required: ['kty', 'kid', 'alg'],
    properties: {
      kty: { type: 'string' },
      kid: { type: 'string' },
      alg: { type: 'string' },
      use: { type: 'string' },
      crv: { type: 'string' },
      x: { type: 'string' },
      y: { type: 'string' },
      n: { type: 'string' },
      e: { type: 'string' },
    },
  },
  jsonWebKeySet: {
    type: 'object',
    required: ['keys'],
    properties: { keys: { type: 'array', items: named('jsonWebKey') } },
  },
  createJsonWebKeySet: fromZod(generateBody),
  importedJsonWebKey: fromZod(importedJwk),
  importedJsonWebKeySet: fromZod(importedSet.extend({ keys: z.array(importedJwk) })),
};

const target = text(clientIdCharsMax);
const targetId: Schema = { type: 'string', format: 'uuid' };

const ownSchemas: Readonly<Record<string, Schema>> = {
  newRevocation: {
    type: 'object',
    description: 'Exactly one of `subject`, `client_id`, `grant`, `session`, `chain`, `token`.',
    properties: {
      subject: target,
      client_id: target,
      grant: targetId,
      session: targetId,
      chain: targetId,
      token: { type: 'string' },
      reason: text(reasonCharsMax),
    },
  },
  revocation: {
    type: 'object',
    required: ['revoked', 'known'],
    properties: {
      revoked: { type: 'string' },
      known: {
        type: 'boolean',
        description: 'False: nothing has this name, so at most what was under way has died.',
      },
    },
  },
  grantNarrowing: {
    type: 'object',
    description: 'What remains; what is left out stays as it is.',
    properties: {
      scope: { type: 'string', description: 'Scopes with spaces between.' },
      audience: strings,
      reason: text(reasonCharsMax),
    },
  },
  narrowedGrant: {
    type: 'object',
    required: ['grant', 'version', 'scope', 'audience'],
    properties: {
      grant: targetId,
      version: { type: 'integer' },
      scope: { type: 'string' },
      audience: strings,
    },
  },
  newAdminCredential: {
    type: 'object',
    required: ['name', 'role'],
    properties: {
      name: { type: 'string', minLength: 1, maxLength: clientIdCharsMax },
      role: { type: 'string', enum: adminRoles },
    },
  },
  adminCredential: {
    type: 'object',
    required: ['id', 'name', 'role', 'created_at'],
    properties: {
      id: targetId,
      name: { type: 'string' },
      role: { type: 'string', enum: adminRoles },
      created_at: { type: 'string', format: 'date-time' },
      secret: { type: 'string', description: 'In the answer that made it, and in no other.' },
    },
  },
  jsonPatchDocument: {
    type: 'array',
    description: 'A JSON Patch (RFC 6902).',
    maxItems: patchOperationsMax,
    items: {
      type: 'object',
      required: ['op', 'path'],
      properties: {
        op: { type: 'string', enum: ['add', 'remove', 'replace', 'move', 'copy', 'test'] },
        path: { type: 'string', description: 'A JSON Pointer (RFC 6901).' },
        from: { type: 'string', description: 'A JSON Pointer, for `move` and `copy`.' },
        value: {},
      },
    },
  },
  healthStatus: {
    type: 'object',
    required: ['status'],
    properties: { status: { type: 'string', enum: ['ok'] } },
  },
  healthNotReadyStatus: {
    type: 'object',
    required: ['errors'],
    properties: { errors: { type: 'object', additionalProperties: { type: 'string' } } },
  },
  version: {
    type: 'object',
    required: ['version'],
    properties: { version: { type: 'string' } },
  },
};

/** All components, by Hydra's names where Hydra has them. */
export const schemas: Readonly<Record<string, Schema>> = {
  ...protocolSchemas,
  ...clientSchemas,
  ...handshakeSchemas,
  ...operatorSchemas,
  ...keySchemas,
  ...ownSchemas,
};
