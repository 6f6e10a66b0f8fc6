import { randomBytes } from 'node:crypto';
import type { Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import type { IDToken } from 'openid-client';

/** What the app remembers between the redirect to sign in and the callback. */
export interface Attempt {
  readonly verifier: string;
  readonly state: string;
  readonly nonce: string;
}

/** What the app holds while somebody is connected. */
export interface Connection {
  readonly claims: IDToken;
  readonly scope: string;
  readonly idToken: string;
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
}

/** One browser's session, in memory: restarting the app forgets it. */
export interface Session {
  attempt?: Attempt;
  connection?: Connection;
  /** What happened last; shown once. */
  notice?: Notice;
}

export interface Notice {
  readonly title: string;
  readonly text: string;
  readonly failed: boolean;
}

const cookie = 'acme-notes';
const sessionsMax = 1000;

/** The sessions of the app; over {@link sessionsMax} the oldest is forgotten. */
export function createSessions() {
  const sessions = new Map<string, Session>();
  return {
    /** This browser's session, if it has one. */
    of(c: Context): Session | undefined {
      return sessions.get(getCookie(c, cookie) ?? '');
    },
    /** A new session with a new id, in place of the one before: an id seen earlier is worthless. */
    begin(c: Context, session: Session): void {
      sessions.delete(getCookie(c, cookie) ?? '');
      const [oldest] = sessions.keys();
      if (oldest !== undefined && sessions.size >= sessionsMax) sessions.delete(oldest);
      const id = randomBytes(16).toString('base64url');
      sessions.set(id, session);
      const secure = new URL(c.req.url).protocol === 'https:';
      setCookie(c, cookie, id, { path: '/', httpOnly: true, sameSite: 'Lax', secure });
    },
    end(c: Context): void {
      sessions.delete(getCookie(c, cookie) ?? '');
      deleteCookie(c, cookie, { path: '/' });
    },
  };
}
