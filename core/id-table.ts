/**
 * A growing table of 128-bit keys with an end each, in typed arrays: 40 bytes an entry as a rule,
 * against about 150 in a Map of strings. Keys are spread over 256 segments by their bits, and each
 * segment grows and forgets by itself, so no call makes more than a 256th of the table anew: with a
 * million entries under 1 ms, where a Map or one array would stop the process for 100 ms.
 *
 * Keys must be bits that no stranger chooses: random ids of ours, or a keyed hash.
 */
export interface IdTable {
  /** Adds a key, or raises the end and the order of one that is there. */
  put(key: Uint32Array, endSeconds: number, order?: number): void;
  /** The highest order put under this key (0 where none was named), or -1: it is not there. */
  order(key: Uint32Array): number;
  /** Forgets what ended before `nowSeconds` in the next of the {@link shares}. */
  forgetNext(nowSeconds: number): void;
  readonly size: number;
}

/** So many calls of `forgetNext` go once through all of a table. */
export const shares = 256;

interface Segment {
  mask: number;
  /** Five words a slot, so that a look-up touches one line of cache: its end (0: free), its key. */
  slots: Uint32Array;
  /** Empty in a table without orders. */
  orders: Float64Array;
  size: number;
}

const wordsPerSlot = 5;
const slotsMin = 16;
/** Segments fill alike, so each has a limit of its own: else all would grow within one poll. */
const loadMaxOf = (place: number) => 0.5 + place / (4 * shares);
/** Bounds Uint32 seconds: the year 2106. */
const endMax = 0xffffffff;

/** Makes an empty table; without `ordered` it keeps no orders, and saves 8 bytes a slot. */
export function createIdTable(ordered: boolean): IdTable {
  const segments: (Segment | undefined)[] = Array.from({ length: shares }, () => undefined);
  let size = 0;
  let nextShare = 0;

  return {
    put(key, endSeconds, order = 0) {
      const hash = hashOf(key, 0);
      const place = hash >>> 24;
      const segment = segments[place] ?? emptySegment(slotsMin, ordered);
      segments[place] = segment;
      if (segment.size + 1 > (segment.mask + 1) * loadMaxOf(place)) {
        rebuild(segment, (segment.mask + 1) * 2, 1, ordered);
      }
      const end = Math.min(Math.max(Math.ceil(endSeconds), 1), endMax);
      if (insert(segment, hash, key, 0, end, order)) size++;
    },
    order(key) {
      if (size === 0) return -1;
      const hash = hashOf(key, 0);
      const segment = segments[hash >>> 24];
      if (segment === undefined) return -1;
      const slot = find(segment, hash, key, 0);
      return segment.slots[slot * wordsPerSlot] === 0 ? -1 : (segment.orders[slot] ?? 0);
    },
    forgetNext(nowSeconds) {
      const place = nextShare;
      const segment = segments[place];
      nextShare = (place + 1) % shares;
      if (segment === undefined) return;
      const live = countLiving(segment, nowSeconds);
      if (live === segment.size) return;
      size -= segment.size - live;
      let slots = slotsMin;
      while (live > slots * loadMaxOf(place) * 0.7) slots *= 2;
      rebuild(segment, slots, Math.ceil(nowSeconds), ordered);
    },
    get size() {
      return size;
    },
  };
}

function emptySegment(slots: number, ordered: boolean): Segment {
  return {
    mask: slots - 1,
    slots: new Uint32Array(slots * wordsPerSlot),
    orders: new Float64Array(ordered ? slots : 0),
    size: 0,
  };
}

function countLiving(segment: Segment, nowSeconds: number): number {
  const { slots } = segment;
  let living = 0;
  for (let at = 0; at < slots.length; at += wordsPerSlot) {
    const end = slots[at] ?? 0;
    if (end > 0 && end >= nowSeconds) living++;
  }
  return living;
}

/** Makes the arrays of a segment anew, without what ended before `keepFrom`. */
function rebuild(segment: Segment, size: number, keepFrom: number, ordered: boolean): void {
  const { slots, orders } = segment;
  Object.assign(segment, emptySegment(size, ordered));
  for (let at = 0; at < slots.length; at += wordsPerSlot) {
    const end = slots[at] ?? 0;
    if (end === 0 || end < keepFrom) continue;
    insert(segment, hashOf(slots, at + 1), slots, at + 1, end, orders[at / wordsPerSlot] ?? 0);
  }
}

/** All four words count: the first two of a UUIDv7 are a time, and many ids share them. */
function hashOf(words: Uint32Array, at: number): number {
  let hash = (words[at + 3] ?? 0) ^ Math.imul(words[at + 1] ?? 0, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x9e3779b1) ^ (words[at + 2] ?? 0);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35) ^ (words[at] ?? 0);
  hash = Math.imul(hash ^ (hash >>> 16), 0x27d4eb2f);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** The slot that holds these words, or the free one where they would go (linear probing). */
function find(segment: Segment, hash: number, words: Uint32Array, from: number): number {
  const { mask, slots } = segment;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const at = slot * wordsPerSlot;
    if (
      slots[at] === 0 ||
      (slots[at + 1] === words[from] &&
        slots[at + 2] === words[from + 1] &&
        slots[at + 3] === words[from + 2] &&
        slots[at + 4] === words[from + 3])
    )
      return slot;
  }
}

/** True if it was new; a key that was there keeps the later end and the higher order. */
function insert(
  segment: Segment,
  hash: number,
  words: Uint32Array,
  from: number,
  end: number,
  order: number,
): boolean {
  const slot = find(segment, hash, words, from);
  const { slots, orders } = segment;
  const at = slot * wordsPerSlot;
  const isNew = slots[at] === 0;
  if (isNew) {
    for (let i = 0; i < 4; i++) slots[at + 1 + i] = words[from + i] ?? 0;
    segment.size++;
  }
  slots[at] = Math.max(slots[at] ?? 0, end);
  // Beyond the end of an empty array nothing is written.
  orders[slot] = Math.max(orders[slot] ?? 0, order);
  return isNew;
}
