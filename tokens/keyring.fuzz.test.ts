import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectLinear, hostileText } from '#server/testing/hostile.ts';
import { openAccessToken, openSubject } from './access-token.ts';
import { decodeBase64url } from './base64url.ts';
import { decodeCode, encodeCode } from './code.ts';
import { createReader } from './codec.ts';
import { decodeFlow, encodeFlow, type Flow } from './flow.ts';
import { signJws, verifyJws } from './jws.ts';
import { decodeLogout, encodeLogout } from './logout.ts';
import { randomKeyMaterial } from './material.ts';
import { makeRefreshToken, readRefreshToken } from './refresh-token.ts';
import { createKeyring, type sealGroups } from './ring.ts';
import { createSealer } from './seal.ts';

const ring = createKeyring(randomKeyMaterial('https://op.example', 0), 0, createSealer());
const key = ring.signingKey('id_token', 'ES256');
if (key === undefined) throw new Error('no key');
const jwt = await signJws(key, { typ: 'JWT' }, { iss: 'https://op.example', sub: 'ana' });
const id = '018f2b6c-1c1a-7c3e-9d7e-2f6d1c0a9b8e';
const refreshToken =
  makeRefreshToken(ring, { chainId: id, generation: 3, macKid: ring.refreshMacKid }) ?? '';
const flow: Flow = {
  id,
  csrf: Buffer.alloc(16, 1),
  query: 'client_id=app&response_type=code',
  requestedAt: 1_800_000_000,
  expiresAt: 1_800_001_800,
  session: undefined,
  login: undefined,
  rememberedBorn: undefined,
  consent: undefined,
  rejection: undefined,
  context: undefined,
  forcedSubject: undefined,
};
const logout = {
  id,
  requestedAt: 1_800_000_000,
  expiresAt: 1_800_001_800,
  query: 'state=a',
  subject: 'ana',
  sessionId: id,
  hintedSessionId: '',
  clientId: 'app',
  rpInitiated: true,
  returnTo: 'https://app.example/',
};
const code = {
  id,
  expiresAt: 1_800_000_600,
  clientId: 'app',
  redirectUri: 'https://app.example/cb',
  challenge: Buffer.alloc(32, 2),
  scope: ['openid'],
  audience: [],
  resource: [],
  subject: 'ana',
  forcedSubject: '',
  grantId: id,
  grantVersion: 1,
  sessionId: id,
  loginBorn: 1,
  grantBorn: 2,
  authenticatedAt: 1_800_000_000,
  acr: '',
  amr: ['pwd'],
  nonce: 'n',
  claims: undefined,
};

const purposes = [
  'login_challenge',
  'login_verifier',
  'consent_challenge',
  'consent_verifier',
  'logout_challenge',
  'logout_verifier',
  'code',
  'page',
  'session_cookie',
] as const satisfies readonly (keyof typeof sealGroups)[];

const texts: readonly (readonly [string, (text: string) => unknown, readonly string[]])[] = [
  ['base64url', decodeBase64url, ['AAAA', 'AA', 'A']],
  ['sealed text', (text) => purposes.map((purpose) => ring.open(purpose, text)), []],
  ['access token', (text) => openAccessToken(ring, text), []],
  ['sealed subject', (text) => openSubject(ring, text), []],
  ['refresh token', (text) => readRefreshToken(ring, text), [refreshToken]],
  ['JWT', (text) => verifyJws(ring.verificationKey, text, { typ: 'JWT' }), [jwt]],
];

describe.each(texts)('%s', (_, parse, valid) => {
  test('takes any text, and never throws', () => {
    fc.assert(
      fc.property(hostileText(...valid, ring.seal('code', encodeCode(code))), (text) => {
        parse(text);
      }),
      { numRuns: 1_500 },
    );
  });

  test('costs linear time', () => expectLinear(parse, 20_000));
});

test('base64url that was taken is written the same again', () => {
  fc.assert(
    fc.property(hostileText('AAAA', '_-8'), (text) => {
      const bytes = decodeBase64url(text);
      if (bytes !== undefined) expect(bytes.toString('base64url')).toBe(text);
    }),
  );
});

test('a damaged token opens to nothing, never to something else', () => {
  const damaged = hostileText(refreshToken, jwt).filter((text) => !text.includes(refreshToken));
  fc.assert(
    fc.property(damaged, (text) => {
      expect(readRefreshToken(ring, text)).toBeUndefined();
      if (text !== jwt) {
        expect(verifyJws(ring.verificationKey, text, { typ: 'JWT' })).toBeUndefined();
      }
    }),
    { numRuns: 2_000 },
  );
});

const formats: readonly (readonly [string, Buffer, (bytes: Buffer) => Buffer | undefined])[] = [
  ['flow', encodeFlow(flow), (bytes) => again(decodeFlow(bytes), encodeFlow)],
  ['code', encodeCode(code), (bytes) => again(decodeCode(bytes), encodeCode)],
  ['logout', encodeLogout(logout), (bytes) => again(decodeLogout(bytes), encodeLogout)],
  [
    'logout of two logins',
    encodeLogout({ ...logout, hintedSessionId: id }),
    (bytes) => again(decodeLogout(bytes), encodeLogout),
  ],
];

function again<T>(decoded: T | undefined, encode: (decoded: T) => Buffer): Buffer | undefined {
  return decoded === undefined ? undefined : encode(decoded);
}

describe.each(formats)('the bytes of a %s', (_, valid, read) => {
  /** Valid bytes with a cut, a change, an insertion; or any bytes. */
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array)),
    fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 9 }), fc.nat(9)).map(([at, inserted, lost]) => {
      const place = at % (valid.length + 1);
      return Buffer.concat([valid.subarray(0, place), inserted, valid.subarray(place + lost)]);
    }),
  );

  test('are read or not, without an error, and are written as they can be read', () => {
    expect(read(valid)).toEqual(valid);
    fc.assert(
      fc.property(bytes, (given) => {
        const written = read(given);
        if (written !== undefined) expect(read(written)).toEqual(written);
      }),
      { numRuns: 3_000 },
    );
  });

  test('cost linear time', () => {
    expectLinear((text) => read(Buffer.concat([valid, Buffer.from(text)])));
    expectLinear((text) => read(Buffer.from(text)));
  });
});

test('a reader ends where its bytes end, whatever they claim', () => {
  const step = fc.constantFrom('u8', 'u48', 'uuid', 'optionalUuid', 'text', 'bytes', 'textList');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.array(step), (bytes, steps) => {
      const reader = createReader(Buffer.from(bytes));
      for (const name of steps) reader[name]();
      // Every step but a list takes a byte at least.
      const least = steps.filter((name) => name !== 'textList').length;
      if (least > bytes.length) expect(reader.ok).toBe(false);
    }),
  );
});
