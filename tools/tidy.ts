// `npm run tidy`: the conventions that a linter does not know (tidy-rules.ts).
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './install.mjs';
import { findings } from './tidy-rules.ts';

// A clone that another user owns is read all the same.
const tracked = [
  '-c',
  'safe.directory=*',
  'ls-files',
  '--cached',
  '--others',
  '--exclude-standard',
  '-z',
];
const paths = execFileSync('git', tracked, { cwd: root, encoding: 'utf8' }).split('\0');
const files = paths
  .filter((path) => path !== '' && existsSync(join(root, path)) && !path.includes('/generated/'))
  .filter((path) => /(\.(ts|mjs|sql|md|json|sh)|\.ci\/run)$/.test(path))
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
const found = findings(files, (path) => existsSync(join(root, path)));

for (const { path, line, sentence } of found) console.log(`${path}:${line}: ${sentence}`);
console.log(`tidy: ${files.length} files, ${found.length} findings`);
process.exitCode = found.length === 0 ? 0 : 1;
