import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dependencyReport } from './dependency-graph.ts';
import { root } from './install.mjs';

let house = '';

beforeAll(async () => {
  house = await realpath(await mkdtemp(join(tmpdir(), 'gatehouse-rules-')));
});
afterAll(() => rm(house, { recursive: true }));

/** [the file, what it imports, the rule that refuses it] */
const forbidden: readonly (readonly [string, string, string])[] = [
  ['core/a.ts', 'node:crypto', 'core-is-pure'],
  ['core/a.ts', '#tokens/b.ts', 'core-is-pure'],
  ['tokens/a.ts', '#server/b.ts', 'tokens-know-only-core'],
  ['tokens/a.ts', 'node:fs', 'tokens-know-only-core'],
  ['server/store/a.ts', '../http/b.ts', 'store-knows-no-http'],
  ['server/http/a.ts', '#server/identity/b.ts', 'engine-knows-no-identity'],
  ['server/store/a.ts', '#server/identity/b.ts', 'engine-knows-no-identity'],
  ['server/identity/a.ts', '#server/store/grant.ts', 'identity-is-a-login-app'],
  ['server/a.ts', '#cli/b.ts', 'nothing-imports-an-entry'],
  ['cli/a.ts', '#server/store/b.ts', 'cli-is-thin'],
  ['sample/a.ts', '#core/b.ts', 'sample-is-a-stranger'],
  ['e2e/a.test.ts', '#server/http/b.ts', 'e2e-is-black-box'],
  ['server/a.ts', '#server/testing/b.ts', 'product-without-tests'],
  ['core/a.ts', '#core/missing.ts', 'resolves'],
];

test.each(forbidden)('%s may not import %s: %s', async (file, imported, rule) => {
  const report = await houseOf({ [file]: [imported], [targetOf(file, imported)]: [] });
  expect(report.violations).toContainEqual(expect.stringMatching(new RegExp(`: ${rule} \\(`)));
});

/** [the file, what it imports] */
const allowed: readonly (readonly [string, string])[] = [
  ['core/a.ts', '#core/b.ts'],
  ['tokens/a.ts', '#core/b.ts'],
  ['tokens/a.ts', 'node:crypto'],
  ['server/http/a.ts', '#server/store/b.ts'],
  ['server/store/a.ts', '#core/b.ts'],
  ['server/store/a.test.ts', '#server/testing/b.ts'],
  ['cli/a.ts', '#server/b.ts'],
  ['e2e/a.test.ts', '#server/testing/b.ts'],
];

test.each(allowed)('%s may import %s', async (file, imported) => {
  const report = await houseOf({ [file]: [imported], [targetOf(file, imported)]: [] });
  expect(report.violations).toEqual([]);
});

test('modules that need each other are refused, unless only by their types', async () => {
  const cycle = await houseOf({ 'core/a.ts': ['./b.ts'], 'core/b.ts': ['./a.ts'] });
  expect(cycle.violations).toContainEqual(expect.stringContaining('no-cycles'));
  const types = await houseOf({ 'core/a.ts': ['./b.ts'], 'core/b.ts': ['type ./a.ts'] });
  expect(types.violations).toEqual([]);
});

test('the rules read our real sources: more than a hundred modules, and what they import', async () => {
  const report = await dependencyReport(root, ['core', 'tokens', 'server']);
  expect(report.modules.length).toBeGreaterThan(100);
  expect(report.modules).toContain('core/refusal.ts');
  expect(report.imports).toBeGreaterThan(report.modules.length);
});

function targetOf(file: string, imported: string): string {
  if (imported.startsWith('node:') || imported.includes('missing')) return 'core/unused.ts';
  return imported.startsWith('#') ? imported.slice(1) : join(dirname(file), imported);
}

/** The report on a house with these files, each importing what is listed. */
async function houseOf(files: Readonly<Record<string, readonly string[]>>) {
  await rm(house, { recursive: true });
  await mkdir(house);
  const rooms = ['core', 'tokens', 'server', 'cli'];
  const imports = Object.fromEntries(rooms.map((room) => [`#${room}/*`, `./${room}/*`]));
  const manifest = { name: 'house', type: 'module', imports };
  await writeFile(join(house, 'package.json'), JSON.stringify(manifest));
  for (const [path, imported] of Object.entries(files)) {
    const lines = imported.map((specifier) =>
      specifier.startsWith('type ')
        ? `import type { X } from '${specifier.slice(5)}';`
        : `import { x } from '${specifier}';\nconsole.log(x);`,
    );
    await mkdir(join(house, dirname(path)), { recursive: true });
    const body = [...lines, 'export const x = 1;', 'export type X = number;'];
    await writeFile(join(house, path), body.join('\n'));
  }
  const directories = [...new Set(Object.keys(files).map((path) => path.split('/')[0] ?? ''))];
  return dependencyReport(house, directories);
}
