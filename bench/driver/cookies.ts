import type { Answer } from './connection.ts';

/** A browser's cookies by name; one server only, so paths do not matter. */
export type Cookies = Map<string, string>;

/** Takes over what an answer sets and clears. */
export function takeCookies(cookies: Cookies, answer: Answer): void {
  for (const line of answer.head.split('\r\n')) {
    const [, name = '', value = '', rest = ''] =
      /^set-cookie: *([^=]+)=([^;]*)(.*)$/i.exec(line) ?? [];
    if (name === '') continue;
    if (value === '' || /; *max-age=0|; *expires=[^;]* 1970 /i.test(rest)) cookies.delete(name);
    else cookies.set(name, value);
  }
}

/** The header lines that send them: one, or none. */
export function cookieHeaders(cookies: Cookies): readonly string[] {
  if (cookies.size === 0) return [];
  return [`cookie: ${[...cookies].map(([name, value]) => `${name}=${value}`).join('; ')}`];
}
