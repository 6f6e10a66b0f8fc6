import { createReader, createWriter, type Reader, type Writer } from './codec.ts';

/** A login as a flow carries it. Times are seconds since the epoch. */
export interface FlowSession {
  readonly id: string;
  readonly subject: string;
  readonly loginBorn: number;
  readonly authenticatedAt: number;
  readonly acr: string;
  readonly amr: readonly string[];
}

/** What the login app decided. */
export interface LoginDecision {
  readonly session: FlowSession;
  /** True: the login of the challenge goes on; nothing is inserted. */
  readonly skipped: boolean;
  readonly remember: boolean;
  /** 0: until the browser ends. */
  readonly rememberSeconds: number;
  readonly extend: boolean;
  readonly idpSessionId: string | undefined;
}

/** What the consent app decided. */
export interface ConsentDecision {
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly remember: boolean;
  /** 0: for ever. */
  readonly rememberSeconds: number;
  readonly grantBorn: number;
  /** JSON text of `session.id_token` and `session.access_token`; undefined: none. */
  readonly idTokenClaims: string | undefined;
  readonly accessTokenClaims: string | undefined;
}

/** A refusal by the login or consent app, on its way to the client. */
export interface Rejection {
  readonly error: string;
  readonly description: string;
  readonly hint: string;
}

/**
 * An authorization request under way (hot path 1): what was asked and what was decided so
 * far, sealed for one hop at a time. The client is not in it: it is looked up live.
 */
export interface Flow {
  /** Becomes the code's id and the chain's id, however often a verifier is replayed. */
  readonly id: string;
  /** 16 random bytes that only the browser's cookie of this flow has besides. */
  readonly csrf: Buffer;
  /** The authorization request as it came, form-encoded. */
  readonly query: string;
  /** Seconds since the epoch. */
  readonly requestedAt: number;
  readonly expiresAt: number;
  /** In a login challenge: the login that may be skipped to. In a consent challenge: the login. */
  readonly session: FlowSession | undefined;
  readonly login: LoginDecision | undefined;
  /** The `born` of the grant that was remembered for all that is asked: consent may be skipped. */
  readonly rememberedBorn: number | undefined;
  readonly consent: ConsentDecision | undefined;
  readonly rejection: Rejection | undefined;
  /** JSON text that the login app hands to the consent app. */
  readonly context: string | undefined;
  readonly forcedSubject: string | undefined;
}

const version = 1;

/** The bytes of a flow, to be sealed. */
export function encodeFlow(flow: Flow): Buffer {
  const writer = createWriter()
    .u8(version)
    .uuid(flow.id)
    .bytes(flow.csrf)
    .text(flow.query)
    .u48(flow.requestedAt)
    .u48(flow.expiresAt);
  part(writer, flow.session, writeSession);
  part(writer, flow.login, writeLogin);
  part(writer, flow.rememberedBorn, (w, born) => w.u48(born));
  part(writer, flow.consent, writeConsent);
  part(writer, flow.rejection, (w, r) => w.text(r.error).text(r.description).text(r.hint));
  return writer.optionalText(flow.context).optionalText(flow.forcedSubject).finish();
}

/** The flow in these bytes, or undefined where they are not one. */
export function decodeFlow(bytes: Buffer): Flow | undefined {
  const reader = createReader(bytes);
  if (reader.u8() !== version) return undefined;
  const flow: Flow = {
    id: reader.uuid(),
    csrf: reader.bytes(),
    query: reader.text(),
    requestedAt: reader.u48(),
    expiresAt: reader.u48(),
    session: readPart(reader, readSession),
    login: readPart(reader, readLogin),
    rememberedBorn: readPart(reader, (r) => r.u48()),
    consent: readPart(reader, readConsent),
    rejection: readPart(reader, (r) => ({
      error: r.text(),
      description: r.text(),
      hint: r.text(),
    })),
    context: reader.optionalText(),
    forcedSubject: reader.optionalText(),
  };
  return reader.finished() ? flow : undefined;
}

function part<T>(writer: Writer, value: T | undefined, write: (w: Writer, value: T) => void): void {
  writer.u8(value === undefined ? 0 : 1);
  if (value !== undefined) write(writer, value);
}

function readPart<T>(reader: Reader, read: (r: Reader) => T): T | undefined {
  return reader.u8() === 1 ? read(reader) : undefined;
}

function writeSession(writer: Writer, session: FlowSession): void {
  writer
    .uuid(session.id)
    .text(session.subject)
    .u48(session.loginBorn)
    .u48(session.authenticatedAt)
    .text(session.acr)
    .textList(session.amr);
}

function readSession(reader: Reader): FlowSession {
  return {
    id: reader.uuid(),
    subject: reader.text(),
    loginBorn: reader.u48(),
    authenticatedAt: reader.u48(),
    acr: reader.text(),
    amr: reader.textList(),
  };
}

function writeLogin(writer: Writer, login: LoginDecision): void {
  writeSession(writer, login.session);
  writer
    .u8((login.skipped ? 1 : 0) | (login.remember ? 2 : 0) | (login.extend ? 4 : 0))
    .u48(login.rememberSeconds)
    .optionalText(login.idpSessionId);
}

function readLogin(reader: Reader): LoginDecision {
  const session = readSession(reader);
  const flags = reader.u8();
  return {
    session,
    skipped: (flags & 1) !== 0,
    remember: (flags & 2) !== 0,
    extend: (flags & 4) !== 0,
    rememberSeconds: reader.u48(),
    idpSessionId: reader.optionalText(),
  };
}

function writeConsent(writer: Writer, consent: ConsentDecision): void {
  writer
    .textList(consent.scope)
    .textList(consent.audience)
    .u8(consent.remember ? 1 : 0)
    .u48(consent.rememberSeconds)
    .u48(consent.grantBorn)
    .optionalText(consent.idTokenClaims)
    .optionalText(consent.accessTokenClaims);
}

function readConsent(reader: Reader): ConsentDecision {
  return {
    scope: reader.textList(),
    audience: reader.textList(),
    remember: reader.u8() === 1,
    rememberSeconds: reader.u48(),
    grantBorn: reader.u48(),
    idTokenClaims: reader.optionalText(),
    accessTokenClaims: reader.optionalText(),
  };
}
