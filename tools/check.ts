// `npm run check`: everything that can be said about the sources in under a minute, two steps at a
// time. `--without-tests` leaves the unit tests out, `--report=FILE` writes what passed as JSON.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { pinnedNode, root } from './install.mjs';

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** Its last line is worth reading also where it passed. */
  readonly says?: boolean;
}

interface Outcome {
  readonly name: string;
  readonly passed: boolean;
  readonly seconds: number;
}

const steps: readonly Step[] = [
  { name: 'types', command: ['tsc', '-p', '.'] },
  {
    name: 'format and lint',
    command: ['biome', 'check', '--error-on-warnings', '--max-diagnostics=200', '.'],
  },
  { name: 'types of core, without Node', command: ['tsc', '-p', 'core'] },
  { name: 'conventions', command: ['node', 'tools/tidy.ts'] },
  { name: 'dependency rules', command: ['node', 'tools/dependencies.ts'] },
  { name: 'dead code', command: ['knip', '--no-progress'] },
  { name: 'lock file', command: ['node', 'tools/lock.ts', '--check'] },
  { name: 'migrations', command: ['node', 'tools/migrations.ts'] },
  { name: 'committed secrets', command: ['node', 'tools/secrets.ts'], says: true },
  { name: 'known vulnerabilities', command: ['node', 'tools/vulnerabilities.ts'], says: true },
  { name: 'generated files', command: ['node', 'tools/generated.ts', '--check'] },
  { name: 'mutants apply', command: ['node', 'tools/mutants.ts', '--check'] },
];
const tests: Step = {
  name: 'tests of core and tokens',
  command: [
    'vitest',
    'run',
    '--project',
    'unit',
    '--reporter',
    'dot',
    'core/',
    'tokens/',
    '--exclude',
    '**/*.fuzz.test.ts',
  ],
};

const { values } = parseArgs({
  options: { 'without-tests': { type: 'boolean' }, report: { type: 'string' } },
});
const queue = values['without-tests'] ? [...steps] : [tests, ...steps];
const outcomes: Outcome[] = [];

async function work(): Promise<void> {
  for (let step = queue.shift(); step !== undefined; step = queue.shift()) {
    outcomes.push(await take(step));
  }
}

async function take(step: Step): Promise<Outcome> {
  const startedMs = performance.now();
  const { code, output } = await run(step.command);
  const seconds = (performance.now() - startedMs) / 1000;
  const passed = code === 0;
  const said = step.says && passed ? `: ${output.trimEnd().split('\n').at(-1)}` : '';
  console.log(`${passed ? 'ok    ' : 'FAILED'} ${step.name}${said} (${seconds.toFixed(1)} s)`);
  if (!passed) console.log(`$ ${step.command.join(' ')}\n${output.trimEnd()}\n`);
  return { name: step.name, passed, seconds };
}

function run(command: readonly string[]): Promise<{ code: number | null; output: string }> {
  const [program = '', ...args] = command;
  const binaries = join(root, 'node_modules', '.bin');
  const child = spawn(program === 'node' ? pinnedNode : join(binaries, program), args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH ?? ''}` },
  });
  const written: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => written.push(text));
  }
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: 127, output: error.message }));
    child.once('close', (code) => resolve({ code, output: written.join('') }));
  });
}

await Promise.all([work(), work()]);
const failed = outcomes.filter((outcome) => !outcome.passed);
const counts = { passed: outcomes.length - failed.length, failed: failed.length };
if (values.report !== undefined) writeFileSync(values.report, JSON.stringify(counts));
console.log(`check: ${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
