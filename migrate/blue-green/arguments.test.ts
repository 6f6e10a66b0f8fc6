import { describe, expect, it } from 'vitest';
import { understand } from './arguments.ts';
import { commands } from './commands.ts';

describe('a command line that is wrong is refused before anything is begun', () => {
  it.each<[string, readonly string[], string]>([
    ['no mapping', ['status'], 'Say --mapping FILE.'],
    [
      'a number that is none, of the last of its steps',
      ['run', '--mapping', 'shop.ts', '--hold-ms', '2s'],
      '--hold-ms 2s: write a whole number from 50 to 60000.',
    ],
    [
      'one that is too small',
      ['copy', '--mapping', 'shop.ts', '--workers', '0'],
      '--workers 0: write a whole number from 1 to 64.',
    ],
    [
      'an option of another command',
      ['copy', '--mapping', 'shop.ts', '--once'],
      'Unknown option \'--once\'; "migrate help copy" lists what it takes.',
    ],
  ])('%s', (_, argv, sentence) => {
    expect(understand(argv, commands)).toEqual({ asks: 'nothing', sentence });
  });

  it('every option with a value says what it is, and every number its range', () => {
    for (const { name, options } of commands) {
      for (const [option, { type, value, range }] of Object.entries(options)) {
        if (type !== 'string') continue;
        expect(value, `${name} --${option}`).toBeDefined();
        if (value === 'N' || value === 'MS') expect(range, `${name} --${option}`).toBeDefined();
      }
    }
  });
});
