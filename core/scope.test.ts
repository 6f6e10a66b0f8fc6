import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isRefusal } from './refusal.ts';
import {
  parseScope,
  scopeAllowed,
  scopeCharsMax,
  scopeCountMax,
  scopeNotAllowed,
  scopeTextCharsMax,
  validScopeToken,
} from './scope.ts';

describe('RFC 6749 §3.3: scope is a list of tokens separated by spaces', () => {
  test.each([
    [undefined, []],
    ['', []],
    ['   ', []],
    ['openid', ['openid']],
    ['openid offline', ['openid', 'offline']],
    ['b a b a', ['b', 'a']],
    [' openid  email ', ['openid', 'email']],
    ['scope1 scope-2 scope.3 scope:4', ['scope1', 'scope-2', 'scope.3', 'scope:4']],
    ['https://api.example/read !#[]~', ['https://api.example/read', '!#[]~']],
  ])('%j is %j', (text, scopes) => {
    expect(parseScope(text)).toEqual(scopes);
  });

  test.each(['a\tb', 'a\nb', 'a\0b', 'a"b', 'a\\b', 'ä', 'a\u{2028}b', 'a\u007fb', '\ud800'])(
    '%j is refused',
    (text) => {
      expect(parseScope(text)).toMatchObject({ refused: 'scope_malformed' });
      expect(validScopeToken(text)).toBe(false);
    },
  );

  test('count and length are bounded', () => {
    const names = (count: number) => Array.from({ length: count }, (_, n) => `s${n}`).join(' ');
    expect(parseScope(names(scopeCountMax))).toHaveLength(scopeCountMax);
    expect(isRefusal(parseScope(names(scopeCountMax + 1)))).toBe(true);
    expect(parseScope('a'.repeat(scopeCharsMax))).toHaveLength(1);
    expect(isRefusal(parseScope('a'.repeat(scopeCharsMax + 1)))).toBe(true);
    expect(isRefusal(parseScope('a '.repeat(scopeTextCharsMax)))).toBe(true);
  });

  test('never throws, and what it returns are valid tokens without duplicates', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const scopes = parseScope(text);
        if (isRefusal(scopes)) return;
        expect(new Set(scopes).size).toBe(scopes.length);
        expect(scopes.every(validScopeToken)).toBe(true);
      }),
    );
  });
});

describe("Hydra's wildcard strategy", () => {
  // The rows follow the behaviour of fosite's own strategy, rule by rule.
  test.each([
    [['foo'], 'foo', true],
    [['foo'], 'foo.bar', false],
    [['foo.bar'], 'foo', false],
    [[], 'foo', false],
    [['*'], 'foo', true],
    [['*'], 'foo.bar.baz', true],
    [['*'], '', false],
    [['*'], '.foo', false],
    [['foo.*'], 'foo', false],
    [['foo.*'], 'foo.', false],
    [['foo.*'], 'foo.bar', true],
    [['foo.*'], 'foo.bar.baz', true],
    [['foo.*'], 'foo.bar.', true],
    [['foo.*'], 'fooo.bar', false],
    [['foo.*.baz'], 'foo.bar.baz', true],
    [['foo.*.baz'], 'foo..baz', false],
    [['foo.*.baz'], 'foo.x.y.baz', false],
    [['foo.*.bar.*'], 'foo.x.bar', false],
    [['foo.*.bar.*'], 'foo.x.bar.y', true],
    [['foo.*.bar.*'], 'foo.x.bar.y.z', true],
    [['*.*'], 'foo', false],
    [['*.*'], 'foo.bar.baz', true],
    [['fo*'], 'foo', false],
    [['fo*'], 'fo*', true],
    [['foo.ba*'], 'foo.bar', false],
    [['a..b'], 'a..b', true],
    [['*.b'], '*.b', true],
    [['foo', 'bar.*'], 'bar.x', true],
  ])('%j allows %j: %j', (patterns, scope, allowed) => {
    expect(scopeAllowed(patterns, scope)).toBe(allowed);
  });

  test('agrees with a literal reading of the rule for all short patterns', () => {
    const part = fc.constantFrom('', 'a', 'b', '*', 'ab');
    const dotted = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('.'));
    fc.assert(
      fc.property(fc.array(dotted, { maxLength: 3 }), dotted, (patterns, scope) => {
        expect(scopeAllowed(patterns, scope)).toBe(patterns.some((p) => literalReading(p, scope)));
      }),
      { numRuns: 2000 },
    );
  });

  test('names the first scope that is not allowed', () => {
    expect(scopeNotAllowed(['a', 'b.*'], ['a', 'b.c', 'd', 'e'])).toBe('d');
    expect(scopeNotAllowed(['a'], [])).toBeUndefined();
  });

  test('security 52: a hostile pattern costs linear time', () => {
    const pattern = '*.'.repeat(20_000);
    const before = process.cpuUsage();
    expect(scopeAllowed([pattern], 'a.'.repeat(19_999))).toBe(false);
    expect(scopeAllowed([`${pattern}*`], `${'a.'.repeat(20_000)}a`)).toBe(true);
    // 3 ms of CPU; reading all of the text for each segment takes more than a second.
    expect(process.cpuUsage(before).user).toBeLessThan(200_000);
  });
});

function literalReading(pattern: string, scope: string): boolean {
  const wanted = pattern.split('.');
  const given = scope.split('.');
  if (wanted.length > given.length) return false;
  if (wanted.length !== given.length && wanted.at(-1) !== '*') return false;
  return wanted.every((part, k) => (part === '*' ? given[k] !== '' : part === given[k]));
}
