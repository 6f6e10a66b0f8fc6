// `npm run lock`: completes package-lock.json after a package was added. A registry that mirrors
// packages for some platforms only makes npm leave the other platforms' out of the lock file, and
// npm ci then refuses that file. With `--check` it only says what is missing.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './install.mjs';
import { completed, type Lock, missingFrom } from './lock-file.ts';

const path = join(root, 'package-lock.json');
const lock: Lock = JSON.parse(readFileSync(path, 'utf8'));
const missing = missingFrom(lock);
if (process.argv.includes('--check')) {
  for (const { name } of missing) console.log(`${name} is not in package-lock.json: npm run lock`);
  process.exitCode = missing.length === 0 ? 0 : 1;
} else if (missing.length > 0) {
  writeFileSync(path, `${JSON.stringify(completed(lock), undefined, 2)}\n`);
  console.log(`package-lock.json: ${missing.length} packages of other platforms added`);
}
