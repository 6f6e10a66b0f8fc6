// `node tools/vulnerabilities.ts`: refuses dependencies with known vulnerabilities by the registry's audit
// endpoint: of those that run in production any, of those of development high ones and worse. Where
// it does not answer, it says `not audited` and refuses nothing.
import { spawnSync } from 'node:child_process';
import { delimiter } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './install.mjs';

export interface Verdict {
  readonly refused: boolean;
  readonly sentence: string;
}

const levels = ['critical', 'high', 'moderate', 'low', 'info'] as const;
type Level = (typeof levels)[number];
const refusedInProduction: ReadonlySet<Level> = new Set(['critical', 'high', 'moderate', 'low']);
const refusedInDevelopment: ReadonlySet<Level> = new Set(['critical', 'high']);

/** What `npm audit --json` has printed of all dependencies, and of those in production, in a sentence. */
export function verdictOn(ofAll: string, ofProduction: string): Verdict {
  const all = countsOf(ofAll);
  const production = countsOf(ofProduction);
  if (all === undefined || production === undefined) {
    return { refused: false, sentence: 'not audited: the registry gave no answer to an audit' };
  }
  const found = levels.flatMap((level) => {
    const count = all.get(level) ?? 0;
    const running = production.get(level) ?? 0;
    return count > 0 ? [`${count} ${level} (${running} in production)`] : [];
  });
  return {
    refused:
      levels.some((level) => refusedInDevelopment.has(level) && (all.get(level) ?? 0) > 0) ||
      levels.some((level) => refusedInProduction.has(level) && (production.get(level) ?? 0) > 0),
    sentence:
      found.length === 0 ? 'audited: no known vulnerabilities' : `audited: ${found.join(', ')}`,
  };
}

function countsOf(printed: string): ReadonlyMap<string, number> | undefined {
  try {
    const counts: unknown = JSON.parse(printed).metadata?.vulnerabilities;
    return typeof counts === 'object' && counts !== null
      ? new Map(Object.entries(counts).map(([level, count]) => [level, Number(count)]))
      : undefined;
  } catch {
    return undefined;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  // Not the npm of a Node in node_modules, which has none.
  const PATH = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !entry.includes('node_modules'))
    .join(delimiter);
  const audit = (...options: readonly string[]) =>
    spawnSync('npm', ['audit', '--json', ...options], {
      cwd: root,
      encoding: 'utf8',
      timeout: 30_000,
      maxBuffer: 2 ** 26,
      env: { ...process.env, PATH },
    }).stdout ?? '';
  const ofAll = audit();
  const { refused, sentence } = verdictOn(ofAll, audit('--omit=dev'));
  if (refused) console.error(ofAll);
  console.log(sentence);
  process.exitCode = refused ? 1 : 0;
}
