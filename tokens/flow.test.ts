import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeFlow, encodeFlow, type Flow } from './flow.ts';
import { randomKeyMaterial } from './material.ts';
import { createKeyring } from './ring.ts';
import { createSealer } from './seal.ts';

const text = fc.string({ unit: 'binary', maxLength: 100 });
const texts = fc.array(text, { maxLength: 5 });
const number = fc.maxSafeNat().map((value) => value % 2 ** 48);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const session = fc.record({
  id: fc.uuid(),
  subject: text,
  loginBorn: number,
  authenticatedAt: number,
  acr: text,
  amr: texts,
});
const flow: fc.Arbitrary<Flow> = fc.record({
  id: fc.uuid(),
  csrf: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((array) => Buffer.from(array)),
  query: text,
  requestedAt: number,
  expiresAt: number,
  session: optional(session),
  login: optional(
    fc.record({
      session,
      skipped: fc.boolean(),
      remember: fc.boolean(),
      rememberSeconds: number,
      extend: fc.boolean(),
      idpSessionId: optional(text),
    }),
  ),
  rememberedBorn: optional(number),
  consent: optional(
    fc.record({
      scope: texts,
      audience: texts,
      remember: fc.boolean(),
      rememberSeconds: number,
      grantBorn: number,
      idTokenClaims: optional(text),
      accessTokenClaims: optional(text),
    }),
  ),
  rejection: optional(fc.record({ error: text, description: text, hint: text })),
  context: optional(text),
  forcedSubject: optional(text),
});

test('a flow is read back as it was, whatever was decided so far', () => {
  fc.assert(
    fc.property(flow, (given) => {
      expect(decodeFlow(encodeFlow(given))).toEqual(given);
    }),
  );
});

test('a flow that lacks its end, or goes on after it, is none', () => {
  fc.assert(
    fc.property(flow, fc.nat(), (given, at) => {
      const whole = encodeFlow(given);
      expect(decodeFlow(whole.subarray(0, at % whole.length))).toBeUndefined();
      expect(decodeFlow(Buffer.concat([whole, Buffer.of(0)]))).toBeUndefined();
    }),
  );
});

test('arbitrary bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (array) => {
      const read = decodeFlow(Buffer.concat([Buffer.of(1), array]));
      if (read !== undefined) expect(read.id).toMatch(/^[0-9a-f-]{36}$/);
    }),
  );
});

test('R3: a bit flipped or a purpose swapped yields no flow', () => {
  const ring = createKeyring(randomKeyMaterial('https://op.example', 1000), 2000, createSealer());
  const [given] = fc.sample(flow, { numRuns: 1, seed: 11 });
  if (given === undefined) throw new Error('fast-check gave no flow');
  const sealed = ring.seal('login_verifier', encodeFlow(given));
  const open = (
    purpose: 'login_verifier' | 'login_challenge' | 'consent_verifier',
    one: string,
  ) => {
    const bytes = ring.open(purpose, one);
    return bytes === undefined ? undefined : decodeFlow(bytes);
  };
  expect(open('login_verifier', sealed)).toEqual(given);
  expect(open('login_challenge', sealed)).toBeUndefined();
  expect(open('consent_verifier', sealed)).toBeUndefined();
  const bytes = Buffer.from(sealed, 'base64url');
  for (let bit = 0; bit < bytes.length * 8; bit += 5) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(open('login_verifier', flipped.toString('base64url')), `bit ${bit}`).toBeUndefined();
  }
});
