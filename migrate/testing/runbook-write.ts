// `npm run migrate:runbook`: runs docs/migrate/runbook.md again and writes down what it prints now.

import { writeFile } from 'node:fs/promises';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { replayRunbook, rewritten, runbookFile } from './runbook.ts';

const installation = debianPostgresPath();
if (installation === '')
  throw new Error('The runbook begins at PostgreSQL 15: install postgresql-15');
await writeFile(runbookFile, rewritten(await replayRunbook(installation)));
