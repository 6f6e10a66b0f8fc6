import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseClaims } from './claims-parameter.ts';
import { isRefusal } from './refusal.ts';

const refused = { refused: 'invalid_parameter' };
const parse = (claims: unknown) => parseClaims(JSON.stringify(claims));

test('OIDC Core §5.5: without the parameter nothing is asked for', () => {
  expect(parseClaims(undefined)).toBeUndefined();
});

test('OIDC Core §5.5: names are read from both members; either may be missing or null', () => {
  const claims = { id_token: { email: null, sub: null }, userinfo: { name: { essential: true } } };
  expect(parse(claims)).toEqual({
    idToken: ['email', 'sub'],
    userinfo: ['name'],
    subject: undefined,
    essentialAcr: [],
  });
  expect(parse({ userinfo: null })).toMatchObject({ idToken: [], userinfo: [] });
  expect(parse({})).toMatchObject({ idToken: [], userinfo: [] });
});

describe('OIDC Core §5.5.1: the person asked for', () => {
  test('is the value of sub in the ID token, else in userinfo', () => {
    expect(parse({ id_token: { sub: { value: 'ann' } } })).toMatchObject({ subject: 'ann' });
    expect(parse({ userinfo: { sub: { value: 'bob' } } })).toMatchObject({ subject: 'bob' });
    const both = { userinfo: { sub: { value: 'bob' } }, id_token: { sub: { value: 'ann' } } };
    expect(parse(both)).toMatchObject({ subject: 'ann' });
  });

  test('is nobody where the value is no string', () => {
    expect(parse({ id_token: { sub: { value: 7 } } })).toMatchObject({ subject: undefined });
    expect(parse({ id_token: { sub: 'ann' } })).toMatchObject({ subject: undefined });
  });
});

describe('OIDC Core §5.5.1.1: acr', () => {
  test('counts only where it is essential, by one value or several', () => {
    const acr = (value: object) => parse({ id_token: { acr: value } });
    expect(acr({ essential: true, value: 'gold' })).toMatchObject({ essentialAcr: ['gold'] });
    expect(acr({ essential: true, values: ['a', 'b', 3] })).toMatchObject({
      essentialAcr: ['a', 'b'],
    });
    expect(acr({ values: ['a'] })).toMatchObject({ essentialAcr: [] });
    expect(acr({ essential: 'true', value: 'a' })).toMatchObject({ essentialAcr: [] });
    expect(acr({ essential: true })).toMatchObject({ essentialAcr: [] });
  });
});

describe('what is not the JSON of §5.5 is refused', () => {
  test.each(['', '{', '[]', '"x"', 'null', '1', '{"id_token":[]}', '{"userinfo":"email"}'])(
    '%j',
    (text) => {
      expect(parseClaims(text)).toMatchObject(refused);
    },
  );

  test('too long, or too many names', () => {
    const named = (count: number) => ({
      id_token: Object.fromEntries(Array.from({ length: count }, (_, i) => [`c${i}`, null])),
    });
    expect(isRefusal(parse(named(100)))).toBe(false);
    expect(parse(named(101))).toMatchObject(refused);
    expect(parse({ id_token: { a: 'x'.repeat(8192) } })).toMatchObject(refused);
  });

  test('whatever is sent, it is read or refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        const parsed = parseClaims(text);
        expect(parsed).toBeDefined();
      }),
    );
  });
});

test('a member named __proto__ is a name like any other', () => {
  expect(parseClaims('{"id_token":{"__proto__":{"value":"x"}}}')).toMatchObject({
    idToken: ['__proto__'],
    subject: undefined,
  });
});
