/** A test that docs/conformance.md names. */
export interface NamedTest {
  /** The file, from the root. */
  readonly path: string;
  /** The name as it is written in the file. */
  readonly name: string;
  /** The clause or the number of the attack. */
  readonly clause: string;
}

/** The rows of the document's tables: clause, name in backticks, file without `.test.ts`. */
export function namedTests(markdown: string): readonly NamedTest[] {
  return markdown.split('\n').flatMap((line) => {
    const row = /^\| (.+?) \| (?:`` (.+?) ``|`(.+?)`) \| ([\w./-]+) \|$/.exec(line);
    if (row === null) return [];
    const [, clause = '', quoted, plain, file = ''] = row;
    return [{ path: `${file}.test.ts`, name: quoted ?? plain ?? '', clause }];
  });
}

/** The tests that their file does not have; `read` gives a file's text, undefined where there is none. */
export function missingTests(
  tests: readonly NamedTest[],
  read: (path: string) => string | undefined,
): readonly NamedTest[] {
  return tests.filter(({ path, name }) => {
    const text = read(path);
    return text === undefined || !["'", '"', '`'].some((q) => text.includes(q + name));
  });
}

/** The numbers N of the attacks that tests in this text are named after: `security N: ...`. */
export function attacksIn(text: string): readonly number[] {
  const names = text.matchAll(/['"`]security ((?:\d+(?:, | and )?)+):/g);
  return [...names].flatMap(([, numbers = '']) => numbers.split(/, | and /).map(Number));
}
