import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectLinear, hostileText } from '#server/testing/hostile.ts';
import { errorFields } from './error-fields.ts';
import { redacted } from './redaction.ts';

const shown: readonly (readonly [string, (text: string) => unknown])[] = [
  ['a log line', redacted],
  ['an error', (text) => errorFields(new Error(text))],
  ['a stack', (text) => errorFields(Object.assign(new Error('a'), { stack: text }))],
];

describe.each(shown)('%s', (_, show) => {
  test('takes any text', () => {
    const known = [
      'Bearer gh_at_abc',
      'postgres://u:p@h/d',
      'ana@example.com',
      'https://a.example',
    ];
    fc.assert(
      fc.property(hostileText(...known), (text) => {
        show(text);
      }),
      { numRuns: 700 },
    );
  });

  test('costs linear time', () => expectLinear(show));
});

test('security 53: a token is masked wherever it stands in a line', () => {
  const secret = `gh_at_${'Ab3_-'.repeat(20)}`;
  fc.assert(
    fc.property(hostileText(), hostileText(), (before, after) => {
      // A letter before it would make it a part of another word.
      expect(redacted(`${before} ${secret} ${after}`)).not.toContain(secret);
    }),
    { numRuns: 1_500 },
  );
});
