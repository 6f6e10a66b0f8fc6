import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const tool = fileURLToPath(new URL('./child.mjs', import.meta.url));
let directory = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gatehouse-child-'));
});
afterAll(() => rm(directory, { recursive: true }));

/** A program that notes what reaches it, drains for 200 ms and ends with code 7. */
async function startWrapped(name: string): Promise<{ wrapper: ChildProcess; notes: string }> {
  const notes = join(directory, `${name}.notes`);
  const program = join(directory, `${name}.mjs`);
  await writeFile(
    program,
    `import { appendFileSync } from 'node:fs';
    const note = (word) => appendFileSync(${JSON.stringify(notes)}, word + ' ');
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.on(signal, () => { note(signal); setTimeout(() => process.exit(7), 200); });
    }
    process.on('exit', () => note('end'));
    setInterval(() => {}, 60_000);
    console.log('up');`,
  );
  const wrapped = `
    import { run } from ${JSON.stringify(tool)};
    process.exitCode = await run(process.execPath, [${JSON.stringify(program)}], { cwd: '/' });
  `;
  const wrapper = spawn(process.execPath, ['--input-type=module', '-e', wrapped], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(wrapper.stdout, 'data');
  return { wrapper, notes };
}

async function untilEnded(notes: string): Promise<string> {
  for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 50) {
    const text = await readFile(notes, 'utf8').catch(() => '');
    if (text.includes('end')) return text.trim();
    await sleep(50);
  }
  return 'it still runs';
}

test('a signal to the whole process group reaches the program once, and its exit code comes back', async () => {
  const { wrapper, notes } = await startWrapped('group');
  const ended = once(wrapper, 'exit');
  process.kill(-Number(wrapper.pid), 'SIGTERM');
  process.kill(-Number(wrapper.pid), 'SIGTERM');
  expect(await ended).toEqual([7, null]);
  expect(await untilEnded(notes)).toBe('SIGTERM end');
});

test('when the wrapper is killed, the program is asked to end', async () => {
  const { wrapper, notes } = await startWrapped('killed');
  process.kill(-Number(wrapper.pid), 'SIGKILL');
  expect(await untilEnded(notes)).toBe('SIGTERM end');
});
