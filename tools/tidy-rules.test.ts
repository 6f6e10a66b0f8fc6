import { expect, test } from 'vitest';
import { findings } from './tidy-rules.ts';

const sentences = (path: string, text: string, existing: readonly string[] = [path]) =>
  findings([{ path, text }], (candidate) => existing.includes(candidate)).map(
    (finding) => finding.sentence,
  );

const lines = (count: number) => 'const x = 1;\n'.repeat(count);

/** [path, text, what one finding says] */
const refused: readonly (readonly [string, string, string])[] = [
  ['server/store/grant.ts', lines(401), 'two ideas'],
  ['server/schema/0001_x.expand.sql', '\n'.repeat(401), 'two ideas'],
  ['core/pkce.test.ts', lines(501), 'two ideas'],
  ['server/string-utils.ts', '', 'says nothing'],
  ['server/helpers/time.ts', '', 'says nothing'],
  ['server/redirectUri.ts', '', 'lower case'],
  ['core/nothing.test.ts', '', 'beside what it tests'],
  ['server/http/token/token.ts', 'const a = process.env.HOME;', 'environment'],
  ['cli/main.ts', 'run(process.env)', 'environment'],
  ['server/store/grant.ts', "text: 'select * from x'", 'columns'],
  ['server/store/grant.ts', 'insert into x values (1) returning *', 'columns'],
  ['server/schema/0002_x.backfill.sql', 'SELECT  t.* from t', 'columns'],
  ['core/pkce.ts', 'const now = Date.now();', 'clock'],
  ['core/pkce.ts', 'const now = new Date();', 'clock'],
  ['core/pkce.ts', 'const id = crypto.randomUUID();', 'randomness'],
  ['server/http/token/token.ts', 'Math.random()', 'predicted'],
  ['server/http/token/token.ts', `// ${'TO' + 'DO'}: later`, 'left for later'],
  ['docs/x.md', `This is fine ${'for'} now.`, 'unfinished'],
  ['core/pkce.test.ts', "test.skip('x', () => {})", 'always runs'],
  ['core/pkce.test.ts', "describe.concurrent.only('x', () => {})", 'always runs'],
  ['server/http/token/token.ts', 'const a = b as unknown as C;', 'silenced'],
  ['server/http/token/token.ts', '// @ts-expect-error', 'silenced'],
  ['server/http/token/token.ts', 'export class Store {', 'classes'],
  ['server/http/token/token.ts', 'class A extends B {', 'classes'],
  ['server/http/token/token.ts', 'let count = 0;', 'mutable state'],
  ['server/http/token/token.ts', 'const cache = new Map<string, number>();', 'mutable state'],
  ['docs/x.md', 'run /home/somebody/gatehouse', 'one machine'],
  ['package-lock.json', '"resolved": "https://registry.example/x.tgz"', 'no registry'],
  ['server/keys.ts', '-----BEGIN RSA PRIVATE KEY-----', 'committed secret'],
  ['server/http/token/token.ts', 'if (given === client.secret) return;', 'timingSafeEqual'],
  ['server/http/token/token.ts', 'if (mac !== expected) return;', 'timingSafeEqual'],
  ['docs/x.md', 'see [there](../missing.md)', 'leads nowhere'],
  ['docs/x.md', 'see [there](../../outside.md)', 'leads nowhere'],
];

test.each(refused)('%s: %s', (path, text, sentence) => {
  const existing = path === 'core/nothing.test.ts' ? [] : [path.replace('.test.ts', '.ts')];
  expect(sentences(path, text, existing)).toEqual([expect.stringContaining(sentence)]);
});

/** [path, text] */
const allowed: readonly (readonly [string, string])[] = [
  ['server/store/grant.ts', lines(400)],
  ['core/pkce.test.ts', lines(500)],
  ['server/config/environment.ts', 'load(process.env)'],
  ['tools/start.mjs', 'process.env.PATH'],
  ['sample/settings.ts', 'process.env.SAMPLE_PORT'],
  ['server/http/token/token.ts', '// process.env is read in server/config'],
  ['server/store/grant.ts', 'select count(*) from x'],
  ['core/pkce.ts', 'const at = new Date(nowMs);'],
  ['server/feed.ts', 'const now = Date.now();'],
  ['core/pkce.test.ts', "test.skipIf(browser === undefined)('x', () => {})"],
  ['server/http/token/token.ts', 'export class TokenError extends Error {'],
  ['server/http/token/token.ts', "const table = new Map([['a', 1]]);"],
  ['server/http/token/token.ts', 'const none: ReadonlySet<string> = new Set();'],
  ['server/http/token/token.ts', 'function f() {\n  let n = 0;\n  return new Map();\n}'],
  ['server/http/token/token.ts', "if (secret === undefined || typeof secret !== 'string') return;"],
  ['docs/x.md', 'see [there](y.md#part), [home](https://example.com) and `[no](link)`'],
];

test.each(allowed)('%s may say: %s', (path, text) => {
  expect(sentences(path, text, [path.replace('.test.ts', '.ts'), 'docs/y.md'])).toEqual([]);
});
