// `node tools/secrets.ts`: refuses secrets in files that are committed or would be. With `--history`
// every line that any commit has added is looked at too. The rules are in .secretlintrc.json.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pinnedNode, root } from './install.mjs';

/** Runs secretlint on these files. Exit code 0: nothing was found. Secrets are masked in `report`. */
export function scan(files: readonly string[]): { readonly code: number; readonly report: string } {
  const program = join(root, 'node_modules', '.bin', 'secretlint');
  const rules = join(root, '.secretlintrc.json');
  // Not by a glob: a file that is ignored there would be left out without a word.
  const args = ['--secretlintrc', rules, '--no-glob', '--no-gitignore', ...files];
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 27 } as const;
  const { status, stdout, stderr } = spawnSync(pinnedNode, [program, ...args], options);
  return { code: status ?? 1, report: `${stdout}${stderr}` };
}

/** True for the files of a data directory: what is in them looks like nothing in particular. */
export function isOfDataDirectory(file: string): boolean {
  const name = file.split('/').at(-1) ?? '';
  const ours = /^(master-key|admin-token|pairwise-salt|demo-password|sample-secret)/;
  return ours.test(name) && !/\.(ts|md)$/.test(name);
}

/** What is tracked, and what is new and not ignored. */
function committed(): readonly string[] {
  const listed = git(['ls-files', '--cached', '--others', '--exclude-standard', '-z']);
  // Checksums, which no rule can tell from secrets; and pictures.
  const skipped = /(^|\/)package-lock\.json$|\.(png|svg|cpuprofile)$/;
  return listed
    .split('\0')
    .filter((file) => file !== '' && !skipped.test(file) && existsSync(join(root, file)));
}

function git(args: readonly string[]): string {
  const { status, stdout } = spawnSync('git', args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 29,
  });
  if (status === 0) return stdout;
  console.error('secrets: this is no git checkout, so what is committed cannot be known');
  process.exit(1);
}

/** Added lines of all commits, in files of a size that the rules read quickly. */
function history(directory: string): readonly string[] {
  const log = git(['log', '-p', '--no-color', '--unified=0', '--', '.', ':!package-lock.json']);
  const added = log.split('\n').filter((line) => line.startsWith('+') && !line.startsWith('+++'));
  const files: string[] = [];
  const linesMax = 20_000;
  for (let from = 0; from < added.length; from += linesMax) {
    const file = join(directory, `added-${from}.txt`);
    const lines = added.slice(from, from + linesMax).map((line) => line.slice(1));
    writeFileSync(file, lines.join('\n'));
    files.push(file);
  }
  return files;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-history-'));
  try {
    const past = process.argv.includes('--history') ? history(directory) : [];
    const now = committed();
    const files = [...now, ...past];
    const kept = now.filter(isOfDataDirectory);
    const { code: scanned, report } = scan(files);
    const code = kept.length > 0 ? 1 : scanned;
    if (code !== 0) {
      console.error(report);
      for (const file of kept) console.error(`${file}: a file of the data directory`);
      console.error(
        'A secret that was committed is known: make another one, then remove this one.',
      );
    }
    console.log(`secrets: ${files.length} files, ${code === 0 ? 'none' : 'found'}`);
    process.exitCode = code === 0 ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
