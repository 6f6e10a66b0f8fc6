/** A rule broken on purpose: a patch, and the test that must notice it (docs/mutants.md). */
export interface Mutant {
  /** The file's name without `.patch`. */
  readonly name: string;
  /** Which rule is broken, in a sentence. */
  readonly rule: string;
  /** What Vitest selects test files by: a part of their path. */
  readonly file: string;
  /** What Vitest selects tests by (`-t`, a regular expression); '': all of the file. */
  readonly pattern: string;
  /** What a failure's message must contain to count as red. */
  readonly failure: string;
  /** Set in the environment of the test. */
  readonly env: Readonly<Record<string, string>>;
  /** A run that takes longer is ended, and proves nothing. */
  readonly secondsMax: number;
}

const defaults = { failure: 'AssertionError', secondsMax: 300 } as const;
const excerptLinesMax = 24;
const keys = ['rule', 'test', 'failure', 'env', 'seconds'];

/**
 * Reads the head of a patch: lines `key: value` before the first `diff` or `---` line. Gives a
 * sentence instead where something is missing or unknown.
 */
export function readMutant(name: string, text: string): Mutant | string {
  const end = text.search(/^(diff --git |--- )/m);
  if (end === -1) return 'there is no diff in it';
  const head = new Map<string, string[]>();
  for (const line of text.slice(0, end).split('\n')) {
    if (line.trim() === '') continue;
    const [, key = '', value = ''] = /^([a-z]+): (.+)$/.exec(line) ?? [];
    if (!keys.includes(key)) return `its head has a line that is none of ${keys}: ${line}`;
    head.set(key, [...(head.get(key) ?? []), value.trim()]);
  }
  const rule = head.get('rule')?.join(' ');
  const [test, ...more] = head.get('test') ?? [];
  if (rule === undefined) return 'its head has no line "rule: ..."';
  if (test === undefined || more.length > 0) return 'its head needs one line "test: ..."';
  const [file = '', pattern = ''] = test.split(/ -t (.*)/);
  const seconds = Number(head.get('seconds')?.[0] ?? defaults.secondsMax);
  if (!Number.isInteger(seconds) || seconds < 1) return '"seconds:" takes a whole number';
  const env = (head.get('env') ?? []).flatMap((line) => line.split(/\s+/));
  const wrong = env.find((pair) => !/^[A-Z][A-Z0-9_]*=/.test(pair));
  if (wrong !== undefined) return `"env:" takes NAME=value, not ${wrong}`;
  return {
    name,
    rule,
    file: file.trim(),
    pattern: pattern.trim().replace(/^(['"])(.*)\1$/, '$2'),
    failure: head.get('failure')?.[0] ?? defaults.failure,
    env: Object.fromEntries(
      env.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    ),
    secondsMax: seconds,
  };
}

/** Why no test is what this mutant names; undefined where there is one. */
export function missingTest(
  { file, pattern }: Pick<Mutant, 'file' | 'pattern'>,
  paths: readonly string[],
  read: (path: string) => string,
): string | undefined {
  const files = paths.filter((path) => path.endsWith('.test.ts') && path.includes(file));
  if (files.length === 0) return `no test file has ${file} in its path`;
  if (pattern === '' || files.some((path) => new RegExp(pattern).test(read(path))))
    return undefined;
  return `${files.join(', ')} has no test named ${pattern}`;
}

/** What Vitest's JSON report says, as far as it is read here. */
export interface Report {
  readonly testResults?: readonly {
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages?: readonly string[] | null;
    }[];
  }[];
}

/**
 * `red`: a test failed in the way that proves something. `green`: all passed. `broken`: whatever
 * proves nothing, which is a test that ran out of time, threw something else, or did not run.
 */
export interface Verdict {
  readonly kind: 'red' | 'green' | 'broken';
  readonly detail: string;
}

/** Judges a run of tests; undefined: there was no report, or the run was ended. */
export function judge(report: Report | undefined, failure: string): Verdict {
  if (report === undefined) return { kind: 'broken', detail: 'no report: ended, or not started' };
  const files = report.testResults ?? [];
  const tests = files.flatMap((file) => file.assertionResults);
  const failed = tests.filter((test) => test.status === 'failed');
  for (const test of failed) {
    const proof = (test.failureMessages ?? []).find((message) => message.includes(failure));
    if (proof !== undefined) return { kind: 'red', detail: `${test.fullName}: ${excerpt(proof)}` };
  }
  const [other] = failed;
  if (other !== undefined) {
    const message = other.failureMessages?.[0] ?? 'no message';
    return { kind: 'broken', detail: `${other.fullName}: ${firstLine(message)}` };
  }
  const passed = tests.filter((test) => test.status === 'passed').length;
  const unloaded = files.find((file) => file.assertionResults.length === 0);
  if (unloaded !== undefined || passed === 0) {
    const why = unloaded?.message || 'no test ran';
    return { kind: 'broken', detail: firstLine(why) };
  }
  return { kind: 'green', detail: `${passed} passed` };
}

/** What a failure says, without its stack. */
function excerpt(message: string): string {
  const lines = message.split('\n');
  const stack = lines.findIndex((line) => /^\s+at /.test(line));
  return (stack === -1 ? lines : lines.slice(0, stack))
    .slice(0, excerptLinesMax)
    .join('\n    ')
    .trim();
}

function firstLine(text: string): string {
  return (text.split('\n').find((line) => line.trim() !== '') ?? '').trim();
}
