import { cookieName, setCookie } from '#server/http/frame/cookies.ts';
import type { Node } from '#server/node.ts';
import { createReader, createWriter } from '#tokens/codec.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { isSecure } from './flow.ts';

const sessionCookie = 'gh_session';

/** The cookie that remembers a login: the session's id, sealed. What it is worth stands in its row. */
export function rememberSession(
  node: Node,
  ring: Keyring,
  sessionId: string,
  rememberSeconds: number,
): string {
  const secure = isSecure(node);
  const value = ring.seal('session_cookie', createWriter(32).u8(1).uuid(sessionId).finish());
  const maxAgeSeconds = rememberSeconds > 0 ? rememberSeconds : undefined;
  return setCookie(cookieName(sessionCookie, secure), value, { secure, maxAgeSeconds });
}

/** Forgets the login in this browser. */
export function forgetSession(node: Node): string {
  const secure = isSecure(node);
  return setCookie(cookieName(sessionCookie, secure), '', { secure, maxAgeSeconds: 0 });
}

/** The id of the session that the browser remembers, if the cookie is ours. */
export function sessionIdOf(
  node: Node,
  ring: Keyring,
  cookies: ReadonlyMap<string, string>,
): string | undefined {
  const value = cookies.get(cookieName(sessionCookie, isSecure(node)));
  if (value === undefined) return undefined;
  const bytes = ring.open('session_cookie', value);
  if (bytes === undefined) return undefined;
  const reader = createReader(bytes);
  if (reader.u8() !== 1) return undefined;
  const id = reader.uuid();
  return reader.finished() ? id : undefined;
}
