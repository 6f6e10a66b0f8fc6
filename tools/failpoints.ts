// docs/failpoints.md, from the tables in server/config/failpoint.ts; with `--check` it only compares.
import { readFileSync, writeFileSync } from 'node:fs';
import {
  failpointAnswers,
  failpointMoments,
  failpointStatements,
  failpointSteps,
} from '#server/config/failpoint.ts';

const page = new URL('../docs/failpoints.md', import.meta.url);

/** The page of all failpoints, as Markdown. */
function failpointReference(): string {
  const statements = Object.entries(failpointStatements).map(
    ([name, what]) => `| \`${name}\` | ${what} |`,
  );
  const moments = Object.entries(failpointMoments).map(([name, when]) => `- \`.${name}\`: ${when}`);
  const answers = Object.entries(failpointAnswers).map(
    ([name, paths]) => `| \`${name}\` | ${paths.map((path) => `\`${path}\``).join(', ')} |`,
  );
  const steps = Object.entries(failpointSteps).map(([name, when]) => `| \`${name}\` | ${when} |`);
  return `<!-- Generated from server/config/failpoint.ts by \`node tools/failpoints.ts\`. Do not edit. -->
# Failpoints

Places where a server can be made to fail, for tests of what survives. \`GATEHOUSE_INSECURE_FAILPOINTS\` arms
them, for all processes of a server; it is printed at each start. Unarmed they cost nothing: the database is not wrapped.

\`\`\`sh
GATEHOUSE_INSECURE_FAILPOINTS=redeem.after=kill@3,answer.token=sleep:50%0.1
\`\`\`

| action | does |
| --- | --- |
| \`kill\` | SIGKILL to the process itself |
| \`error\` | refuses as an outage does: 503, or another try where a lost answer is asked again |
| \`sleep:<ms>\` | waits |

\`@3\`: only at the third visit of the process. \`%0.1\`: at one visit in ten, by chance.

## Writes

A name is a statement and a moment, \`redeem.after\`:

${moments.join('\n')}

| statement | writes |
| --- | --- |
${statements.join('\n')}

## Answers

Reached when the answer is made, everything behind it is committed and waited for, and nothing has left.

| point | doors |
| --- | --- |
${answers.join('\n')}

## Steps of commands

| point | where |
| --- | --- |
${steps.join('\n')}
`;
}

const text = failpointReference();
if (!process.argv.includes('--check')) {
  writeFileSync(page, text);
} else if (readFileSync(page, 'utf8') !== text) {
  console.error('docs/failpoints.md is stale: run node tools/failpoints.ts');
  process.exitCode = 1;
}
