import { timingSafeEqual } from 'node:crypto';
import { decodeBase64url } from './base64url.ts';
import { createReader, createWriter } from './codec.ts';
import type { Keyring } from './keyring.ts';

/** What a refresh token names: a chain, and which of its generations. */
export interface RefreshToken {
  readonly chainId: string;
  readonly generation: number;
  /** The kid of the MAC key it was made with. */
  readonly macKid: string;
}

export const refreshTokenPrefix = 'gh_rt_';
const version = 1;
const macBytes = 16;

/**
 * `prefix + id + generation + kid + MAC`: derived, not stored, so the same successor can be made
 * again (hot path 4). Undefined where the MAC key is not known any more.
 */
export function makeRefreshToken(ring: Keyring, token: RefreshToken): string | undefined {
  const body = createWriter(64)
    .u8(version)
    .uuid(token.chainId)
    .u32(token.generation)
    .text(token.macKid)
    .finish();
  const mac = ring.refreshMac(token.macKid, body);
  if (mac === undefined) return undefined;
  return refreshTokenPrefix + Buffer.concat([body, mac]).toString('base64url');
}

/** The token in this text if its MAC is right; undefined for everything else. */
export function readRefreshToken(ring: Keyring, text: string): RefreshToken | undefined {
  if (!text.startsWith(refreshTokenPrefix)) return undefined;
  const bytes = decodeBase64url(text.slice(refreshTokenPrefix.length));
  if (bytes === undefined || bytes.length <= macBytes) return undefined;
  const body = bytes.subarray(0, bytes.length - macBytes);
  const reader = createReader(body);
  if (reader.u8() !== version) return undefined;
  const token = { chainId: reader.uuid(), generation: reader.u32(), macKid: reader.text() };
  if (!reader.finished()) return undefined;
  const mac = ring.refreshMac(token.macKid, body);
  if (mac === undefined || !timingSafeEqual(mac, bytes.subarray(bytes.length - macBytes))) {
    return undefined;
  }
  return token;
}
