import { createIdTable } from './id-table.ts';

/** A growing set of UUIDs with an end each (see {@link createIdTable}). */
export interface IdSet {
  /** Adds a lower-case UUID that may be forgotten after `expiresAtSeconds`, or raises its order. */
  add(id: string, expiresAtSeconds: number, order?: number): void;
  /** True if it was added and not forgotten. */
  has(id: string): boolean;
  /** The highest order that it was added with; -1: it is not there. */
  order(id: string): number;
  /** Forgets what ended before `nowSeconds` in the next share of the set. */
  forgetNext(nowSeconds: number): void;
  readonly size: number;
}

/** Makes an empty set; orders are kept only where `ordered`. */
export function createIdSet(ordered = false): IdSet {
  const table = createIdTable(ordered);
  const words = new Uint32Array(4);
  const orderOf = (id: string) => (table.size > 0 && readId(id, words) ? table.order(words) : -1);
  return {
    add(id, expiresAtSeconds, order) {
      if (readId(id, words)) table.put(words, expiresAtSeconds, order);
    },
    has: (id) => orderOf(id) >= 0,
    order: orderOf,
    forgetNext: table.forgetNext,
    get size() {
      return table.size;
    },
  };
}

/** Reads 36 characters of UUID text into four words; false for anything else. */
function readId(id: string, words: Uint32Array): boolean {
  if (id.length !== 36) return false;
  let word = 0;
  let digits = 0;
  for (let i = 0; i < 36; i++) {
    const code = id.charCodeAt(i);
    if (code === 45) continue;
    const digit = code < 58 ? code - 48 : code - 87;
    if (digit < 0 || digit > 15 || digits === 32) return false;
    word = (word << 4) | digit;
    digits++;
    if ((digits & 7) === 0) words[(digits >> 3) - 1] = word;
  }
  return digits === 32;
}
