import { readdirSync, readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// What the runbooks print for PostgreSQL, run as printed beside a server that works.
let deployment: Deployment;
let superuser: pg.Client;
beforeAll(async () => {
  deployment = await deploy();
  superuser = new pg.Client({ connectionString: deployment.server.database.urls.superuser });
  await superuser.connect();
  await superuser.query('create extension if not exists pg_stat_statements');
});
afterAll(async () => {
  await superuser?.end();
  await deployment?.close();
});

const docs = new URL('../docs/', import.meta.url);
const pages = readdirSync(new URL('ops/', docs))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `ops/${name}`)
  .concat('operations.md');

const begins = /^(select|vacuum|alter|drop|delete|update|create|set)\b/i;

/** Statements of a page: in a fence of SQL, and in code between words. */
function statementsOf(page: string): readonly string[] {
  const text = readFileSync(new URL(page, docs), 'utf8');
  const fenced = [...text.matchAll(/```sql\n([^`]*)```/g)].map(([, code = '']) => code);
  const inline = [...text.replaceAll(/```[^`]*```/g, '').matchAll(/`([^`]+)`/g)]
    .map(([, code = '']) => code.replaceAll(/\s+/g, ' '))
    .filter((code) => begins.test(code) && code.includes(' '));
  return [...fenced.flatMap((code) => code.split(';')), ...inline]
    .map((code) => code.trim())
    .filter((code) => code !== '');
}

const printed = pages.flatMap((page) => statementsOf(page).map((text) => [page, text] as const));

test('the runbooks print statements, and these are found', () => {
  expect(printed.length).toBeGreaterThan(10);
  expect(printed.map(([page]) => page)).toContain('ops/disk-full.md');
});

test.each(printed)('docs/%s: %s', async (_, text) => {
  await superuser.query('begin');
  try {
    await superuser.query(text);
  } finally {
    await superuser.query('rollback');
  }
});

test('the lock of the sweeper is found by what the runbook asks', async () => {
  const asked = printed.find(([, text]) => text.includes('advisory'))?.[1] ?? '';
  expect((await superuser.query(asked)).rows).toEqual([]);
  const { rows } = await superuser.query(
    'select pg_advisory_lock(4744002), pg_backend_pid() as pid',
  );
  expect((await superuser.query(asked)).rows).toEqual([{ pid: rows[0]?.pid }]);
});
