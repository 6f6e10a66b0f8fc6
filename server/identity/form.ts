import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { getCookie, setCookie } from 'hono/cookie';
import type { Ctx } from '#server/http/frame/answer.ts';
import type { Keyring } from '#tokens/keyring.ts';

/** The pages that hold a form; a token of one is worth nothing on another. */
export type FormPage = 'login' | 'consent' | 'logout' | 'sign-up';

/** Tokens that tie a form to its browser, its page and its challenge (RFC 9700 §4.7). */
export interface Forms {
  /** The token for a form; gives the browser its page cookie when it has none. */
  issue(c: Ctx, page: FormPage, challenge: string): string;
  /** True when this browser was shown this form, for this challenge, within the hour. */
  belongs(c: Ctx, page: FormPage, challenge: string, token: string): boolean;
}

const lifetimeMs = 60 * 60 * 1000;
const cookieValue = /^[A-Za-z0-9_-]{22}$/;
const digestBytes = 32;

/** Forms of the deployment at `issuer`, sealed by the ring in force; `nowMs` is PostgreSQL's time. */
export function openForms(issuer: string, seal: () => Keyring, nowMs: () => number): Forms {
  const { protocol, pathname } = new URL(issuer);
  const secure = protocol === 'https:';
  // __Host- keeps a sibling subdomain from planting a cookie of its own (login CSRF); it demands
  // Path=/. Without TLS there is no prefix, and the path keeps the cookie to the pages.
  const name = secure ? '__Host-gatehouse-page' : 'gatehouse-page';
  const path = secure ? '/' : `${pathname.replace(/\/$/, '')}/ui`;
  const cookieOf = (c: Ctx) => {
    const value = getCookie(c, name);
    return value !== undefined && cookieValue.test(value) ? value : undefined;
  };
  return {
    issue(c, page, challenge) {
      let cookie = cookieOf(c);
      if (cookie === undefined) {
        cookie = randomBytes(16).toString('base64url');
        setCookie(c, name, cookie, { path, httpOnly: true, sameSite: 'Lax', secure });
      }
      const expiry = Buffer.alloc(8);
      expiry.writeDoubleBE(nowMs() + lifetimeMs);
      return seal().seal('page', Buffer.concat([digestOf(page, cookie, challenge), expiry]));
    },
    belongs(c, page, challenge, token) {
      const cookie = cookieOf(c);
      if (cookie === undefined || token === '' || token.length > 512) return false;
      const opened = seal().open('page', token);
      if (opened === undefined || opened.length !== digestBytes + 8) return false;
      const digest = opened.subarray(0, digestBytes);
      return (
        timingSafeEqual(digest, digestOf(page, cookie, challenge)) &&
        opened.readDoubleBE(digestBytes) > nowMs()
      );
    },
  };
}

function digestOf(page: FormPage, cookie: string, challenge: string): Buffer {
  return createHash('sha256').update(`${page}\n${cookie}\n${challenge}`).digest();
}
