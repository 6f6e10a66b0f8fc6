import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createReader, createWriter, type Reader, type Writer } from '#tokens/codec.ts';

interface Field {
  readonly write: (writer: Writer) => void;
  readonly read: (reader: Reader) => unknown;
  readonly value: unknown;
}

// Whole code points only: lone surrogates have no UTF-8.
const text = fc.string({ unit: 'binary', maxLength: 300 });
const uuid = fc.uuid();

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.nat(0xff).map((value) =>
    of(
      value,
      (w) => w.u8(value),
      (r) => r.u8(),
    ),
  ),
  fc.nat(0xffff).map((value) =>
    of(
      value,
      (w) => w.u16(value),
      (r) => r.u16(),
    ),
  ),
  fc.integer({ min: 0, max: 0xffffffff }).map((value) =>
    of(
      value,
      (w) => w.u32(value),
      (r) => r.u32(),
    ),
  ),
  fc
    .maxSafeNat()
    .map((value) => value % 2 ** 48)
    .map((value) =>
      of(
        value,
        (w) => w.u48(value),
        (r) => r.u48(),
      ),
    ),
  uuid.map((value) =>
    of(
      value,
      (w) => w.uuid(value),
      (r) => r.uuid(),
    ),
  ),
  fc.oneof(uuid, fc.constant('')).map((value) =>
    of(
      value,
      (w) => w.optionalUuid(value),
      (r) => r.optionalUuid(),
    ),
  ),
  text.map((value) =>
    of(
      value,
      (w) => w.text(value),
      (r) => r.text(),
    ),
  ),
  fc.option(text, { nil: undefined }).map((value) =>
    of(
      value,
      (w) => w.optionalText(value),
      (r) => r.optionalText(),
    ),
  ),
  fc.uint8Array({ maxLength: 2000 }).map((value) =>
    of(
      Buffer.from(value),
      (w) => w.bytes(value),
      (r) => r.bytes(),
    ),
  ),
  fc.array(text).map((value) =>
    of(
      value,
      (w) => w.textList(value),
      (r) => r.textList(),
    ),
  ),
);

function of(
  value: unknown,
  write: (writer: Writer) => unknown,
  read: (reader: Reader) => unknown,
): Field {
  return { value, write: (writer) => void write(writer), read };
}

function encode(fields: readonly Field[]): Buffer {
  const writer = createWriter(8);
  for (const { write } of fields) write(writer);
  return writer.finish();
}

describe('codec', () => {
  test('what was written is read back, and nothing is left over', () => {
    fc.assert(
      fc.property(fc.array(field), (fields) => {
        const reader = createReader(encode(fields));
        expect(fields.map(({ read }) => read(reader))).toEqual(fields.map(({ value }) => value));
        expect(reader.finished()).toBe(true);
      }),
    );
  });

  test('arbitrary bytes never throw, and what does not fit says so', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(field), (bytes, fields) => {
        const reader = createReader(Buffer.from(bytes));
        for (const { read } of fields) read(reader);
        if (!reader.ok) {
          expect(reader.finished()).toBe(false);
          expect([reader.u8(), reader.text(), reader.uuid(), reader.optionalText()]).toEqual([
            0,
            '',
            '',
            undefined,
          ]);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('a payload that was cut short or lengthened is not finished', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1 }), fc.nat(), (fields, cut) => {
        const bytes = encode(fields);
        const readAll = (buffer: Buffer) => {
          const reader = createReader(buffer);
          for (const { read } of fields) read(reader);
          return reader.finished();
        };
        expect(readAll(bytes)).toBe(true);
        expect(readAll(bytes.subarray(0, cut % bytes.length))).toBe(false);
        expect(readAll(Buffer.concat([bytes, Buffer.of(0)]))).toBe(false);
      }),
    );
  });

  test('a length that claims more than there is reserves nothing', () => {
    const reader = createReader(Buffer.from([0xff, 0xff, 0xff, 0x7f, 1]));
    expect(reader.textList()).toEqual([]);
    expect(reader.ok).toBe(false);
  });

  test('a length has one encoding', () => {
    expect(createReader(Buffer.from([0x01, 0x61])).text()).toBe('a');
    const reader = createReader(Buffer.from([0x81, 0x00, 0x61]));
    expect(reader.text()).toBe('');
    expect(reader.ok).toBe(false);
  });

  test.each<[string, (writer: Writer) => unknown]>([
    ['u8 over 255', (w) => w.u8(256)],
    ['u16 below 0', (w) => w.u16(-1)],
    ['u48 over 2^48 - 1', (w) => w.u48(2 ** 48)],
    ['a short UUID', (w) => w.uuid('00000000-0000-0000-0000-00000000000')],
    ['a UUID with another letter', (w) => w.uuid('00000000-0000-0000-0000-00000000000g')],
    ['a UUID without dashes', (w) => w.uuid('000000000000000000000000000000000000')],
  ])('%s is a bug and throws', (_, write) => {
    expect(() => write(createWriter())).toThrow(RangeError);
  });
});
