import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startServer, type TestServer } from '#server/testing/harness.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server?.stop());

/** The shell blocks of a page, against this server instead of the one of `npm start`. */
function blocksOf(page: string): readonly string[] {
  const text = readFileSync(`${root}${page}`, 'utf8');
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
  return blocks.map((block) =>
    block
      .replaceAll('http://127.0.0.1:4444', server.publicUrl)
      .replaceAll('http://127.0.0.1:4445', server.adminUrl),
  );
}

function bash(script: string): string {
  const env = {
    PATH: `${root}node_modules/.bin:/usr/local/bin:/usr/bin:/bin`,
    HOME: server.dataDir,
    GATEHOUSE_PUBLIC_PORT: new URL(server.publicUrl).port,
    GATEHOUSE_ADMIN_PORT: new URL(server.adminUrl).port,
    GATEHOUSE_ADMIN_TOKEN: server.adminToken,
    GATEHOUSE_DATA_DIR: server.dataDir,
  };
  const options = { cwd: root, env, encoding: 'utf8' } as const;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], options);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

test('README: a first token, asked about, revoked, asked about again, as printed', () => {
  const [first = '', second = ''] = blocksOf('README.md').filter((block) => block.includes('ask '));
  // One shell for both blocks; the token is copied from one to the other by hand.
  const last =
    first
      .trimEnd()
      .split('\n')
      .findLast((line) => line.startsWith('ask -d')) ?? '';
  const copied = `$(${last} | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`;
  const printed = bash(`${first}\n${second.replace('TOKEN=gh_at_…', `TOKEN=${copied}`)}`);
  expect(printed).toMatch(/^\{"access_token":"gh_at_[^"]+","expires_in":3600,"scope":"notes.read"/);
  expect([...printed.matchAll(/"active":(true|false)/g)].map(([, state]) => state)).toEqual([
    'true',
    'false',
  ]);
});

test('docs/quickstart-app.md: the app is registered as printed', () => {
  const [register = ''] = blocksOf('docs/quickstart-app.md');
  const printed = bash(register);
  expect(printed).toMatch(/^client_id +my-app$/m);
  expect(printed).toMatch(/^client_secret +gh_cs_/m);
});
