import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hostileText, testShown } from '#server/testing/hostile.ts';
import { errorFields } from './error-fields.ts';
import { redacted } from './redaction.ts';

testShown([
  ['a log line', redacted],
  ['an error', (text) => errorFields(new Error(text))],
  ['a stack', (text) => errorFields(Object.assign(new Error('a'), { stack: text }))],
]);

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
