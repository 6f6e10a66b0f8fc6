import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Context } from 'hono';
import { type Refusal, refusals } from '#core/refusal.ts';
import type { Actor, AuditDetail, Target } from '#server/audit/entry.ts';

/** What the adapter puts into every request's context. */
export interface RequestVariables {
  /** A UUID, also in the `x-request-id` answer header and in every log line. */
  requestId: string;
  /** The caller's address: the socket's, or what a trusted proxy says. */
  address: string;
  /** The route's pattern, for metrics; never a path with secrets. */
  route: string;
  /** Whose admin credential it carries; set by the guard of an admin door. */
  actor?: Actor;
  /** What a handler knows of its change, for the audit log. */
  audited?: { readonly target?: Target; readonly reason?: string; readonly detail?: AuditDetail };
}
export type Env = { Variables: RequestVariables };
export type Ctx = Context<Env>;

export const noStore = { 'cache-control': 'no-store', pragma: 'no-cache' } as const;

/** A JSON answer; never cached unless `headers` says so. Absent (undefined) fields are left out. */
export function json(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = noStore,
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/json', ...headers },
  });
}

/** `error` and `error_description` hold %x20-21 / %x23-5B / %x5D-7E (RFC 6749 §4.1.2.1, §5.2). */
export function printable(text: string): string {
  return text
    .replaceAll(/["\\]/g, "'")
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .slice(0, 500);
}

/** A refusal as JSON: `error`, `error_description`, and Hydra's `status_code` on admin doors. */
export function refusalAnswer(
  refusal: Refusal,
  options: { readonly admin?: boolean; readonly headers?: Readonly<Record<string, string>> } = {},
): Response {
  const { error, status, description } = refusals[refusal.refused];
  const said = refusal.hint ?? description;
  const body = options.admin
    ? { error, error_description: said, status_code: status }
    : { error, error_description: printable(said) };
  return json(status, body, {
    ...noStore,
    ...(status === 503 ? { 'retry-after': '1' } : {}),
    ...options.headers,
  });
}

/** What the Node adapter hands over beside the request; absent where a test calls the app itself. */
export interface Socketed {
  readonly incoming?: IncomingMessage;
  readonly outgoing?: ServerResponse;
}

/**
 * A request header that is sent once, by its lower-case name. Read from Node's own table: the first
 * look at a Request's Headers copies and checks all of them, 8 us.
 */
export function requestHeader(c: Ctx, name: string): string | undefined {
  const { incoming }: Socketed = c.env ?? {};
  if (incoming === undefined) return c.req.header(name);
  const value = incoming.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The query of the request as it was sent, without its `?`. */
export function requestQuery(c: Ctx): string {
  const { incoming }: Socketed = c.env ?? {};
  const url = incoming?.url ?? c.req.url;
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}
