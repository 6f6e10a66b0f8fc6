import { basename, dirname, join, normalize } from 'node:path/posix';

/** A file of the repository, by its path from the root. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** What a rule has to say, where: `path:line: sentence`. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly sentence: string;
}

/** All findings in these files. `exists` tells whether a path from the root is a file or directory. */
export function findings(
  files: readonly SourceFile[],
  exists: (path: string) => boolean,
): readonly Finding[] {
  return files.flatMap((file) => [
    ...nameFindings(file, exists),
    ...lengthFindings(file),
    ...lineFindings(file),
    ...linkFindings(file, exists),
  ]);
}

const linesMax = 400;
const testLinesMax = 500;
const isCode = (path: string) => /\.(ts|mjs)$/.test(path);
const isTest = (path: string) => /\.test\.ts$/.test(path) || path.startsWith('e2e/');
const isTidy = (path: string) => path.startsWith('tools/tidy');

function lengthFindings({ path, text }: SourceFile): readonly Finding[] {
  if (!isCode(path) && !path.endsWith('.sql')) return [];
  const max = isTest(path) ? testLinesMax : linesMax;
  const lines = text.split('\n').length - 1;
  if (lines <= max) return [];
  return [
    { path, line: max + 1, sentence: `${lines} lines: a file of more than ${max} is two ideas` },
  ];
}

function nameFindings({ path }: SourceFile, exists: (path: string) => boolean): readonly Finding[] {
  const found: Finding[] = [];
  const words = path.split(/[/._-]/);
  const vague = /^(utils?|helpers?|common|manager|misc)$/;
  const word = words.find((candidate) => vague.test(candidate));
  if (word !== undefined) {
    found.push({ path, line: 1, sentence: `"${word}" says nothing: name it by its noun` });
  }
  if (isCode(path) && !/^[a-z0-9]+([.-][a-z0-9]+)*\.(ts|mjs)$/.test(basename(path))) {
    found.push({ path, line: 1, sentence: 'files are named in lower case, words joined by "-"' });
  }
  const tested = /^(.*?)(\.[a-z-]+)?\.test\.ts$/.exec(path);
  if (tested !== null && !path.startsWith('e2e/')) {
    const [, stem = '', part = ''] = tested;
    const beside = [`${stem}.ts`, `${stem}${part}.ts`, `${stem}${part}.mjs`];
    if (!beside.some(exists)) {
      found.push({ path, line: 1, sentence: `a test stands beside what it tests: no ${stem}.ts` });
    }
  }
  return found;
}

interface LineRule {
  readonly pattern: RegExp;
  readonly sentence: string;
  /** Which files it holds for. */
  readonly holds: (path: string) => boolean;
  /** Also in comments; otherwise lines that are nothing but comment are passed over. */
  readonly inComments?: boolean;
}

const readsEnvironment =
  /^(server\/config|tools)\/|^(sample\/settings|migrate\/main)\.ts$|^[a-z.]+\.config\.ts$/;
const isSource = (path: string) => isCode(path) || path.endsWith('.sql');
const isProduct = (path: string) => isCode(path) && !isTest(path) && !path.startsWith('tools/');
const leftForLater = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|');
const unfinished = ['not implemented', 'unimplemented', 'for ' + 'now\\b'].join('|');

const lineRules: readonly LineRule[] = [
  {
    pattern: /\bprocess\.env\b/,
    sentence: 'the environment is read in server/config only, and passed down',
    holds: (path) => isCode(path) && !readsEnvironment.test(path),
  },
  {
    pattern: /\b(select|returning)\s+(\w+\.)?\*/i,
    sentence: 'name the columns: release N runs on schema N + 1 (R8)',
    // The linter of migrations has it in its examples.
    holds: (path) => isSource(path) && !isTidy(path) && path !== 'migrate/online/rules.ts',
  },
  {
    pattern: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b/,
    sentence: 'core has no clock: time is an argument',
    holds: (path) => path.startsWith('core/') && !isTest(path),
  },
  {
    pattern: /\brandom(Bytes|UUID|Int|FillSync)\b|\bgetRandomValues\b/,
    sentence: 'core has no randomness: it is an argument',
    holds: (path) => path.startsWith('core/') && !isTest(path),
  },
  {
    pattern: /\bMath\.random\b/,
    sentence: 'use node:crypto: Math.random can be predicted',
    holds: (path) => isCode(path) && !isTidy(path),
  },
  {
    pattern: new RegExp(`\\b(${leftForLater})\\b`),
    sentence: 'left for later: do it, or write down why not',
    holds: (path) => path !== 'package-lock.json',
    inComments: true,
  },
  {
    pattern: new RegExp(unfinished, 'i'),
    sentence: 'unfinished: finish it, or say what is true',
    holds: (path) => (isSource(path) || path.endsWith('.md')) && !isTidy(path),
    inComments: true,
  },
  {
    pattern: /\b(it|test|describe|suite)(\.\w+)*\.(skip|only|todo)\b/,
    sentence: 'a test always runs; one that cannot run somewhere says so by skipIf',
    holds: (path) => isTest(path) && !isTidy(path),
  },
  {
    pattern: /\bas unknown as\b|@ts-(ignore|expect-error|nocheck)\b/,
    sentence: 'the types are silenced here: make them true',
    holds: (path) => isCode(path) && !isTidy(path),
    inComments: true,
  },
  {
    pattern: /^\s*(export\s+)?(abstract\s+)?class\s+\w+(?!\s+extends\s+Error\b)\W/,
    sentence: 'no classes other than those that extend Error',
    holds: isCode,
  },
  {
    pattern:
      /^(export\s+)?(let|var)\s|^(export\s+)?const\s+\w+\b(?!: Readonly)[^=]*=\s*new (Weak)?(Map|Set)\b[^(]*\(\)/,
    sentence: 'no mutable state at module level: make it where it is owned, and pass it down',
    holds: isProduct,
  },
  {
    pattern: /(^|[\s'"`(])\/(home|Users|root|work)\/[\w.-]/,
    sentence: 'a path of one machine',
    holds: (path) => path !== 'package-lock.json' && !isTidy(path),
    inComments: true,
  },
  {
    pattern: /"resolved":/,
    sentence: 'the lock file names no registry (npm config omit-lockfile-registry-resolved)',
    holds: (path) => path === 'package-lock.json',
  },
  {
    pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----(\\n)?\s*$|\b(AKIA[0-9A-Z]{16}|ghp_\w{36})\b/,
    sentence: 'a committed secret',
    holds: (path) => !isTidy(path),
    inComments: true,
  },
];

function lineFindings({ path, text }: SourceFile): readonly Finding[] {
  const rules = lineRules.filter((rule) => rule.holds(path));
  const found: Finding[] = [];
  for (const [index, content] of text.split('\n').entries()) {
    const isComment = /^\s*(\/\/|\/?\*|--)/.test(content);
    for (const rule of rules) {
      if (isComment && rule.inComments !== true) continue;
      if (rule.pattern.test(content)) {
        found.push({ path, line: index + 1, sentence: rule.sentence });
      }
    }
    if (isProduct(path) && !isComment && comparesSecrets(content)) {
      const sentence = 'secrets are compared by timingSafeEqual: === tells where they differ';
      found.push({ path, line: index + 1, sentence });
    }
  }
  return found;
}

const secretName = /(secret|password|mac|signature|digest|csrf|apikey|bearer)$/i;

/** Two values compared by ===, of which one is named like a secret and none is a constant. */
function comparesSecrets(line: string): boolean {
  for (const [, left = '', right = ''] of line.matchAll(/([\w.?]+)\s*[!=]==\s*([\w.?'"`]+)/g)) {
    if (/^(undefined|null|true|false|\d.*|['"`].*)$/.test(right) || /^typeof$/.test(left)) continue;
    if (/\btypeof\s+$/.test(line.slice(0, line.indexOf(left)))) continue;
    if (secretName.test(left) || secretName.test(right)) return true;
  }
  return false;
}

/** Relative links of Markdown lead to a file that is there. */
function linkFindings(
  { path, text }: SourceFile,
  exists: (path: string) => boolean,
): readonly Finding[] {
  if (!path.endsWith('.md')) return [];
  const found: Finding[] = [];
  let inCode = false;
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*```/.test(line)) inCode = !inCode;
    if (inCode) continue;
    for (const [, target = ''] of line.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)[^)]*\)/g)) {
      if (/^([a-z]+:|#)/i.test(target)) continue;
      const file = target.replace(/[#?].*$/, '');
      const resolved = normalize(join(dirname(path), decodeURIComponent(file)));
      if (resolved.startsWith('..') || !exists(resolved)) {
        found.push({ path, line: index + 1, sentence: `the link leads nowhere: ${target}` });
      }
    }
  }
  return found;
}
