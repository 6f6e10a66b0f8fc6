import fc from 'fast-check';
import { expect, test } from 'vitest';
import { validCodeChallenge, validCodeVerifier } from './pkce.ts';

const unreserved = /^[A-Za-z0-9._~-]*$/;
const base64url = /^[A-Za-z0-9_-]*$/;

test('RFC 7636 §4.1: a code_verifier has 43 to 128 unreserved characters', () => {
  for (const [length, valid] of [
    [0, false],
    [42, false],
    [43, true],
    [128, true],
    [129, false],
  ] as const) {
    expect(validCodeVerifier('~'.repeat(length)), String(length)).toBe(valid);
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 43, maxLength: 128 }), (text) => {
      expect(validCodeVerifier(text)).toBe(text.length <= 128 && unreserved.test(text));
    }),
  );
});

test('RFC 7636 §4.1: one foreign character anywhere in a code_verifier is refused', () => {
  const right = 'a'.repeat(43);
  expect(validCodeVerifier(right)).toBe(true);
  for (const foreign of ['+', '/', '=', ' ', '%', '\0', '\n', 'é']) {
    for (const at of [0, 20, 42]) {
      expect(validCodeVerifier(right.slice(0, at) + foreign + right.slice(at + 1))).toBe(false);
    }
  }
});

test('RFC 7636 §4.2: a code_challenge is a SHA-256 in base64url, 43 characters', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (hash) => {
      expect(validCodeChallenge(Buffer.from(hash).toString('base64url'))).toBe(true);
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii', minLength: 40, maxLength: 46 }), (text) => {
      expect(validCodeChallenge(text)).toBe(text.length === 43 && base64url.test(text));
    }),
  );
});

test('RFC 7636 §4.1: a verifier of 43 characters with "." or "~" is not taken for a challenge', () => {
  expect(validCodeVerifier(`${'a'.repeat(42)}~`)).toBe(true);
  expect(validCodeChallenge(`${'a'.repeat(42)}~`)).toBe(false);
  expect(validCodeChallenge(`${'a'.repeat(42)}.`)).toBe(false);
});
