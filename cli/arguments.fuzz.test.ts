import fc from 'fast-check';
import { expect, test } from 'vitest';
import { expectLinear, hostileText } from '#server/testing/hostile.ts';
import { understand } from './arguments.ts';
import { commands } from './commands.ts';

const words = commands.flatMap(({ name, options }) => [
  ...name.split(' '),
  ...Object.keys(options ?? {}).map((option) => `--${option}`),
]);

test('any command line is understood, or answered with a sentence', () => {
  const word = fc.oneof(
    fc.constantFrom(...words, '--version'),
    hostileText('--json', '--limit=3', '-h'),
  );
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (argv) => {
      const asked = understand(argv, commands);
      seen.add(asked.asks);
      if (asked.asks === 'nothing') expect(asked.sentence).not.toBe('');
    }),
    { numRuns: 3_000 },
  );
  expect([...seen].sort()).toEqual(['help', 'nothing', 'run', 'version']);
});

test('a command line costs linear time', () => {
  expectLinear((text) => understand([text], commands), 500);
  expectLinear((text) => understand(['client', 'create', text], commands), 500);
});
