/** Longest text, byte string or list that the codec carries, in bytes or entries: 4 varint bytes. */
const lengthMax = 2 ** 28 - 1;

/**
 * Writes a compact sealed payload, field after field; {@link Reader} reads the same fields in the
 * same order. Out-of-range values throw RangeError: they are bugs, the edge has checked its input.
 */
export interface Writer {
  u8(value: number): Writer;
  u16(value: number): Writer;
  u32(value: number): Writer;
  /** 0 to 2^48 - 1: times in milliseconds, fact numbers. */
  u48(value: number): Writer;
  /** A UUID of 36 characters, as 16 bytes; read back in lower case. */
  uuid(value: string): Writer;
  /** The same with a flag byte; '' stands for none, as in Mortal. */
  optionalUuid(value: string): Writer;
  /** UTF-8; lone surrogates become U+FFFD. */
  text(value: string): Writer;
  /** undefined and '' stay apart. */
  optionalText(value: string | undefined): Writer;
  bytes(value: Uint8Array): Writer;
  textList(values: readonly string[]): Writer;
  /** What was written. It shares memory with the writer, which must not be used afterwards. */
  finish(): Buffer;
}

/** Makes a writer. `sizeHint` in bytes saves growing; payloads of the hot path are under 512. */
export function createWriter(sizeHint = 512): Writer {
  let buffer = Buffer.allocUnsafe(sizeHint);
  let at = 0;

  function room(bytes: number): void {
    if (at + bytes <= buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(buffer.length * 2, at + bytes));
    buffer.copy(grown, 0, 0, at);
    buffer = grown;
  }

  function varint(value: number): void {
    if (value > lengthMax) throw new RangeError(`a length over ${lengthMax} cannot be written`);
    room(4);
    let rest = value;
    while (rest > 0x7f) {
      buffer[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[at++] = rest;
  }

  function utf8(value: string, extra: number): void {
    const bytes = Buffer.byteLength(value);
    varint(bytes + extra);
    room(bytes);
    at += buffer.write(value, at, bytes, 'utf8');
  }

  const writer: Writer = {
    u8(value) {
      room(1);
      at = buffer.writeUInt8(value, at);
      return writer;
    },
    u16(value) {
      room(2);
      at = buffer.writeUInt16BE(value, at);
      return writer;
    },
    u32(value) {
      room(4);
      at = buffer.writeUInt32BE(value, at);
      return writer;
    },
    u48(value) {
      room(6);
      at = buffer.writeUIntBE(value, at, 6);
      return writer;
    },
    uuid(value) {
      room(16);
      if (!isUuidShape(value) || buffer.write(hexOfUuid(value), at, 16, 'hex') !== 16) {
        throw new RangeError('not a UUID of 36 characters');
      }
      at += 16;
      return writer;
    },
    optionalUuid(value) {
      if (value === '') return writer.u8(0);
      return writer.u8(1).uuid(value);
    },
    text(value) {
      utf8(value, 0);
      return writer;
    },
    optionalText(value) {
      if (value === undefined) varint(0);
      // the length plus one, so that 0 can stand for absent
      else utf8(value, 1);
      return writer;
    },
    bytes(value) {
      varint(value.length);
      room(value.length);
      buffer.set(value, at);
      at += value.length;
      return writer;
    },
    textList(values) {
      varint(values.length);
      for (const value of values) utf8(value, 0);
      return writer;
    },
    finish: () => buffer.subarray(0, at),
  };
  return writer;
}

/**
 * Reads what a {@link Writer} wrote. It never throws and never reads past the end: after the first
 * malformed field `ok` is false, and that field and all later ones read as 0, '', undefined or
 * empty. So a parser reads all its fields straight and asks {@link Reader.finished} once, at the end.
 */
export interface Reader {
  /** False once anything did not fit. */
  readonly ok: boolean;
  /** True if every field was there and no byte is left over. */
  finished(): boolean;
  u8(): number;
  u16(): number;
  u32(): number;
  u48(): number;
  uuid(): string;
  optionalUuid(): string;
  text(): string;
  optionalText(): string | undefined;
  /** Shares memory with what is read. */
  bytes(): Buffer;
  textList(): string[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Makes a reader over `buffer`; see {@link Reader} for how it refuses. `ok` is a plain property:
 * with a getter the object costs 3 us to make, 0.2 without.
 */
export function createReader(buffer: Buffer): Reader {
  let at = 0;

  /** Moves on by `bytes` and gives where they begin, or -1 if there are not so many. */
  function take(bytes: number): number {
    if (!reader.ok || bytes > buffer.length - at) {
      reader.ok = false;
      return -1;
    }
    const start = at;
    at += bytes;
    return start;
  }

  function varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const start = take(1);
      if (start < 0) return 0;
      const byte = buffer.readUInt8(start);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        // one encoding for each length: no trailing zero group
        if (byte === 0 && shift > 0) reader.ok = false;
        return reader.ok ? value : 0;
      }
    }
    reader.ok = false;
    return 0;
  }

  function utf8(bytes: number): string {
    const start = take(bytes);
    return start < 0 ? '' : buffer.toString('utf8', start, start + bytes);
  }

  const reader: Mutable<Reader> = {
    ok: true,
    finished: () => reader.ok && at === buffer.length,
    u8() {
      const start = take(1);
      return start < 0 ? 0 : buffer.readUInt8(start);
    },
    u16() {
      const start = take(2);
      return start < 0 ? 0 : buffer.readUInt16BE(start);
    },
    u32() {
      const start = take(4);
      return start < 0 ? 0 : buffer.readUInt32BE(start);
    },
    u48() {
      const start = take(6);
      return start < 0 ? 0 : buffer.readUIntBE(start, 6);
    },
    uuid() {
      const start = take(16);
      return start < 0 ? '' : uuidOfHex(buffer.toString('hex', start, start + 16));
    },
    optionalUuid() {
      const flag = reader.u8();
      if (flag > 1) reader.ok = false;
      return reader.ok && flag === 1 ? reader.uuid() : '';
    },
    text: () => utf8(varint()),
    optionalText() {
      const length = varint();
      if (length === 0) return undefined;
      const value = utf8(length - 1);
      return reader.ok ? value : undefined;
    },
    bytes() {
      const length = varint();
      const start = take(length);
      return start < 0 ? Buffer.alloc(0) : buffer.subarray(start, start + length);
    },
    textList() {
      const count = varint();
      // every text takes a byte at least, so a count beyond what is left is a lie
      if (count > buffer.length - at) reader.ok = false;
      const values: string[] = [];
      while (reader.ok && values.length < count) values.push(utf8(varint()));
      return reader.ok ? values : [];
    },
  };
  return reader;
}

function isUuidShape(text: string): boolean {
  return (
    text.length === 36 &&
    text[8] === '-' &&
    text[13] === '-' &&
    text[18] === '-' &&
    text[23] === '-'
  );
}

function hexOfUuid(text: string): string {
  return (
    text.slice(0, 8) + text.slice(9, 13) + text.slice(14, 18) + text.slice(19, 23) + text.slice(24)
  );
}

function uuidOfHex(hex: string): string {
  const head = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}`;
  return `${head}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
