import { timingSafeEqual } from 'node:crypto';
import { type Refusal, refuse } from '#core/refusal.ts';
import { cookieName, setCookie } from '#server/http/frame/cookies.ts';
import type { Node } from '#server/node.ts';
import { decodeFlow, encodeFlow, type Flow } from '#tokens/flow.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { openFromUrl, sealForUrl, urlSealedCharsMax } from './sealed.ts';

export type FlowPurpose =
  | 'login_challenge'
  | 'login_verifier'
  | 'consent_challenge'
  | 'consent_verifier';

/** Tabs of one browser that may be in a flow at once; the oldest beyond it is forgotten. */
const flowCookiesMax = 10;
const flowCookiePrefix = 'gh_flow_';

/** Seals a flow for its next hop. */
export function sealFlow(
  node: Node,
  ring: Keyring,
  purpose: FlowPurpose,
  flow: Flow,
): Promise<string> {
  return sealForUrl(node, ring, purpose, encodeFlow(flow), {
    charsMax: urlSealedCharsMax,
    lifetimeSeconds: flow.expiresAt - Math.floor(node.feed.nowMs() / 1000),
  });
}

/** The flow of a hop, if it was sealed here for it and has not expired (`flow_invalid`). */
export async function openFlow(
  node: Node,
  ring: Keyring,
  purpose: FlowPurpose,
  text: string,
): Promise<Flow | Refusal> {
  const bytes = await openFromUrl(node, ring, purpose, text);
  const flow = bytes === undefined ? undefined : decodeFlow(bytes);
  if (flow === undefined || flow.expiresAt * 1000 <= node.feed.nowMs()) {
    return refuse(purpose.endsWith('challenge') ? 'challenge_unknown' : 'flow_invalid');
  }
  return flow;
}

/** The cookies that begin a flow: its own, and the end of the oldest where there are too many. */
export function beginFlowCookies(
  node: Node,
  flow: Flow,
  cookies: ReadonlyMap<string, string>,
): string[] {
  const secure = isSecure(node);
  const name = flowCookieName(flow, secure);
  const lifetime = flow.expiresAt - flow.requestedAt;
  const value = flow.csrf.toString('base64url');
  const set = [setCookie(name, value, { secure, maxAgeSeconds: lifetime })];
  const prefix = cookieName(flowCookiePrefix, secure);
  // Names begin with the time in hexadecimal (UUIDv7), so they sort by age.
  const others = [...cookies.keys()].filter((one) => one.startsWith(prefix)).sort();
  for (const old of others.slice(0, Math.max(0, others.length - flowCookiesMax + 1))) {
    set.push(setCookie(old, '', { secure, maxAgeSeconds: 0 }));
  }
  return set;
}

/** True if this browser is the one that began the flow (RFC 9700 §4.7). */
export function ownsFlow(node: Node, flow: Flow, cookies: ReadonlyMap<string, string>): boolean {
  const value = cookies.get(flowCookieName(flow, isSecure(node)));
  if (value === undefined) return false;
  const given = Buffer.from(value, 'base64url');
  return given.length === flow.csrf.length && timingSafeEqual(given, flow.csrf);
}

/** True where cookies must be Secure: the issuer is https. */
export function isSecure(node: Node): boolean {
  return node.config.issuer.startsWith('https://');
}

function flowCookieName(flow: Flow, secure: boolean): string {
  return cookieName(flowCookiePrefix, secure) + flow.id.replaceAll('-', '').slice(0, 20);
}
