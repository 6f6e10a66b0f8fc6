import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { root } from './deployments/child.ts';

async function bench(...args: readonly string[]) {
  const child = spawn(process.execPath, ['bench/main.ts', ...args], { cwd: root });
  const written = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      written[stream] += text;
    });
  }
  await once(child, 'close');
  return { code: child.exitCode, ...written };
}

test('every operation of the benchmark is answered rightly, by Gatehouse and by its peer', {
  timeout: 300_000,
}, async () => {
  const { code, stdout, stderr } = await bench('--smoke', '--json');
  expect(code, stderr).toBe(0);
  const { results } = JSON.parse(stdout);
  expect(results).toHaveLength(16);
  for (const { operations, microseconds } of results) {
    expect(operations).toBeGreaterThan(0);
    expect(microseconds.median).toBeGreaterThan(0);
  }
});

test('the benchmark sees a dropped index of the hot path', { timeout: 300_000 }, async () => {
  const { code, stdout, stderr } = await bench('control', '--secs', '1', '--rows', '30000');
  expect(code, stdout + stderr).toBe(0);
});

test('an option that does not exist is refused, with the usage', async () => {
  const { code, stderr } = await bench('--no-such-option');
  expect(code).toBe(2);
  expect(stderr).toContain('npm run bench -- [options]');
});
