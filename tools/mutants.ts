// `npm run mutants`: breaks one rule after another in a scratch copy of the tree and demands that
// the test which guards it turns red (docs/mutants.md). What decides is in mutant.ts.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { pinnedNode, root } from './install.mjs';
import { judge, type Mutant, missingTest, readMutant, type Verdict } from './mutant.ts';

const help = `npm run mutants -- [options] [filter ...]

Applies each patch of mutants/ to a scratch copy, runs the test that it names, and demands that it
fails by an assertion. Before that the same tests must pass without the patch. A filter is a part of
a mutant's name or of its test's path; without one all are run.

  --list         print the mutants and what they break, run nothing
  --check        only see that each patch applies and names a test that exists (npm run check)
  --jobs=N       run N at a time, 1 to 16 (default 1)
  --no-control   do not run the unpatched tests first
  --help

Example: npm run mutants -- --jobs=2 advisory-lock e2e/security-codes
Exit code 0: every mutant was red.`;

interface Outcome {
  readonly mutant: Mutant;
  readonly verdict: Verdict;
  readonly seconds: number;
}

const jobsMax = 16;
const directory = join(root, 'mutants');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    list: { type: 'boolean' },
    check: { type: 'boolean' },
    jobs: { type: 'string', default: '1' },
    control: { type: 'boolean', default: true },
    help: { type: 'boolean' },
  },
});
const children = new Set<number>();
const wordOf = { red: 'found   ', green: 'SURVIVED', broken: 'NO PROOF' } as const;

async function main(): Promise<number> {
  if (values.help === true) return say(help);
  const { mutants, findings } = readAll();
  const chosen = mutants.filter(isChosen);
  for (const finding of findings) console.log(finding);
  if (values.list === true) return say(chosen.map((m) => `${m.name}\n    ${m.rule}`).join('\n'));
  const count = `mutants: ${mutants.length} patches, ${findings.length} findings`;
  if (values.check === true || findings.length > 0) {
    console.log(count);
    return findings.length === 0 ? 0 : 1;
  }
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > jobsMax) {
    console.error(`--jobs takes a whole number from 1 to ${jobsMax}.`);
    return 2;
  }
  if (chosen.length === 0) {
    console.error(`No mutant has ${positionals.join(' or ')} in its name. Try --list.`);
    return 2;
  }
  return runAll(chosen, jobs);
}

function say(text: string): number {
  console.log(text);
  return 0;
}

function isChosen({ name, file }: Mutant): boolean {
  return (
    positionals.length === 0 ||
    positionals.some((filter) => name.includes(filter) || file.includes(filter))
  );
}

/** Every patch, and what is wrong with those that cannot be run. */
function readAll(): { mutants: readonly Mutant[]; findings: readonly string[] } {
  const paths = sources();
  const read = (path: string) => readFileSync(join(root, path), 'utf8');
  const mutants: Mutant[] = [];
  const findings: string[] = [];
  const names = existsSync(directory) ? readdirSync(directory).sort() : [];
  for (const file of names.filter((name) => name.endsWith('.patch'))) {
    const path = `mutants/${file}`;
    const mutant = readMutant(file.slice(0, -'.patch'.length), read(path));
    if (typeof mutant === 'string') {
      findings.push(`${path}: ${mutant}`);
      continue;
    }
    mutants.push(mutant);
    const missing = missingTest(mutant, paths, read);
    if (missing !== undefined) findings.push(`${path}: ${missing}`);
    const refusal = apply(root, mutant, ['--check']);
    if (refusal !== '') findings.push(`${path} does not apply: make it anew (${refusal})`);
  }
  return { mutants, findings };
}

function sources(): readonly string[] {
  const listed = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const text = execFileSync('git', ['-c', 'safe.directory=*', ...listed], {
    cwd: root,
    encoding: 'utf8',
  });
  return text.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
}

/** Applies the patch of a mutant in `tree`; gives what git says against it, '' where nothing. */
function apply(tree: string, mutant: Mutant, options: readonly string[]): string {
  const patch = join(directory, `${mutant.name}.patch`);
  const ran = spawnSync('git', ['apply', '--recount', ...options, patch], {
    cwd: tree,
    encoding: 'utf8',
    // A scratch copy is no repository; one above it must not be taken for its own.
    env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(tree) },
  });
  return ran.status === 0 ? '' : ran.stderr.trim().split('\n').join('; ') || 'git did not start';
}

/** A copy of the sources as they are now, with the packages of this checkout. */
function copyTree(into: string): string {
  for (const path of sources()) {
    mkdirSync(dirname(join(into, path)), { recursive: true });
    cpSync(join(root, path), join(into, path));
  }
  symlinkSync(join(root, 'node_modules'), join(into, 'node_modules'));
  return into;
}

async function runAll(mutants: readonly Mutant[], jobs: number): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), 'gatehouse-mutants-'));
  process.once('SIGINT', () => abandon(scratch));
  process.once('SIGTERM', () => abandon(scratch));
  try {
    const trees = Array.from({ length: Math.min(jobs, mutants.length) }, (_, job) =>
      copyTree(join(scratch, String(job))),
    );
    if (values.control && !(await isGreen(mutants, trees))) return 1;
    const outcomes = await spread(mutants, trees, breakRule);
    return conclude(outcomes.toSorted((a, b) => a.mutant.name.localeCompare(b.mutant.name)));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The tests that the mutants name pass as they are: else their red would mean nothing. */
async function isGreen(mutants: readonly Mutant[], trees: readonly string[]): Promise<boolean> {
  const keyOf = (m: Mutant) => JSON.stringify([m.file, m.pattern, m.env]);
  const distinct = [...new Map(mutants.map((m) => [keyOf(m), m])).values()];
  console.log(`Without a mutant: ${distinct.length} tests must be green.`);
  const outcomes = await spread(distinct, trees, async (mutant, tree): Promise<Outcome> => {
    const outcome = await runTest(mutant, tree);
    const { kind, detail } = outcome.verdict;
    if (kind !== 'green') console.log(`NOT GREEN ${mutant.file} ${mutant.pattern}: ${detail}`);
    return outcome;
  });
  return outcomes.every(({ verdict }) => verdict.kind === 'green');
}

async function breakRule(mutant: Mutant, tree: string): Promise<Outcome> {
  const refusal = apply(tree, mutant, []);
  if (refusal !== '') {
    const verdict = { kind: 'broken', detail: `does not apply: ${refusal}` } as const;
    return { mutant, verdict, seconds: 0 };
  }
  try {
    const outcome = await runTest(mutant, tree);
    const { kind, detail } = outcome.verdict;
    console.log(`${wordOf[kind]} ${mutant.name} (${outcome.seconds.toFixed(0)} s)\n    ${detail}`);
    return outcome;
  } finally {
    apply(tree, mutant, ['--reverse']);
  }
}

async function spread(
  mutants: readonly Mutant[],
  trees: readonly string[],
  take: (mutant: Mutant, tree: string) => Promise<Outcome>,
): Promise<readonly Outcome[]> {
  const queue = [...mutants];
  const outcomes: Outcome[] = [];
  await Promise.all(
    trees.map(async (tree) => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        outcomes.push(await take(next, tree));
      }
    }),
  );
  return outcomes;
}

async function runTest(mutant: Mutant, tree: string): Promise<Outcome> {
  const report = join(tree, 'mutant-report.json');
  rmSync(report, { force: true });
  const startedMs = performance.now();
  const vitest = join(tree, 'node_modules', 'vitest', 'vitest.mjs');
  const selection = mutant.pattern === '' ? [mutant.file] : [mutant.file, '-t', mutant.pattern];
  const reporters = ['--reporter=json', `--outputFile=${report}`];
  const child = spawn(pinnedNode, [vitest, 'run', ...reporters, ...selection], {
    cwd: tree,
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, ...mutant.env },
  });
  const { pid = 0 } = child;
  children.add(pid);
  let late = false;
  const deadline = setTimeout(() => {
    late = true;
    endGroup(pid);
  }, mutant.secondsMax * 1000);
  await new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
  clearTimeout(deadline);
  children.delete(pid);
  const seconds = (performance.now() - startedMs) / 1000;
  if (late) {
    const detail = `ended after ${mutant.secondsMax} s`;
    return { mutant, seconds, verdict: { kind: 'broken', detail } };
  }
  const text = existsSync(report) ? readFileSync(report, 'utf8') : undefined;
  const verdict = judge(text === undefined ? undefined : JSON.parse(text), mutant.failure);
  return { mutant, seconds, verdict };
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGTERM');
    setTimeout(() => {
      if (children.has(pid)) process.kill(-pid, 'SIGKILL');
    }, 20_000).unref();
  } catch {
    // It ended by itself.
  }
}

function abandon(scratch: string): void {
  for (const pid of children) endGroup(pid);
  rmSync(scratch, { recursive: true, force: true });
  process.exit(130);
}

function conclude(outcomes: readonly Outcome[]): number {
  const width = Math.max(...outcomes.map(({ mutant }) => mutant.name.length));
  console.log(`\n${'mutant'.padEnd(width)}  verdict   seconds  test`);
  for (const { mutant, verdict, seconds } of outcomes) {
    const test = `${mutant.file} ${mutant.pattern}`.trim();
    const time = seconds.toFixed(0).padStart(7);
    console.log(`${mutant.name.padEnd(width)}  ${wordOf[verdict.kind]}  ${time}  ${test}`);
  }
  const found = outcomes.filter(({ verdict }) => verdict.kind === 'red').length;
  console.log(`mutants: ${found} found, ${outcomes.length - found} not`);
  return found === outcomes.length ? 0 : 1;
}

process.exitCode = await main();
