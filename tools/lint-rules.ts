// docs/migrate/lint-rules.md, from the tables of migrate/online; with `--check` it only compares.
import { readFileSync, writeFileSync } from 'node:fs';
import type { Form } from '#migrate/online/form.ts';
import { forms } from '#migrate/online/forms.ts';
import { rules } from '#migrate/online/rules.ts';

const page = new URL('../docs/migrate/lint-rules.md', import.meta.url);

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

function lockOf({ lock, also, hold }: Form): string {
  const second = also === undefined ? '' : `; ${also.on}: ${also.lock}`;
  return lock === 'NONE' ? 'none' : `${lock}${second}, ${hold}`;
}

function formRow(form: Form): string {
  const since = form.since === undefined ? '' : ` (PostgreSQL ${form.since})`;
  const instead = form.instead === undefined ? '' : ` Instead: ${form.instead}.`;
  const verdict = form.harm === undefined ? form.verdict : `${form.verdict}: ${form.harm}`;
  const about = `${form.about}${since}`;
  return row([`\`${form.id}\``, about, lockOf(form), verdict, `${form.why}${instead}`]);
}

function rulesPage(): string {
  return `<!-- Generated from migrate/online/forms*.ts and rules.ts by \`node tools/lint-rules.ts\`. Do not edit. -->
# What the linter says of a migration

The linter reads a migration with PostgreSQL's own grammar. It names the lock of each statement, and
refuses what would keep others waiting, break the release before, or lose rows. Every form below was run
against a table under load, on PostgreSQL 18 and 15 (\`migrate/online/forms.proof.test.ts\`). [online.md](online.md) says how to
write a migration that passes.

A table that the same migration made is not in use: everything may be done with it. For any other table:

- **lock** is the strongest on the named table, and how long it is held: *brief* (the time that the
  catalogue takes), *scan* (as long as reading all rows takes), *rewrite* (as long as writing them takes).
- **verdict** is *allowed*, *contract* (in a contract migration only) or *refused*, and what would go wrong:
  it *blocks* (others wait as long as there are rows), *breaks* (the release before), *loses* (rows),
  *fails* (on any table with rows), or is *unjudged* (its text does not tell).

A rule is set aside for one statement by a comment above it, with a reason that a reviewer can judge:

\`\`\`sql
-- migrate:allow update-whole because the table has one row
update control set access_seconds_max = 0;
\`\`\`

## Forms

| rule | statement | lock | verdict | why |
| --- | --- | --- | --- | --- |
${forms.map(formRow).join('\n')}

Any other statement is refused as \`unknown-statement\`.

## Rules about how statements stand together

| rule | asks | why |
| --- | --- | --- |
${rules.map(({ id, about, why, instead }) => row([`\`${id}\``, about, `${why} Instead: ${instead}.`])).join('\n')}
`;
}

const text = rulesPage();
if (!process.argv.includes('--check')) {
  writeFileSync(page, text);
} else if (readFileSync(page, 'utf8') !== text) {
  console.error('docs/migrate/lint-rules.md is stale: run node tools/lint-rules.ts');
  process.exitCode = 1;
}
