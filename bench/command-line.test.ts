import { expect, test } from 'vitest';
import { understand } from './command-line.ts';

test('without arguments everything is measured and judged', () => {
  expect(understand([])).toMatchObject({
    command: 'run',
    processes: [1, 2, 4, 8],
    peer: true,
    judged: true,
    plan: { seconds: 5, rounds: 3, warm: 1, thorough: true },
  });
});

test.each([
  [['--modes', 'login,logout'], /"logout" is no mode/],
  [['--processes', '0'], /whole numbers/],
  [['--secs', '0'], /--secs is a number above 0/],
  [['--compare', 'a.json'], /two files/],
  [['everything'], /neither "report", "control" nor "floor"/],
  [['--fast'], /--fast/],
])('%j is told what is wrong', (argv, sentence) => {
  expect(understand(argv)).toMatchObject({
    command: 'wrong',
    sentence: expect.stringMatching(sentence),
  });
});

test('a smoke judges nothing and leaves nothing', () => {
  expect(understand(['--smoke'])).toMatchObject({ command: 'run', judged: false, save: false });
});
