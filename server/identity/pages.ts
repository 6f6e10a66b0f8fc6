import { isRefusal, type Refusal, refusals } from '#core/refusal.ts';
import type { Audit } from '#server/audit/audit.ts';
import type { Config } from '#server/config/config.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import { type Form, formBytesMax, readForm } from '#server/http/frame/body.ts';
import type { Log } from '#server/operation/log.ts';
import type { Database } from '#server/store/database.ts';
import { answerProblem, unavailable, unknownChallenge } from './error.ts';
import type { Forms } from './form.ts';
import type { Door, Onward, Person } from './handshake.ts';
import { type Refused, seeOther } from './page.ts';
import type { Passwords } from './password.ts';
import type { Throttle } from './throttle.ts';
import type { User } from './user.ts';

/** What the pages work with, made once by the routes. */
export interface Pages {
  readonly config: Config;
  readonly database: Database;
  readonly audit: Pick<Audit, 'count'>;
  readonly log: Log;
  readonly door: Door;
  readonly forms: Forms;
  readonly passwords: Passwords;
  /** Undefined where rate limits are off. */
  readonly throttles: Throttles | undefined;
}

export interface Throttles {
  /** Wrong passwords for one login from one network. */
  readonly login: Throttle;
  /** Wrong passwords for any login from one network. */
  readonly network: Throttle;
  /** Sign-ups from one network. */
  readonly signUp: Throttle;
}

/** The challenge in the query, or undefined when it is none that the engine could have made. */
export function challengeOf(c: Ctx, name: string): string | undefined {
  const challenges = c.req.queries(name) ?? [];
  const [challenge] = challenges;
  if (challenges.length !== 1 || challenge === undefined) return undefined;
  return /^[A-Za-z0-9._~-]{1,4096}$/.test(challenge) ? challenge : undefined;
}

/** Sends the browser where the engine says, or says why it cannot. */
export function proceed(c: Ctx, onward: Onward): Response | Promise<Response> {
  if ('redirectTo' in onward) return seeOther(c, onward.redirectTo);
  return onward.failed === 'unavailable' ? unavailable(c) : unknownChallenge(c);
}

/** What a login hands to the consent page and, at the next login, comes back with the session. */
export function contextOf(user: User): Person {
  return { login: user.login, name: user.name, email_verified: user.emailVerified };
}

/** Thirty days, for a login and its cookie. */
export const rememberSeconds = 30 * 24 * 60 * 60;

/** A form whose token is not of this browser, or too old. */
export const stale: Refused = {
  status: 403,
  message:
    'This form has expired, or your browser blocks cookies. Please check it and send it again.',
};

/** All places for password checks are taken. */
export const busy: Refused = {
  status: 503,
  message: 'Many people are signing in right now. Please try again in a moment.',
  retryAfterSeconds: 2,
};

/** What a form says when guesses come too fast. */
export function waitMessage(seconds: number): string {
  const wait = seconds < 90 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`;
  return `Too many attempts. Please wait ${seconds === 1 ? 'a second' : wait} and try again.`;
}

/** A form that was sent, and the challenge that its page is about. */
interface Sent {
  readonly challenge: string;
  /** An empty field is undefined, only `scope` may come twice. */
  readonly fields: Form;
}

/** Reads the form of a page; where it cannot be read, that is the answer. */
export async function readSent(c: Ctx, challengeName: string): Promise<Sent | Response> {
  const challenge = challengeOf(c, challengeName);
  if (challenge === undefined) return unknownChallenge(c);
  const fields = await readForm(c, formBytesMax, severalFields);
  return isRefusal(fields) ? unreadable(c, fields) : { challenge, fields };
}

const severalFields: ReadonlySet<string> = new Set(['scope']);

/** Answers a form that could not be read, or that says nothing we know. */
export function unreadable(c: Ctx, refusal: Refusal): Response | Promise<Response> {
  const { error, status, description } = refusals[refusal.refused];
  return answerProblem(c, { status, error, description: refusal.hint ?? description });
}
