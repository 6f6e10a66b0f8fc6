import { createReader, createWriter } from './codec.ts';

/** A logout under way, sealed as challenge and verifier. Times are seconds since the epoch. */
export interface LogoutFlow {
  readonly id: string;
  readonly requestedAt: number;
  readonly expiresAt: number;
  /** The request as it came. */
  readonly query: string;
  readonly subject: string;
  readonly sessionId: string;
  /** The login of the id_token_hint, which ends with it; '' where that is the same or none. */
  readonly hintedSessionId: string;
  /** The client of the id_token_hint; '' where the person came without. */
  readonly clientId: string;
  readonly rpInitiated: boolean;
  /** Where the browser goes at the end, with `state`; '' for the built-in page. */
  readonly returnTo: string;
}

const version = 1;
/** With a second login at the end. */
const twofoldVersion = 2;

/** The bytes of a logout, to be sealed. */
export function encodeLogout(flow: LogoutFlow): Buffer {
  const isTwofold = flow.hintedSessionId !== '';
  const writer = createWriter()
    .u8(isTwofold ? twofoldVersion : version)
    .uuid(flow.id)
    .u48(flow.requestedAt)
    .u48(flow.expiresAt)
    .text(flow.query)
    .text(flow.subject)
    .optionalUuid(flow.sessionId)
    .text(flow.clientId)
    .u8(flow.rpInitiated ? 1 : 0)
    .text(flow.returnTo);
  return (isTwofold ? writer.uuid(flow.hintedSessionId) : writer).finish();
}

/** The logout in these bytes, or undefined where they are not one. */
export function decodeLogout(bytes: Buffer): LogoutFlow | undefined {
  const r = createReader(bytes);
  const given = r.u8();
  if (given !== version && given !== twofoldVersion) return undefined;
  const flow: LogoutFlow = {
    id: r.uuid(),
    requestedAt: r.u48(),
    expiresAt: r.u48(),
    query: r.text(),
    subject: r.text(),
    sessionId: r.optionalUuid(),
    clientId: r.text(),
    rpInitiated: r.u8() === 1,
    returnTo: r.text(),
    hintedSessionId: given === twofoldVersion ? r.uuid() : '',
  };
  return r.finished() ? flow : undefined;
}
