// `npm run generate` makes every generated file anew; with `--check` it fails where one is stale.
// A generator is a program that writes its file, and with `--check` only compares.
import { spawnSync } from 'node:child_process';
import { root } from './install.mjs';

const generators: readonly string[] = [
  'server/config/reference.ts',
  'server/openapi/generate.ts',
  'tools/refusals.ts',
  'tools/failpoints.ts',
  'tools/lint-rules.ts',
  'tools/audit-actions.ts',
  'tools/migrate-commands.ts',
];

for (const generator of generators) {
  const { status } = spawnSync(process.execPath, [generator, ...process.argv.slice(2)], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status === 0) continue;
  console.error(`${generator} failed or its file is stale: run npm run generate`);
  process.exitCode = 1;
}
