// `node tools/vulnerabilities.ts`: refuses dependencies with known vulnerabilities, high or worse, by
// the registry's audit endpoint. Where it does not answer, it says `not audited` and refuses nothing.
import { spawnSync } from 'node:child_process';
import { delimiter } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './install.mjs';

export interface Verdict {
  readonly refused: boolean;
  readonly sentence: string;
}

const levels = ['critical', 'high', 'moderate', 'low', 'info'] as const;
const refusedLevels: ReadonlySet<string> = new Set(['critical', 'high']);

/** What `npm audit --json` has printed, in a sentence. */
export function verdictOn(printed: string): Verdict {
  const counts = countsOf(printed);
  if (counts === undefined) {
    return { refused: false, sentence: 'not audited: the registry has no audit endpoint' };
  }
  const found = levels.flatMap((level) => {
    const count = Number(counts.get(level) ?? 0);
    return count > 0 ? [`${count} ${level}`] : [];
  });
  const refused = levels.some((level) => refusedLevels.has(level) && Number(counts.get(level)) > 0);
  const sentence =
    found.length === 0 ? 'audited: no known vulnerabilities' : `audited: ${found.join(', ')}`;
  return { refused, sentence };
}

function countsOf(printed: string): ReadonlyMap<string, unknown> | undefined {
  try {
    const { metadata } = JSON.parse(printed);
    const counts: unknown = metadata?.vulnerabilities;
    return typeof counts === 'object' && counts !== null
      ? new Map(Object.entries(counts))
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
  const { stdout } = spawnSync('npm', ['audit', '--json'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 30_000,
    maxBuffer: 2 ** 26,
    env: { ...process.env, PATH },
  });
  const { refused, sentence } = verdictOn(stdout ?? '');
  if (refused) console.error(stdout);
  console.log(sentence);
  process.exitCode = refused ? 1 : 0;
}
