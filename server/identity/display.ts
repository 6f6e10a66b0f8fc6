import { createHash } from 'node:crypto';

const nameCharactersMax = 80;

/**
 * Text that somebody else chose (an app's name, an error description), made harmless to show:
 * control, bidi and other invisible characters go (security 42), blanks collapse, accents do not
 * pile up, and the length is bounded. HTML is escaped later, by the template.
 */
export function harmless(text: string, charactersMax: number = nameCharactersMax): string {
  const plain = text
    .slice(0, 16 * charactersMax)
    .normalize('NFC')
    .replace(/[\s\p{Z}]+/gu, ' ')
    .replace(/[\p{C}\u115f\u1160\u3164\uffa0]/gu, '')
    .replace(/(\p{M}{2})\p{M}+/gu, '$1')
    .trim();
  const characters = [...plain];
  if (characters.length <= charactersMax) return plain;
  return `${characters.slice(0, charactersMax - 1).join('')}…`;
}

/** The letter on an app's tile. */
export function initialOf(name: string): string {
  const letter = /[\p{L}\p{N}]/u.exec(name)?.[0] ?? '?';
  return letter.toUpperCase();
}

/** Which of the tile's colours an app gets: the same one on every page, from its id. */
export function tileOf(clientId: string): number {
  return (createHash('sha256').update(clientId).digest()[0] ?? 0) % 6;
}

/** An https or http address that may be linked; undefined for every other scheme and for junk. */
export function linkable(address: unknown): string | undefined {
  if (typeof address !== 'string' || address.length > 2048) return undefined;
  const url = parsed(address);
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return undefined;
  return url.username === '' && url.password === '' ? url.href : undefined;
}

/** The host of a web address as it is on the wire: in punycode, so that look-alikes show. */
export function hostOf(address: unknown): string | undefined {
  const link = linkable(address);
  return link === undefined ? undefined : new URL(link).host;
}

/** Where the browser goes afterwards, for the person who decides. */
export interface Destination {
  readonly kind: 'host' | 'loopback' | 'app';
  readonly text: string;
}

/** Says where a redirect URI leads. Undefined: the address cannot be read. */
export function destinationOf(redirectUri: string): Destination | undefined {
  const url = parsed(redirectUri);
  if (url === undefined) return undefined;
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return { kind: 'app', text: harmless(url.protocol.slice(0, -1)) };
  }
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  return { kind: loopback ? 'loopback' : 'host', text: url.host };
}

function parsed(address: string): URL | undefined {
  try {
    return new URL(address);
  } catch {
    return undefined;
  }
}
