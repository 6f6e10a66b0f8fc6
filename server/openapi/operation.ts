import type { RefusalReason } from '#core/refusal.ts';

/** A JSON Schema of 2020-12, as OpenAPI 3.1 takes it. */
export type Schema = Readonly<Record<string, unknown>>;

/** Who may call: what the request must carry. */
export type Caller =
  /** Anybody. */
  | 'anybody'
  /** A client, by the method that it is registered for. */
  | 'client'
  /** A client that has a secret. */
  | 'confidential client'
  /** Whoever holds an access token. */
  | 'token holder'
  /** An administrator; the roles come from server/http/admin/doors.ts. */
  | 'administrator';

/** A parameter of the query or the path, or a field of a form. */
export interface Parameter {
  readonly name: string;
  readonly about: string;
  readonly schema: Schema;
  readonly required?: boolean;
  readonly example?: unknown;
}

export type Body =
  | { readonly kind: 'form'; readonly fields: readonly Parameter[]; readonly optional?: boolean }
  | {
      readonly kind: 'json';
      readonly schema: Schema;
      readonly example: unknown;
      readonly optional?: boolean;
    };

/** A success; refusals are described from the table by their reasons. */
export interface Answer {
  readonly status: number;
  readonly about: string;
  /** Absent: no body. */
  readonly content?: Readonly<
    Record<string, { readonly schema: Schema; readonly example?: unknown }>
  >;
  /** Headers beside `x-request-id`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One door: everything that its description says, from which the OpenAPI operation is made. */
export interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** With `{name}` for the variable segments. */
  readonly path: string;
  /** Hydra's `operationId` where Hydra has the door. */
  readonly id: string;
  readonly listener: 'public' | 'admin' | 'both';
  readonly tag: Tag;
  readonly summary: string;
  readonly about?: string;
  readonly caller: Caller;
  readonly query?: readonly Parameter[];
  readonly body?: Body;
  readonly answers: readonly Answer[];
  /** Every refusal that it may answer with; the general ones are added by caller and body. */
  readonly refusals: readonly RefusalReason[];
  /** The refusals are pages for people: their statuses with HTML. */
  readonly refusesByPage?: boolean;
}

export type Tag = 'oAuth2' | 'oidc' | 'wellknown' | 'jwk' | 'metadata' | 'pages' | 'gatehouse';

/** A schema of the components, by its name. */
export function named(schema: string): Schema {
  return { $ref: `#/components/schemas/${schema}` };
}

/** Text of at most this many characters. */
export function text(maxLength: number): Schema {
  return { type: 'string', maxLength };
}

/** A JSON answer. */
export function answers(
  status: number,
  about: string,
  schema: Schema,
  example?: unknown,
  headers?: Readonly<Record<string, string>>,
): Answer {
  const content = { 'application/json': { schema, ...(example === undefined ? {} : { example }) } };
  return { status, about, content, ...(headers === undefined ? {} : { headers }) };
}

/** 303 to where the browser goes next. */
export function redirects(about: string): Answer {
  return { status: 303, about, headers: { location: 'Where the browser goes next.' } };
}

/** A page for people. */
export function page(status: number, about: string): Answer {
  return { status, about, content: { 'text/html': { schema: { type: 'string' } } } };
}

/** 204, without a body. */
export function nothing(about: string): Answer {
  return { status: 204, about };
}
