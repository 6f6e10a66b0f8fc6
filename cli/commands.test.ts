import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { understand } from './arguments.ts';
import { commands } from './commands.ts';

// A command that a page or a help text prints is one that can be run.
const root = new URL('../', import.meta.url);
const pages = ['README.md', 'SECURITY.md', 'docs/', 'docs/ops/', 'docs/decisions/'].flatMap(
  (path) =>
    path.endsWith('/')
      ? readdirSync(new URL(path, root))
          .filter((name) => name.endsWith('.md'))
          .map((name) => path + name)
      : [path],
);
const groups = [...new Set(commands.map(({ name }) => name.split(' ')[0]))].join('|');
const called = new RegExp(
  `(?:gatehouse(?: --)?|cli/main\\.ts) ((?:${groups})(?: (?:"[^"]*"|'[^']*'|[^\`|\\n)"'])*)?)`,
  'g',
);

function commandLinesIn(text: string): readonly string[] {
  return [...text.replaceAll('\\\n', ' ').matchAll(called)].map(([, line = '']) => line.trim());
}

const ofPages = pages.flatMap((page) =>
  commandLinesIn(readFileSync(new URL(page, root), 'utf8')).map((line) => [page, line] as const),
);
const ofExamples = commands.flatMap(({ name, example }) =>
  example.flatMap((text) => commandLinesIn(text).map((line) => [`help ${name}`, line] as const)),
);

test('there are such commands', () => {
  expect(ofPages.length).toBeGreaterThan(30);
  expect(ofExamples.length).toBeGreaterThanOrEqual(commands.length);
});

test.each([...ofPages, ...ofExamples])('%s: %s', (_, line) => {
  const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? '',
  );
  expect(understand(words, commands)).not.toMatchObject({ asks: 'nothing' });
});
