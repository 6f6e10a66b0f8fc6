// `npm run deps`: who may import whom (dependency-rules.ts).
import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { dependencyReport } from './dependency-graph.ts';
import { root } from './install.mjs';

const directories = ['core', 'tokens', 'server', 'cli', 'sample', 'e2e', 'tools'].filter(
  (directory) => existsSync(join(root, directory)),
);
const sources = globSync(`{${directories.join(',')}}/**/*.{ts,mjs}`, { cwd: root });
const { modules, imports, violations } = await dependencyReport(root, directories);

for (const violation of violations) console.log(violation);
const unread = sources.filter((path) => !modules.includes(path) && !path.endsWith('.d.ts'));
for (const path of unread) console.log(`${path} was not read`);
// A cruise that reads nothing finds nothing wrong.
if (imports < modules.length) console.log(`only ${imports} imports in ${modules.length} modules`);
console.log(`deps: ${modules.length} modules, ${imports} imports, ${violations.length} violations`);
const fine = violations.length === 0 && unread.length === 0 && imports >= modules.length;
process.exitCode = fine ? 0 : 1;
