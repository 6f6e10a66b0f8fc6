import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Code, decodeCode, encodeCode } from './code.ts';

const text = fc.string({ unit: 'binary', maxLength: 100 });
const texts = fc.array(text, { maxLength: 5 });
const number = fc.maxSafeNat().map((value) => value % 2 ** 48);
const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
const code: fc.Arbitrary<Code> = fc.record({
  id: fc.uuid(),
  expiresAt: number,
  clientId: text,
  redirectUri: text,
  challenge: fc.oneof(bytes(32), bytes(0)),
  scope: texts,
  audience: texts,
  resource: texts,
  subject: text,
  forcedSubject: text,
  grantId: fc.uuid(),
  grantVersion: fc.integer({ min: 1, max: 0x7fff_ffff }),
  sessionId: fc.uuid(),
  loginBorn: number,
  grantBorn: number,
  authenticatedAt: number,
  acr: text,
  amr: texts,
  nonce: fc.option(text, { nil: undefined }),
  claims: fc.option(text, { nil: undefined }),
});

test('what was decided is read back as it was', () => {
  fc.assert(
    fc.property(code, (given) => {
      expect(decodeCode(encodeCode(given))).toEqual(given);
    }),
  );
});

test('a code that lacks its end, or goes on after it, is none', () => {
  fc.assert(
    fc.property(code, fc.nat(), (given, at) => {
      const whole = encodeCode(given);
      expect(decodeCode(whole.subarray(0, at % whole.length))).toBeUndefined();
      expect(decodeCode(Buffer.concat([whole, Buffer.of(0)]))).toBeUndefined();
    }),
  );
});

test('another version is not read as this one', () => {
  fc.assert(
    fc.property(code, fc.integer({ min: 2, max: 255 }), (given, version) => {
      const other = Buffer.from(encodeCode(given));
      other[0] = version;
      expect(decodeCode(other)).toBeUndefined();
    }),
  );
});

test('arbitrary bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (array) => {
      const read = decodeCode(Buffer.concat([Buffer.of(1), array]));
      if (read !== undefined) expect(encodeCode(read).length).toBeLessThanOrEqual(401);
    }),
  );
});
