import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { watchMemory } from './memory.ts';

// A primary and its worker: the worker keeps 1 MB every 20 ms, and both make garbage.
const program = `
  const cluster = require('node:cluster');
  if (cluster.isPrimary) cluster.fork().on('exit', () => process.exit());
  const kept = [];
  setInterval(() => {
    const made = Array.from({ length: 100_000 }, (_, i) => i + 0.5);
    if (cluster.isWorker) kept.push(made.slice());
  }, 20);
  if (cluster.isWorker) setTimeout(() => process.exit(), 4000);
`;

test('what a worker keeps is in its readings, and in those of no other', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-memory-test-'));
  const path = join(directory, 'program.cjs');
  await writeFile(path, program);
  const watch = await watchMemory(500);
  try {
    const child = spawn(process.execPath, [...watch.nodeArgs, path], { stdio: 'ignore' });
    await once(child, 'close');
    const pid = child.pid ?? 0;
    const memories = await watch.read(pid, 1);
    expect(memories.map(({ name }) => name)).toEqual(['primary', 'worker 1']);
    const grown = memories.map(({ readings }) => {
      expect(readings.length).toBeGreaterThan(1);
      return (readings.at(-1)?.heapUsed ?? 0) - (readings[0]?.heapUsed ?? 0);
    });
    expect(grown[0]).toBeLessThan(3e6);
    expect(grown[1]).toBeGreaterThan(5e6);
    await expect(watch.read(pid, 2)).rejects.toThrow('one has ended');
  } finally {
    await watch.stop();
    await rm(directory, { recursive: true });
  }
});
