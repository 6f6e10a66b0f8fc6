// Lints all migrations that are shipped (docs/migrate/lint-rules.md says by which rules).
import { fileURLToPath } from 'node:url';
import { lint, refusals } from '#migrate/online/lint.ts';
import { readMigrations } from '#migrate/online/migration.ts';
import { loadGrammar } from '#migrate/online/sql.ts';
import { findingLine } from '#migrate/online/words.ts';

await loadGrammar();
const directory = fileURLToPath(new URL('../server/schema', import.meta.url));
const refused = refusals(lint(await readMigrations(directory)));
for (const finding of refused) console.log(findingLine(finding));
if (refused.length > 0) {
  console.log('Write it otherwise, or say above it: -- migrate:allow RULE because REASON');
  process.exitCode = 1;
}
