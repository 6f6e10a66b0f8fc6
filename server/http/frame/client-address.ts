import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Proxies in a row that are looked through; what is further away is not believed. */
const hopsMax = 16;

/** Finds out who calls. */
export type AddressOf = (incoming: IncomingMessage) => string;

/** Is this an address of a proxy that the deployment trusts? */
type Trusted = (address: string) => boolean;

/**
 * The caller's address: the socket's, unless that is a trusted proxy's. Then X-Forwarded-For is
 * read from its end, past further trusted proxies, to the first address that none vouches for
 * (security 51). Whatever is not an address ends the walk.
 */
export function addressReader(trustedProxies: readonly string[]): AddressOf {
  if (trustedProxies.length === 0) return socketAddress;
  const trusted = trustedBy(trustedProxies);
  return (incoming) => {
    const direct = socketAddress(incoming);
    const forwarded = incoming.headers['x-forwarded-for'];
    if (forwarded === undefined || !trusted(direct)) return direct;
    return furthestKnown(direct, Array.isArray(forwarded) ? forwarded.join() : forwarded, trusted);
  };
}

function furthestKnown(direct: string, forwarded: string, trusted: Trusted): string {
  let known = direct;
  let end = forwarded.length;
  for (let hop = 0; hop < hopsMax && end > 0; hop += 1) {
    const comma = forwarded.lastIndexOf(',', end - 1);
    const address = plain(withoutPort(forwarded.slice(comma + 1, end).trim()));
    if (isIP(address) === 0) return known;
    known = address;
    if (!trusted(address)) return known;
    end = comma;
  }
  return known;
}

function trustedBy(ranges: readonly string[]): Trusted {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    list.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  return (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

function socketAddress(incoming: IncomingMessage): string {
  return plain(incoming.socket.remoteAddress ?? 'unknown');
}

/** Some proxies write the port too, and then IPv6 in brackets, as an authority has it (RFC 3986 §3.2). */
function withoutPort(entry: string): string {
  const [, bracketed, dotted] = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?$/.exec(entry) ?? [];
  return bracketed ?? dotted ?? entry;
}

/**
 * An IPv4 address as a dual-stack socket writes it, without its prefix; an IPv6 address without its
 * zone, which is a name of any length that means nothing on another machine (RFC 4007 §6).
 */
function plain(address: string): string {
  const zone = address.indexOf('%');
  if (zone !== -1 && isIP(address) === 6) return plain(address.slice(0, zone));
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
