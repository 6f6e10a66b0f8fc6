// docs/audit.md, from the list in server/audit/actions.ts; with `--check` it only compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { auditActions } from '#server/audit/actions.ts';

const page = new URL('../docs/audit.md', import.meta.url);

/** The page of the audit log, as Markdown. */
function auditReference(): string {
  const rows = Object.entries(auditActions).map(
    ([action, { target, about }]) => `| \`${action}\` | ${target} | ${about} |`,
  );
  return `<!-- Generated from server/audit/actions.ts by \`node tools/audit-actions.ts\`. Do not edit. -->
# Audit log

Table \`audit\` holds an entry of every administrative change and every security event. Entries are added and never changed: the role of
\`GATEHOUSE_DATABASE_URL\` may insert and read them, and has no right to update or delete. A month that is over for longer than
\`GATEHOUSE_AUDIT_DAYS\` (400) is dropped whole.

\`\`\`sh
npm run -s gatehouse -- audit list --since 1h
npm run -s gatehouse -- audit list --action 'client.*' --json
curl -s -H "Authorization: Bearer $(cat .gatehouse/admin-token)" 'http://127.0.0.1:4445/admin/audit?page_size=10'
\`\`\`

Give a program that only reads it a credential of the role \`audit\`.

## An entry

| field | is |
| --- | --- |
| \`at\` | the database's time, RFC 3339 in UTC |
| \`action\` | a name of the list below |
| \`outcome\` | \`begun\`, \`done\`, \`refused\` (a 4xx, nothing was changed) or \`failed\` (a 5xx, look what is true) |
| \`actor\` | \`kind\` and \`id\`: \`admin_token\`, \`credential\` (with its \`name\`), \`client\`, \`subject\`, \`operator\` (the user at the command line), \`system\`, \`anonymous\` |
| \`target\` | \`kind\` and \`id\` of what it is about |
| \`reason\` | why, where somebody said so |
| \`request_id\` | the same as in the answer's header \`x-request-id\`, the log and a trace |
| \`address\` | the caller's |
| \`count\` | how often, where events share an entry |
| \`detail\` | words and numbers; never a secret, a token or a code |

- A change has an entry **before** it (\`begun\`) and one after it. Listings leave out the first where the second is there. One that stays
  \`begun\` was under way when a node or PostgreSQL stopped: nobody was told that it worked, and it may have.
  [Decision 0007](decisions/0007-audit-before-and-after.md) says why.
- A revocation by an app, a replay or a sign-out writes its entry in the statement that revokes. A revocation that kills nothing has none.
- Of events that strangers can cause in any number, the first of a minute is written at once and the rest as one entry with a \`count\`; a
  node writes about 60 such entries of an action a minute at most. So wrong passwords and secrets, and requests that came too often, are all
  counted, and few are told apart in a crowd.
- Ordinary logins and consents have no entries: the rows of \`session\`, \`grant\` and \`chain\` are their trail.

## Filters of \`GET /admin/audit\`

\`from\`, \`to\` (a moment, \`to\` not included), \`actor\` (an id, a credential's name, or a kind), \`action\` (a name, or \`client.*\`), \`target\`, \`request_id\`,
\`page_size\` (250, at most 1,000), \`page_token\`. The newest entry comes first; \`Link\` has the next page. A page looks at 20,000 entries at
most, so with a filter it may be short, or empty, and not the last.

## Actions

| action | target | when |
| --- | --- | --- |
${rows.join('\n')}
`;
}

const text = auditReference();
if (!process.argv.includes('--check')) {
  writeFileSync(page, text);
} else if (readFileSync(page, 'utf8') !== text) {
  console.error('docs/audit.md is stale: run node tools/audit-actions.ts');
  process.exitCode = 1;
}
