import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { isOfDataDirectory, scan } from './secrets.ts';

const directory = mkdtempSync(join(tmpdir(), 'gatehouse-secrets-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function scanned(text: string) {
  const file = join(directory, 'planted.ts');
  writeFileSync(file, text);
  return scan([file]);
}

// Put together here, so that this file holds none.
const filler = 'aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7d';
const privateKey = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .privateKey.export({ format: 'pem', type: 'pkcs1' })
  .toString();
const planted: readonly (readonly [string, string])[] = [
  ['a client secret of ours', `const s = '${['gh', 'cs', filler].join('_')}';`],
  ['an admin credential of ours', `curl -H "Bearer ${['gh', 'ad', filler].join('_')}"`],
  ['a GitHub token', `${['ghp', filler.slice(0, 36)].join('_')}`],
  ['a private key', privateKey],
  ['a private JWK', `{"kty": "EC", "crv": "P-256", "d": "${filler}abc"}`],
  ['a database with its password', `postgres://app:${filler.slice(0, 12)}@db.internal:5432/app`],
];

test.each(planted)('%s is found, and not printed', (_, text) => {
  const { code, report } = scanned(text);
  expect(code).toBe(1);
  expect(report).not.toContain(filler.slice(4, 30));
});

test.each([
  ['.gatehouse/admin-token', true],
  ['deploy/master-key', true],
  ['master-key.before', true],
  ['pairwise-salt', true],
  ['docs/ops/master-key.md', false],
  ['server/pairwise-salt.ts', false],
])('%s is a file of the data directory: %s', (file, expected) => {
  expect(isOfDataDirectory(file)).toBe(expected);
});

test('what only looks like one is let through', () => {
  const text = 'postgres://gatehouse_server:…@db.example/gatehouse, gh_cs_…, gh_at_nonsense';
  expect(scanned(text)).toMatchObject({ code: 0 });
});
