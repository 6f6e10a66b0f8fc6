/** Longest redirect URI, in characters. */
export const redirectUriCharsMax = 2048;

const portMax = 65_535;
const loopbackLiterals = ['http://127.0.0.1', 'http://[::1]'] as const;
const loopbackHosts: ReadonlySet<string> = new Set(['127.0.0.1', '[::1]', 'localhost']);

/**
 * True if `given` is one of the registered redirect URIs, byte for byte: nothing is decoded or
 * normalised (RFC 9700 §2.1). The one exception is RFC 8252 §7.3: where an `http` URI on a loopback
 * IP literal is registered, any port does; `localhost` is a name and gets no such freedom.
 */
export function matchRedirectUri(registered: readonly string[], given: string): boolean {
  if (given.length > redirectUriCharsMax) return false;
  if (registered.includes(given)) return true;
  const loopback = splitLoopback(given);
  if (loopback === undefined) return false;
  return registered.some((uri) => {
    const other = splitLoopback(uri);
    return other !== undefined && other.host === loopback.host && other.rest === loopback.rest;
  });
}

/**
 * What is wrong with a redirect URI, as the end of a sentence, or undefined for a good one. Good
 * are absolute `https` URIs, `http` on 127.0.0.1, [::1] and localhost, and private-use schemes with
 * a dot (RFC 8252 §7.1), without fragment (RFC 6749 §3.1.2), user information, wildcard or any
 * character that a parser might skip or rewrite.
 */
export function redirectUriFault(uri: string): string | undefined {
  if (uri === '') return 'is empty';
  if (uri.length > redirectUriCharsMax) {
    return `is longer than ${redirectUriCharsMax} characters`;
  }
  if (!hasOnlyUriCharacters(uri)) {
    return 'has a character that is not allowed in a URI (RFC 3986 §2); percent-encode it';
  }
  if (uri.includes('#')) return 'must not have a fragment (RFC 6749 §3.1.2)';
  if (uri.includes('*')) return 'must not have a wildcard; register each URI by itself';
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(uri)?.[1];
  if (scheme === undefined) return 'is not absolute: it must begin with a scheme such as https';
  if (scheme === 'https' || scheme === 'http') return webFault(uri, scheme);
  if (!scheme.includes('.')) {
    return 'must use https, or a private-use scheme with a dot such as com.example.app (RFC 8252 §7.1)';
  }
  return privateUseFault(uri.slice(scheme.length + 1));
}

/** The host of an http or https redirect URI as registered (without port), else undefined. */
export function redirectHost(uri: string): string | undefined {
  const authority = /^https?:\/\/([^/?]*)/.exec(uri)?.[1];
  if (authority === undefined) return undefined;
  return authority.replace(/:[0-9]*$/, '').toLowerCase();
}

function webFault(uri: string, scheme: 'http' | 'https'): string | undefined {
  const authority = /^https?:\/\/([^/?]*)/.exec(uri)?.[1];
  if (authority === undefined || authority === '') return `must have a host after ${scheme}://`;
  if (authority.includes('@')) return 'must not have user information before the host';
  const parts = /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?$/.exec(
    authority,
  );
  const host = parts?.[1];
  if (host === undefined) return 'must have a plain host: a name, an address, and maybe a port';
  if (parts?.[2] !== undefined && !isPort(parts[2])) return 'has a port that is not 1 to 65535';
  if (!URL.canParse(uri)) return 'is not a URL that a browser would follow';
  if (scheme === 'http' && !loopbackHosts.has(host)) {
    return 'must use https: http is allowed for 127.0.0.1, [::1] and localhost only';
  }
  return undefined;
}

function privateUseFault(rest: string): string | undefined {
  if (!rest.startsWith('/')) return 'must have a path after the scheme, as in com.example.app:/cb';
  const authority = /^\/\/([^/?]*)/.exec(rest)?.[1];
  if (authority?.includes('@')) return 'must not have user information before the host';
  return undefined;
}

/** Printable ASCII without what RFC 3986 leaves out: quotes, brackets of other kinds, backslash. */
function hasOnlyUriCharacters(uri: string): boolean {
  return /^[!#$%&'()*+,\-./0-9:;=?@A-Z[\]_a-z~]*$/.test(uri) && !/%(?![0-9A-Fa-f]{2})/.test(uri);
}

function splitLoopback(uri: string): { readonly host: string; readonly rest: string } | undefined {
  const host = loopbackLiterals.find((literal) => uri.startsWith(literal));
  if (host === undefined) return undefined;
  const tail = uri.slice(host.length);
  const port = /^:([0-9]{1,5})(?![0-9])/.exec(tail)?.[1];
  if (port !== undefined && !isPort(port)) return undefined;
  const rest = port === undefined ? tail : tail.slice(port.length + 1);
  return rest === '' || rest.startsWith('/') || rest.startsWith('?') ? { host, rest } : undefined;
}

function isPort(text: string): boolean {
  return !text.startsWith('0') && Number(text) <= portMax;
}
