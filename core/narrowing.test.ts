import { describe, expect, test } from 'vitest';
import { decideNarrowing, leftToChain } from './narrowing.ts';

const grant = { scope: ['openid', 'offline_access', 'a', 'b'], audience: ['x', 'y'] };

describe('R4: narrowing a grant', () => {
  test('takes away, and knows when there is nothing to take', () => {
    expect(decideNarrowing(grant, { scope: ['a'] })).toBe('narrow');
    expect(decideNarrowing(grant, { audience: [] })).toBe('narrow');
    expect(decideNarrowing(grant, { scope: grant.scope, audience: ['x'] })).toBe('narrow');
    expect(decideNarrowing(grant, grant)).toBe('unchanged');
    expect(decideNarrowing({ scope: [], audience: ['x'] }, { scope: [] })).toBe('unchanged');
  });

  test.each([
    ['a scope that the grant does not hold', { scope: ['a', 'c'] }, 'scope_widened'],
    ['an audience that it is not for', { scope: ['a'], audience: ['z'] }, 'scope_widened'],
    ['nothing named', {}, 'malformed_request'],
    ['no scope left, which is a revocation', { scope: [] }, 'malformed_request'],
  ])('refuses %s', (_, remainder, reason) => {
    expect(decideNarrowing(grant, remainder)).toMatchObject({ refused: reason });
  });
});

describe('R4: a refresh gives at most what the grant still has', () => {
  const chain = {
    scope: ['openid', 'offline_access', 'a', 'b'],
    audience: ['x'],
    resource: ['y'],
    grantBorn: 5,
    online: false,
  };
  const left = (grantScope: readonly string[], lost?: object, over: object = {}) =>
    leftToChain({ ...chain, ...over }, { grantScope, lost });

  test('all of it where nothing was lost', () => {
    expect(left(grant.scope)).toMatchObject({ scope: chain.scope, audience: ['x'] });
    expect(left(['offline_access', 'b'])?.scope).toEqual(['offline_access', 'b']);
  });

  test('what was lost since its consent stays lost, though the person allows it again', () => {
    const lost = { scope: { a: 6, b: 5 }, audience: { y: 7, x: 4 } };
    expect(left(grant.scope, lost)).toEqual({
      scope: ['openid', 'offline_access', 'b'],
      audience: ['x'],
      resource: [],
    });
    expect(left(grant.scope, lost, { grantBorn: 7 })?.scope).toEqual(chain.scope);
  });

  test('a chain that lost the scope which detaches it from the login is dead', () => {
    expect(left(['openid', 'a', 'b'], { scope: { offline_access: 6 } })).toBeUndefined();
    expect(left(['openid', 'a'], { scope: { b: 6 } }, { online: true })?.scope).toEqual([
      'openid',
      'a',
    ]);
  });
});
