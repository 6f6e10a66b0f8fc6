/** Cookie names and values of one request, the first of each name. */
export function readCookies(header: string | undefined): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>();
  if (header === undefined) return cookies;
  for (const part of header.split(';')) {
    const at = part.indexOf('=');
    if (at < 0) continue;
    const name = part.slice(0, at).trim();
    if (name !== '' && !cookies.has(name)) cookies.set(name, part.slice(at + 1).trim());
  }
  return cookies;
}

export interface CookieOptions {
  /** True under an https issuer. */
  readonly secure: boolean;
  /** undefined: until the browser ends; 0: forget it now. */
  readonly maxAgeSeconds: number | undefined;
}

/**
 * A `Set-Cookie` value. Under https `SameSite=None; Secure`, because a cross-site POST to the
 * authorization endpoint must bring its cookies; plain loopback has no Secure, hence Lax.
 */
export function setCookie(name: string, value: string, options: CookieOptions): string {
  const age = options.maxAgeSeconds === undefined ? '' : `; Max-Age=${options.maxAgeSeconds}`;
  const site = options.secure ? '; Secure; SameSite=None' : '; SameSite=Lax';
  return `${name}=${value}; Path=/; HttpOnly${site}${age}`;
}

/** `__Host-` binds a cookie to this host and to https (RFC 6265bis §4.1.3.2). */
export function cookieName(name: string, secure: boolean): string {
  return secure ? `__Host-${name}` : name;
}
