import { randomFillSync } from 'node:crypto';

/** Drawn in bulk: one draw costs 4 us whatever its size. */
const pool = Buffer.allocUnsafeSlow(4096);
const position = { at: pool.length };

/** `bytes` random bytes, of their own memory. */
export function randomOctets(bytes: number): Buffer {
  const at = draw(bytes);
  return Buffer.from(pool.subarray(at, at + bytes));
}

/** Where the next `bytes` unused bytes of the pool begin. */
function draw(bytes: number): number {
  if (position.at + bytes > pool.length) {
    randomFillSync(pool);
    position.at = 0;
  }
  const at = position.at;
  position.at += bytes;
  return at;
}

/**
 * A UUIDv7 (RFC 9562 §5.7), lower case. The leading time keeps inserts at the right edge of every
 * index, so a growing table costs no more buffers per insert.
 */
export function newId(nowMs: number = Date.now()): string {
  const at = draw(10);
  pool[at] = ((pool[at] ?? 0) & 0x0f) | 0x70;
  pool[at + 2] = ((pool[at + 2] ?? 0) & 0x3f) | 0x80;
  const time = Math.floor(nowMs).toString(16).padStart(12, '0');
  const random = pool.toString('hex', at, at + 10);
  return (
    `${time.slice(0, 8)}-${time.slice(8)}-${random.slice(0, 4)}` +
    `-${random.slice(4, 8)}-${random.slice(8)}`
  );
}
