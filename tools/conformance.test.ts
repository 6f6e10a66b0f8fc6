import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { attacksIn, missingTests, namedTests } from './conformance.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) =>
  existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined;
const named = namedTests(read('docs/conformance.md') ?? '');

test('every test that docs/conformance.md names exists', () => {
  expect(named.length).toBeGreaterThan(100);
  expect(missingTests(named, read)).toEqual([]);
});

test('every row of its tables is read', () => {
  const rows = (read('docs/conformance.md') ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (---|clause|attack|what) /.test(line));
  expect(rows.length).toBe(named.length);
});

test('every attack that a test is named after is in docs/conformance.md', () => {
  const files = globSync('{core,tokens,server,e2e}/**/*.test.ts', { cwd: root });
  const attacked = new Set(files.flatMap((path) => attacksIn(read(path) ?? '')));
  const listed = new Set(named.map(({ clause }) => Number(clause)));
  expect(attacked.size).toBeGreaterThan(20);
  expect([...attacked].filter((number) => !listed.has(number))).toEqual([]);
});

test('a test that is not there is seen', () => {
  const text = "test('a rule', () => {});";
  const tests = namedTests('| §1 | `a rule` | x |\n| §2 | `another` | x |\n| §3 | `a rule` | y |');
  const missing = missingTests(tests, (path) => (path === 'x.test.ts' ? text : undefined));
  expect(missing.map(({ clause }) => clause)).toEqual(['§2', '§3']);
});

test('numbers of attacks are read from names, several of one name too', () => {
  const text = "test('security 4: x'); test('security 22 and 23: y'); test('security 1, 2, 4: z')";
  expect(attacksIn(text)).toEqual([4, 22, 23, 1, 2, 4]);
});
