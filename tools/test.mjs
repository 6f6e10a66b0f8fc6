// `npm test`: installs what is missing, then runs every check and every test. With arguments
// (`npm test -- server/store`) only the tests that Vitest selects by them. The last line counts.
// Plain JavaScript: it must run on an older Node too.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { provideBrowser } from './browser.mjs';
import { run } from './child.mjs';
import { provideDebianPostgres } from './debian-postgres.mjs';
import { provideFaketime } from './faketime.mjs';
import { install, pinnedNode, root } from './install.mjs';
import { provideSchemathesis } from './schemathesis.mjs';

install('everything');
const selection = process.argv.slice(2);
const browserIsRequired = provideBrowser();
provideFaketime();
provideDebianPostgres();
const wantsSchemathesis = selection.length === 0 || selection.some((one) => /schema/.test(one));
if (wantsSchemathesis) provideSchemathesis();
const reports = mkdtempSync(path.join(tmpdir(), 'gatehouse-report-'));
let passed = 0;
let failed = 0;

if (selection.length === 0) {
  const report = path.join(reports, 'check.json');
  await run(pinnedNode, ['tools/check.ts', '--without-tests', `--report=${report}`], {
    cwd: root,
  });
  const steps = read(report);
  passed += steps?.passed ?? 0;
  failed += steps?.failed ?? 1;
}

const report = path.join(reports, 'tests.json');
const vitest = path.join('node_modules', 'vitest', 'vitest.mjs');
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const code = await run(pinnedNode, [vitest, 'run', ...reporters, ...selection], { cwd: root });
const tests = read(report);
passed += tests?.numPassedTests ?? 0;
let testsFailed = tests?.numFailedTests ?? 1;
// A file that could not be loaded fails without a test of its own.
for (const file of tests?.testResults ?? []) {
  if (file.status === 'failed' && file.assertionResults.length === 0) testsFailed += 1;
}
const skipped = (tests?.numPendingTests ?? 0) + (tests?.numTodoTests ?? 0);
if (skipped > 0) {
  const verdict = browserIsRequired ? ': here nothing may be skipped' : '';
  console.log(`${skipped} tests were skipped${verdict}.`);
  if (browserIsRequired) testsFailed += skipped;
}
failed += code !== 0 && testsFailed === 0 ? 1 : testsFailed;

rmSync(reports, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** @param {string} file */
function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
