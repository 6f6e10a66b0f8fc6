import { globSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { hostileShapes } from '#server/testing/hostile.ts';
import { expressionsIn } from './expressions.ts';
import { root } from './install.mjs';

/** The product; tools and tests, the chaos among them, match nothing that strangers write. */
const product = ['core', 'tokens', 'server', 'cli', 'sample', 'migrate'];
const sources = product
  .flatMap((room) => globSync(`${room}/**/*.ts`, { cwd: root }))
  .filter(
    (path) => path.endsWith('.ts') && !/\.test\.ts$|\/(testing|chaos)\/|node_modules/.test(path),
  )
  .map((path) => ({ path, ...expressionsIn(readFileSync(`${root}/${path}`, 'utf8')) }));
const expressions = [
  ...new Map(
    sources
      .flatMap(({ literals }) => literals)
      .map(({ pattern, flags }) => [`/${pattern}/${flags}`, new RegExp(pattern, flags)]),
  ),
];

/** Superlinear, and harmless: what they see is shorter than this many characters. */
const bounded: ReadonlyMap<string, number> = new Map([
  // fractions of numbers that our own code has printed
  ['/0+$/', 64],
  ['/\\.[0-9]+Z$/', 64],
  // a Link header of our own server, in the command line
  ['/<([^>]+)>;\\s*rel="next"/', 2_048],
]);

/** The expression's own letters, alone and two by two: what it can begin to match again and again. */
function ownShapes(source: string, chars: number): readonly string[] {
  const letters = [
    ...new Set(source.replaceAll(/\\[pPu]\{?[\w:=]*\}?|[\\^$()[\]{}?+*|]/g, '')),
  ].slice(0, 12);
  const pairs = letters.flatMap((one) => letters.map((other) => one + other));
  return [...letters, ...pairs].flatMap((unit) => {
    const repeated = unit.repeat(Math.ceil(chars / unit.length)).slice(0, chars);
    return [`${repeated}!`, `${repeated}\n`];
  });
}

function cpuMsOf(run: () => unknown): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

describe('security 52: every regular expression of the product is linear', () => {
  test('they are found', () => {
    expect(expressionsIn('const a = /a+/g; new RegExp("b"); RegExp("c");')).toEqual({
      literals: [{ pattern: 'a+', flags: 'g' }],
      constructed: 2,
    });
    expect(expressions.length).toBeGreaterThan(80);
    const making = sources.filter(({ constructed }) => constructed > 0);
    // Made from a constant list of names; redaction.fuzz.test.ts measures it.
    expect(making.map(({ path }) => path)).toEqual(['server/operation/redaction.ts']);
    const known = new Set(expressions.map(([name]) => name));
    expect([...bounded.keys()].filter((name) => !known.has(name))).toEqual([]);
  });

  test.each(expressions)('security 52: %s', (name, expression) => {
    const chars = bounded.get(name) ?? 30_000;
    for (const text of [...hostileShapes(chars), ...ownShapes(expression.source, chars)]) {
      const run = () => text.replace(expression, '');
      // Linear work on so few characters takes a millisecond; a square takes hundreds.
      if (cpuMsOf(run) > 60) {
        const again = Math.min(cpuMsOf(run), cpuMsOf(run));
        expect(again, JSON.stringify(text.slice(0, 12))).toBeLessThan(60);
      }
    }
  });

  test('the measurement tells a square apart', () => {
    const text = 'a'.repeat(30_000);
    expect(cpuMsOf(() => /a*b/.test(text))).toBeGreaterThan(60);
  });
});
