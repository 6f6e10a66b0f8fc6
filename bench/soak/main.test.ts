import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../deployments/child.ts';

test('a short soak: everything at once for some seconds, every answer right', {
  timeout: 300_000,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-soak-'));
  const output = join(directory, 'soak.json');
  const args = ['bench/soak/main.ts', '--minutes', '0.12', '--output', output];
  const child = spawn(process.execPath, args, { cwd: root });
  let written = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    written += text;
  });
  child.stdout.resume();
  await once(child, 'close');
  // 1: something grows or is unclear. In seconds, with cold code, that says nothing.
  expect([0, 1], written).toContain(child.exitCode);
  const soak = JSON.parse(await readFile(output, 'utf8'));
  expect(soak.operations).toBeGreaterThan(20);
  expect(soak.samples.length).toBeGreaterThan(3);
  await rm(directory, { recursive: true });
});
