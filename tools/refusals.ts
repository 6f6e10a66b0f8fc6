// docs/refusals.md, from the table in core/refusal.ts; with `--check` it only compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { refusals } from '#core/refusal.ts';

const page = new URL('../docs/refusals.md', import.meta.url);

/** The page of all expected refusals, as Markdown. */
function refusalReference(): string {
  const rows = Object.entries(refusals).map(([reason, { error, status, clause, description }]) => {
    const cells = [`\`${reason}\``, `\`${error}\``, String(status), clause, description];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return `<!-- Generated from core/refusal.ts by \`node tools/refusals.ts\`. Do not edit. -->
# Refusals

Everything that Gatehouse refuses on purpose is a row of this table. Anything else that goes wrong is a
bug or an outage: 500 \`server_error\` with a request id, or 503 \`temporarily_unavailable\`.

- **reason** is internal: it stands in the metric \`gatehouse_refusals_total\`, never on the wire.
- **error** is the \`error\` of the JSON answer, or of the redirect to the app's redirect URI, which
  has no status of its own.
- **sentence** is the \`error_description\`, unless the place that refuses knows a better one.

Several reasons share an error and a sentence where telling them apart would help an attacker.

| reason | error | status | clause | sentence |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

const text = refusalReference();
if (!process.argv.includes('--check')) {
  writeFileSync(page, text);
} else if (readFileSync(page, 'utf8') !== text) {
  console.error('docs/refusals.md is stale: run node tools/refusals.ts');
  process.exitCode = 1;
}
