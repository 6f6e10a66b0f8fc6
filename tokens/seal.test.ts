import { createSecretKey, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  associatedData,
  createSealer,
  type DataKey,
  plaintextBytesMax,
  sealedCharsMax,
} from '#tokens/seal.ts';

const issuer = 'https://issuer.example';
const data = associatedData('code', issuer);
const key: DataKey = { kid: '00c0ffee', secret: createSecretKey(randomBytes(32)) };
const keyOf = (kid: number) => (kid === 0x00c0ffee ? key : undefined);
const sealer = createSealer();
const plaintext = Buffer.from('who may do what until when');

describe('seal', () => {
  test('what one process seals another opens, at any size', () => {
    const other = createSealer();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
        const text = sealer.seal(key, data, bytes);
        expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(other.open(keyOf, data, text)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  test('the layout is version, kid, salt, nonce, ciphertext, tag', () => {
    const bytes = Buffer.from(sealer.seal(key, data, plaintext), 'base64url');
    expect(bytes.length).toBe(1 + 4 + 8 + 12 + plaintext.length + 16);
    expect(bytes[0]).toBe(1);
    expect(bytes.toString('hex', 1, 5)).toBe(key.kid);
  });

  test('two seals of one plaintext share no nonce', () => {
    const texts = Array.from({ length: 2000 }, () => sealer.seal(key, data, plaintext));
    const nonces = texts.map((text) => Buffer.from(text, 'base64url').toString('hex', 13, 25));
    expect(new Set(nonces).size).toBe(texts.length);
  });

  test('a subkey gets a new salt after its number of seals', () => {
    const short = createSealer(3);
    const texts = Array.from({ length: 7 }, () => short.seal(key, data, plaintext));
    const salts = texts.map((text) => Buffer.from(text, 'base64url').toString('hex', 5, 13));
    expect(salts.slice(0, 3)).toEqual([salts[0], salts[0], salts[0]]);
    expect(new Set(salts).size).toBe(3);
    for (const text of texts) expect(short.open(keyOf, data, text)).toEqual(plaintext);
  });

  test('more subkeys than are remembered still open', () => {
    const texts = Array.from({ length: 2500 }, () => createSealer().seal(key, data, plaintext));
    for (const text of [...texts, ...texts.slice(0, 10)]) {
      expect(sealer.open(keyOf, data, text)).toEqual(plaintext);
    }
  });

  test('deflates what gets shorter and leaves alone what does not', () => {
    const verbose = Buffer.from('https://app.example/callback '.repeat(40));
    const noise = randomBytes(1200);
    const deflated = sealer.seal(key, data, verbose);
    const plain = sealer.seal(key, data, noise);
    expect(deflated.length).toBeLessThan(300);
    expect(Buffer.from(plain, 'base64url').length).toBe(41 + noise.length);
    expect(sealer.open(keyOf, data, deflated)).toEqual(verbose);
    expect(sealer.open(keyOf, data, plain)).toEqual(noise);
  });

  test('security 38: what inflates is bounded by what seal takes', () => {
    const largest = Buffer.alloc(plaintextBytesMax, 'a');
    const text = sealer.seal(key, data, largest);
    expect(sealer.open(keyOf, data, text)?.equals(largest)).toBe(true);
    expect(() => sealer.seal(key, data, Buffer.alloc(plaintextBytesMax + 1))).toThrow(RangeError);
    const noise = randomBytes(plaintextBytesMax);
    const longest = sealer.seal(key, data, noise);
    expect(longest.length).toBeLessThanOrEqual(sealedCharsMax);
    expect(sealer.open(keyOf, data, longest)?.equals(noise)).toBe(true);
  });
});

describe('security 19: a token truncated, extended, bit-flipped or of another kind', () => {
  const text = sealer.seal(key, data, plaintext);
  const opens = (candidate: string) => sealer.open(keyOf, data, candidate);

  test('control: the token itself opens', () => {
    expect(opens(text)).toEqual(plaintext);
  });

  test('every single flipped bit fails', () => {
    const bytes = Buffer.from(text, 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(opens(flipped.toString('base64url'))).toBeUndefined();
    }
  });

  test('every other character in every place fails, padding bits included', () => {
    for (let at = 0; at < text.length; at += 1) {
      for (const character of 'ABQgw_-09') {
        if (text[at] === character) continue;
        expect(opens(text.slice(0, at) + character + text.slice(at + 1))).toBeUndefined();
      }
    }
  });

  test('every prefix fails, and so does whatever is appended, put in front or in between', () => {
    for (let length = 0; length < text.length; length += 1) {
      expect(opens(text.slice(0, length))).toBeUndefined();
    }
    for (const extra of ['A', '=', '==', '.', ' ', '\n', '\0', '%', 'AAAA', '\u{1f511}']) {
      expect(opens(text + extra)).toBeUndefined();
      expect(opens(extra + text)).toBeUndefined();
      expect(opens(text.slice(0, 20) + extra + text.slice(20))).toBeUndefined();
    }
  });

  test('the same bytes in the other base64 alphabet fail', () => {
    const some = Array.from({ length: 50 }, () => sealer.seal(key, data, plaintext));
    const withSigns = some.find((candidate) => /[_-]/.test(candidate)) ?? '';
    expect(opens(withSigns)).toEqual(plaintext);
    expect(opens(withSigns.replaceAll('-', '+').replaceAll('_', '/'))).toBeUndefined();
  });

  test('another purpose or issuer fails', () => {
    for (const other of [
      associatedData('access_token', issuer),
      associatedData('code', 'https://other.example'),
      associatedData('code', `${issuer}/`),
    ]) {
      expect(sealer.open(keyOf, other, text)).toBeUndefined();
    }
  });

  test('a kid that is unknown, or names another key, fails', () => {
    expect(sealer.open(() => undefined, data, text)).toBeUndefined();
    const other = { kid: key.kid, secret: createSecretKey(randomBytes(32)) };
    expect(createSealer().open(() => other, data, text)).toBeUndefined();
  });

  test('the deflation flag cannot be set or taken away', () => {
    const long = Buffer.from('https://app.example/callback '.repeat(40));
    for (const sealed of [text, sealer.seal(key, data, long)]) {
      const bytes = Buffer.from(sealed, 'base64url');
      bytes.writeUInt8(bytes.readUInt8(0) ^ 0x80, 0);
      expect(opens(bytes.toString('base64url'))).toBeUndefined();
    }
  });

  test('arbitrary text never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String({ maxLength: 400 })), (candidate) => {
        expect(opens(candidate)).toBeUndefined();
      }),
    );
    expect(opens('A'.repeat(sealedCharsMax + 1))).toBeUndefined();
  });
});
