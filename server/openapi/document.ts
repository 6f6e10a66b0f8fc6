import { type RefusalReason, refusals } from '#core/refusal.ts';
import { rolesFor } from '#server/http/admin/doors.ts';
import { version } from '#server/version.ts';
import { adminOperations, pathSegments } from './admin-operations.ts';
import { handshakeOperations } from './handshake-operations.ts';
import {
  type Answer,
  type Body,
  type Caller,
  named,
  type Operation,
  type Parameter,
  type Schema,
  type Tag,
} from './operation.ts';
import { pageOperations } from './page-operations.ts';
import { publicOperations } from './public-operations.ts';
import { schemas } from './schemas.ts';

/** Every door of both listeners. */
export const operations: readonly Operation[] = [
  ...publicOperations,
  ...pageOperations,
  ...handshakeOperations,
  ...adminOperations,
];

/** The OpenAPI 3.1 document of every public and admin door. */
export function describeApi(): Readonly<Record<string, unknown>> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of operations) {
    const item = paths[operation.path] ?? { servers: serversOf(operation) };
    item[operation.method] = describe(operation);
    paths[operation.path] = item;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Gatehouse',
      version,
      summary: 'OAuth 2.1 and OpenID Connect, headless.',
      description:
        'The public listener is for apps and browsers, the admin listener for you. Doors that Ory ' +
        'Hydra has too keep its operation ids and shapes. A schema says what is always required; ' +
        'what no schema can say is refused with a sentence.',
      license: { name: 'UNLICENSED', identifier: 'LicenseRef-UNLICENSED' },
    },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    servers: [publicServer, adminServer],
    tags,
    paths,
    components: {
      schemas,
      examples: refusalExamples(),
      securitySchemes,
      headers: {
        'x-request-id': { description: 'Stands in the log, too.', schema: { type: 'string' } },
      },
    },
  };
}

const publicServer = { url: 'http://127.0.0.1:4444', description: 'The public listener' };
const adminServer = { url: 'http://127.0.0.1:4445', description: 'The admin listener' };

function serversOf({ listener }: Operation): readonly object[] {
  if (listener === 'both') return [publicServer, adminServer];
  return [listener === 'public' ? publicServer : adminServer];
}

const tagNotes: Readonly<Record<Tag, string>> = {
  oAuth2: 'OAuth 2.1, and the handshake with your login app',
  oidc: 'OpenID Connect',
  wellknown: 'Published keys',
  jwk: 'Signing keys',
  metadata: 'Health, version, metrics',
  pages: 'Built-in pages for people',
  gatehouse: 'Doors that Hydra does not have',
};
const tags = Object.entries(tagNotes).map(([name, description]) => ({ name, description }));

const securitySchemes: Readonly<Record<string, object>> = {
  client_secret_basic: {
    type: 'http',
    scheme: 'basic',
    description:
      'client_id and client_secret. Clients registered for `client_secret_post` or `none` send ' +
      'them in the body instead.',
  },
  access_token: { type: 'http', scheme: 'bearer', description: 'An access token (RFC 6750).' },
  admin_credential: {
    type: 'http',
    scheme: 'bearer',
    description: 'An admin credential; which roles open a door stands beside its operation.',
  },
  admin_credential_basic: {
    type: 'http',
    scheme: 'basic',
    description: 'The same as the password, with any user name.',
  },
};

function securityOf({ caller, path }: Operation): readonly object[] {
  switch (caller) {
    case 'anybody':
      return [];
    case 'client':
      return [{ client_secret_basic: [] }, {}];
    case 'confidential client':
      return [{ client_secret_basic: [] }, {}];
    case 'token holder':
      return [{ access_token: [] }];
    case 'administrator': {
      const roles = rolesNeeded(path);
      return [{ admin_credential: roles }, { admin_credential_basic: roles }];
    }
  }
}

function rolesNeeded(path: string): readonly string[] {
  const roles = rolesFor(path);
  if (roles === undefined) throw new Error(`${path} is described for administrators, but open`);
  return roles.includes('all') ? roles : [...roles, 'all'];
}

function describe(operation: Operation): Readonly<Record<string, unknown>> {
  const { id, tag, summary, about, caller, path, body } = operation;
  const roles =
    caller === 'administrator' ? `Opens to the roles ${rolesNeeded(path).join(', ')}.` : undefined;
  const description = [about, roles].filter((part) => part !== undefined).join(' ');
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === '' ? {} : { description }),
    security: securityOf(operation),
    parameters: [...segmentsOf(path), ...(operation.query ?? []).map(inQuery)],
    ...(body === undefined ? {} : { requestBody: bodyOf(body) }),
    responses: responsesOf(operation),
  };
}

function segmentsOf(path: string): readonly object[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => {
    const segment = pathSegments[name];
    if (segment === undefined) throw new Error(`nothing is said of {${name}} in ${path}`);
    const { about, schema } = segment;
    return { name, in: 'path', required: true, description: about, schema };
  });
}

function inQuery({ name, about, schema, required, example }: Parameter): object {
  return {
    name,
    in: 'query',
    required: required === true,
    description: about,
    schema,
    ...(example === undefined ? {} : { example }),
  };
}

function bodyOf(body: Body): object {
  const required = body.optional !== true;
  if (body.kind === 'json') {
    const media = { schema: body.schema, example: body.example };
    // Hydra's clients send a JSON Patch by either name.
    const isPatch = body.schema.$ref === '#/components/schemas/jsonPatchDocument';
    const also = isPatch ? { 'application/json-patch+json': media } : {};
    return { required, content: { 'application/json': media, ...also } };
  }
  const needed = body.fields.filter((field) => field.required).map(({ name }) => name);
  const schema: Schema = {
    type: 'object',
    ...(needed.length === 0 ? {} : { required: needed }),
    properties: Object.fromEntries(
      body.fields.map((field) => [field.name, { ...field.schema, description: field.about }]),
    ),
  };
  const example = Object.fromEntries(
    body.fields.flatMap((field) => {
      const value = field.example ?? (field.required ? soleValue(field.schema) : undefined);
      return value === undefined ? [] : [[field.name, value]];
    }),
  );
  const examples = Object.keys(example).length === 0 ? {} : { example };
  return { required, content: { 'application/x-www-form-urlencoded': { schema, ...examples } } };
}

/** The value of a field that can have one only. */
function soleValue({ enum: values }: Schema): unknown {
  return Array.isArray(values) && values.length === 1 ? values[0] : undefined;
}

/** What any request of this kind may be refused for. */
const byCaller: Readonly<Record<Caller, readonly RefusalReason[]>> = {
  anybody: [],
  client: [
    'unknown_client',
    'wrong_auth_method',
    'two_auth_methods',
    'client_disabled',
    'rate_limited',
  ],
  'confidential client': [
    'unknown_client',
    'wrong_auth_method',
    'two_auth_methods',
    'client_disabled',
    'rate_limited',
  ],
  'token holder': [],
  administrator: ['admin_unauthorized', 'admin_forbidden', 'not_found'],
};
const byForm: readonly RefusalReason[] = [
  'content_type',
  'body_too_large',
  'malformed_request',
  'duplicate_parameter',
];
/** A body of another type is none there (RFC 6750 §2.2). */
const byOptionalForm = byForm.filter((reason) => reason !== 'content_type');
const byJson: readonly RefusalReason[] = ['content_type', 'body_too_large', 'malformed_request'];

function refusalsOf({ caller, body, refusals: own, path }: Operation): readonly RefusalReason[] {
  const forForm = body?.optional === true ? byOptionalForm : byForm;
  const readsBody = body === undefined ? [] : body.kind === 'form' ? forForm : byJson;
  // Health, version and this description are answered from memory.
  const always: readonly RefusalReason[] = /^\/(health|version|ui\/error)/.test(path)
    ? []
    : ['unavailable'];
  return [...new Set([...byCaller[caller], ...readsBody, ...own, ...always])];
}

function responsesOf(operation: Operation): Readonly<Record<string, unknown>> {
  const responses: Record<string, unknown> = {};
  for (const answer of operation.answers) responses[answer.status] = succeeded(answer);
  const byStatus = new Map<number, RefusalReason[]>();
  for (const reason of refusalsOf(operation)) {
    const status = shownStatus(operation, refusals[reason].status);
    byStatus.set(status, [...(byStatus.get(status) ?? []), reason]);
  }
  for (const [status, reasons] of [...byStatus].sort(([a], [b]) => a - b)) {
    if (responses[status] === undefined) responses[status] = refused(operation, status, reasons);
  }
  return responses;
}

/** A page challenges nobody, so what would be 401 is 400 there. */
function shownStatus(operation: Operation, status: number): number {
  return operation.refusesByPage && status === 401 ? 400 : status;
}

function succeeded({ about, headers = {}, content }: Answer): object {
  return {
    description: about,
    headers: {
      ...requestId,
      ...Object.fromEntries(
        Object.entries(headers).map(([name, description]) => [
          name,
          { description, schema: { type: 'string' } },
        ]),
      ),
    },
    ...(content === undefined ? {} : { content }),
  };
}

const requestId = { 'x-request-id': { $ref: '#/components/headers/x-request-id' } } as const;

function refused(operation: Operation, status: number, reasons: readonly RefusalReason[]): object {
  const described = reasons.map((reason) => refusals[reason]);
  const description = [...new Set(described.map((row) => `${row.description} (${row.clause})`))];
  const errors = [...new Set(described.map((row) => row.error))];
  const schema = {
    allOf: [named('errorOAuth2'), { properties: { error: { enum: errors } } }],
  };
  const kind = listenerOf(operation);
  const examples = Object.fromEntries(
    reasons.map((reason) => [reason, { $ref: `#/components/examples/${kind}_${reason}` }]),
  );
  const shown = operation.refusesByPage ? {} : { examples };
  const json = { 'application/json': { schema, ...shown } };
  const html = { 'text/html': { schema: { type: 'string' } } };
  return {
    description: description.join(' '),
    headers: { ...requestId, ...refusalHeaders(operation, status) },
    content: operation.refusesByPage ? (status === 503 ? { ...html, ...json } : html) : json,
  };
}

/** Every refusal that is described, as its listener writes it: Hydra's `status_code` is on the admin one. */
function refusalExamples(): Readonly<Record<string, object>> {
  const examples: Record<string, object> = {};
  for (const operation of operations) {
    if (operation.refusesByPage) continue;
    const kind = listenerOf(operation);
    for (const reason of refusalsOf(operation)) {
      const { error, status, description: error_description } = refusals[reason];
      const hydras = kind === 'admin' ? { status_code: status } : {};
      examples[`${kind}_${reason}`] = { value: { error, error_description, ...hydras } };
    }
  }
  return examples;
}

function listenerOf({ listener }: Operation): 'admin' | 'public' {
  return listener === 'admin' ? 'admin' : 'public';
}

function refusalHeaders({ caller }: Operation, status: number): Readonly<Record<string, object>> {
  const schema = { type: 'string' };
  if (status === 429 || status === 503) {
    return { 'retry-after': { description: 'Seconds to wait.', schema } };
  }
  if (status === 401 || (status === 403 && caller === 'token holder')) {
    return {
      'www-authenticate': { description: 'How to authenticate (RFC 9110 §11.6.1).', schema },
    };
  }
  return {};
}
