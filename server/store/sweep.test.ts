import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sweeps } from '#server/store/sweep.ts';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';

/**
 * Tables that no sweep walks, and what bounds them. Whoever adds a table says here why it cannot grow
 * without end, or gives it a sweep.
 */
const bounds: Readonly<Record<string, string>> = {
  control: 'one row, by its key',
  audit: 'partitions by month, dropped once they are over (audit_keep)',
  client: 'registered by an administrator; nobody else may',
  client_secret: 'six of a client at most, and gone with it',
  admin_credential: '1,000 at most, in the statement that adds one',
  identity_user: 'people; where they may sign up by themselves, limited per address',
  schema_migration: 'one row for each release that changes the schema',
  schema_step: 'a few rows for each of these',
};

let database: TestDatabase;
let owner: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  owner = new pg.Client({ connectionString: database.urls.owner });
  await owner.connect();
});
afterAll(async () => {
  await owner?.end();
  await database?.close();
});

/** Tables of the schema; a partition belongs to its table. */
async function tables(): Promise<readonly string[]> {
  const { rows } = await owner.query<{ relname: string }>(
    `select c.relname from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
       and not c.relispartition
     order by c.relname`,
  );
  return rows.map(({ relname }) => relname);
}

const unbounded = (names: readonly string[]) =>
  names.filter((name) => !(name in bounds) && !sweeps.some(({ table }) => table === name));

describe('R22: every table is bounded', () => {
  test('by a sweep, or by what is said of it', async () => {
    const names = await tables();
    expect(names.length).toBeGreaterThan(10);
    expect(unbounded(names)).toEqual([]);
    // nothing is said of a table that is no longer there
    const known = [...Object.keys(bounds), ...sweeps.map(({ table }) => table)];
    expect(known.filter((name) => !names.includes(name))).toEqual([]);
  });

  test('and docs/storage.md says how', async () => {
    const page = fileURLToPath(new URL('../../docs/storage.md', import.meta.url));
    const overview = readFileSync(page, 'utf8').split('\n## Overview')[1]?.split('\n## ')[0] ?? '';
    const rows = overview.split('\n').filter((line) => line.startsWith('| `'));
    for (const name of await tables()) {
      const row = rows.find((line) => line.split('|')[1]?.includes(`\`${name}\``));
      const swept = row?.split('|')[4]?.trim() ?? '';
      expect(swept, `the row of ${name}`).not.toBe('');
      expect(swept.startsWith('no'), `${name}: "${swept}"`).toBe(
        name in bounds && name !== 'audit',
      );
    }
  });

  test('control: a table that somebody adds without a word is found', async () => {
    await owner.query('create table forgotten (id uuid primary key)');
    expect(unbounded(await tables())).toEqual(['forgotten']);
    await owner.query('drop table forgotten');
  });
});
