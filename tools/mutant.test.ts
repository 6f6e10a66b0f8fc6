import { expect, test } from 'vitest';
import { judge, missingTest, type Report, readMutant } from './mutant.ts';

const diff = 'diff --git a/x.ts b/x.ts\n--- a/x.ts\n+++ b/x.ts\n@@ -1 +1 @@\n-a\n+b\n';

test('the head of a patch says rule, test and how it fails', () => {
  const head =
    'rule: A code is used once.\ntest: e2e/codes -t a (replayed )?code\nenv: A=1 B=x=y\n';
  expect(readMutant('codes', head + diff)).toEqual({
    name: 'codes',
    rule: 'A code is used once.',
    file: 'e2e/codes',
    pattern: 'a (replayed )?code',
    failure: 'AssertionError',
    env: { A: '1', B: 'x=y' },
    secondsMax: 300,
  });
});

test('a head that is incomplete is refused with a sentence', () => {
  expect(readMutant('m', `test: x\n${diff}`)).toMatch(/rule/);
  expect(readMutant('m', `rule: x\n${diff}`)).toMatch(/test/);
  expect(readMutant('m', `rule: x\ntest: y\nnote: z\n${diff}`)).toMatch(/note: z/);
  expect(readMutant('m', `rule: x\ntest: y\nenv: lower=1\n${diff}`)).toMatch(/lower=1/);
  expect(readMutant('m', `rule: x\ntest: y\nseconds: soon\n${diff}`)).toMatch(/whole number/);
  expect(readMutant('m', 'rule: x\ntest: y\n')).toMatch(/no diff/);
});

test('a test that is not there is seen', () => {
  const read = () => "test('a code is used once', ...";
  const paths = ['e2e/codes.test.ts', 'e2e/codes.ts'];
  expect(missingTest({ file: 'e2e/codes', pattern: 'used once' }, paths, read)).toBeUndefined();
  expect(missingTest({ file: 'e2e/codes', pattern: '' }, paths, read)).toBeUndefined();
  expect(missingTest({ file: 'e2e/codes', pattern: 'twice' }, paths, read)).toMatch(/twice/);
  expect(missingTest({ file: 'e2e/other', pattern: '' }, paths, read)).toMatch(/e2e\/other/);
});

const run = (status: string, ...failureMessages: string[]): Report => ({
  testResults: [{ assertionResults: [{ status, fullName: 'a rule', failureMessages }] }],
});

test('only a failed assertion is red', () => {
  expect(judge(run('failed', 'AssertionError: expected 1'), 'AssertionError').kind).toBe('red');
  expect(judge(run('failed', 'Error: Test timed out in 5 ms'), 'AssertionError').kind).toBe(
    'broken',
  );
  expect(judge(run('failed', 'SyntaxError: x'), 'AssertionError').kind).toBe('broken');
  expect(judge(run('failed', 'Error: seed 7 is wrong'), 'seed').kind).toBe('red');
});

test('what did not run is neither red nor green', () => {
  expect(judge(undefined, 'AssertionError').kind).toBe('broken');
  expect(judge({ testResults: [] }, 'AssertionError').kind).toBe('broken');
  expect(judge(run('skipped'), 'AssertionError').kind).toBe('broken');
  const unloaded = { testResults: [{ message: 'SyntaxError: x', assertionResults: [] }] };
  expect(judge(unloaded, 'AssertionError')).toEqual({ kind: 'broken', detail: 'SyntaxError: x' });
  expect(judge(run('passed'), 'AssertionError').kind).toBe('green');
});
