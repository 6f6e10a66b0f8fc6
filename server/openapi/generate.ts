// docs/openapi.json, from the operations beside this file; with `--check` it only compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { describeApi } from './document.ts';

const file = new URL('../../docs/openapi.json', import.meta.url);
const text = `${JSON.stringify(describeApi(), null, 2)}\n`;
if (!process.argv.includes('--check')) {
  writeFileSync(file, text);
} else if (readFileSync(file, 'utf8') !== text) {
  console.error('docs/openapi.json is stale: run node server/openapi/generate.ts');
  process.exitCode = 1;
}
