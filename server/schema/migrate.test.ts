import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Notice } from '#migrate/online/notice.ts';
import { withClient } from '#server/postgres/cluster.ts';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { migrate, migrationStatus, releasedMigrations, roleOf } from './migrate.ts';

let database: TestDatabase;
let directory = '';
let ownerUrl = '';

beforeAll(async () => {
  database = await createTestDatabase();
  ownerUrl = database.urls.owner;
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gatehouse-migrations-'));
  // The template is migrated: begin again from nothing, as another release would.
  await withClient(ownerUrl, (client) =>
    client.query('drop schema public cascade; create schema public'),
  );
  return () => rm(directory, { recursive: true });
});
afterAll(() => database.close());

const write = (name: string, sql: string) => writeFile(join(directory, name), sql);
const rows = (url: string, sql: string) =>
  withClient(url, async (client) => (await client.query(sql)).rows);

test('the shipped migrations apply to an empty database, once, whoever runs them at the same time', async () => {
  const said: string[] = [];
  const tell = ({ kind, sentence }: Notice) => kind === 'applied' && said.push(sentence);
  const options = { ownerUrl, tell };
  await Promise.all([migrate(options), migrate(options), migrate(options)]);
  const released = await releasedMigrations();
  expect(said).toHaveLength(released.length);
  const status = await migrationStatus(ownerUrl);
  expect(status.applied.map((row) => row.number)).toEqual(released.map((row) => row.number));
  expect(status).toMatchObject({ pending: [], unknown: [] });
});

test('the server role may read and write rows, and neither change tables nor what was migrated', async () => {
  const serverRole = roleOf(database.urls.server) ?? '';
  const usageRole = roleOf(database.urls.usage) ?? '';
  await migrate({ ownerUrl, serverRole, usageRole });
  const { server, usage } = database.urls;
  expect(await rows(server, 'select epoch from control')).toEqual([{ epoch: '1' }]);
  await rows(server, `select nextval('fact_seq')`);
  await rows(server, `delete from fact where seq < 0`);
  await expect(rows(server, 'create table mine (n int)')).rejects.toThrow(/permission denied/);
  await expect(rows(server, 'truncate fact')).rejects.toThrow(/permission denied/);
  await expect(rows(server, 'delete from schema_migration')).rejects.toThrow(/permission denied/);
  await expect(rows(usage, 'select epoch from control')).rejects.toThrow(/permission denied/);
});

test('the owner may also be the server role: nothing is granted or taken', async () => {
  await migrate({ ownerUrl, serverRole: roleOf(ownerUrl) ?? '' });
  await rows(ownerUrl, 'update schema_migration set name = name');
});

test('a migration that fails leaves nothing behind, and the ones before it stay', async () => {
  await write('0001_first.expand.sql', 'create table first (n int)');
  await write('0002_second.expand.sql', 'create table second (n int); select 1/0');
  await expect(migrate({ ownerUrl, directory })).rejects.toThrow(/division by zero/);
  const status = await migrationStatus(ownerUrl, directory);
  expect(status.applied.map((row) => row.number)).toEqual([1]);
  expect(status.pending.map((row) => row.number)).toEqual([2]);
  await expect(rows(ownerUrl, 'select n from second')).rejects.toThrow(/does not exist/);
});

test('a file that changed after it was applied is refused', async () => {
  await write('0001_first.expand.sql', 'create table first (n int)');
  await migrate({ ownerUrl, directory });
  await write('0001_first.expand.sql', 'create table first (n bigint)');
  await expect(migrate({ ownerUrl, directory })).rejects.toThrow(
    'Migration 0001_first (expand) was changed after this database applied it.',
  );
});

test('R8: a database that a newer release expanded passes, one that it contracted is refused', async () => {
  await write('0001_first.expand.sql', 'create table first (n int)');
  await write('0002_second.expand.sql', 'create table second (n int)');
  await migrate({ ownerUrl, directory });
  await rm(join(directory, '0002_second.expand.sql'));
  await migrate({ ownerUrl, directory });
  expect((await migrationStatus(ownerUrl, directory)).unknown).toMatchObject([{ number: 2 }]);
  await write('0003_third.contract.sql', 'drop table second');
  await write('0002_second.expand.sql', 'create table second (n int)');
  await migrate({ ownerUrl, directory });
  await rm(join(directory, '0003_third.contract.sql'));
  await expect(migrate({ ownerUrl, directory })).rejects.toThrow(
    'The database has migration 0003_third (contract), which this release does not know.',
  );
});

test('a migration numbered before one that was applied is refused', async () => {
  await write('0002_second.expand.sql', 'create table second (n int)');
  await migrate({ ownerUrl, directory });
  await write('0001_first.expand.sql', 'create table first (n int)');
  await expect(migrate({ ownerUrl, directory })).rejects.toThrow(
    'Migration 0001_first (expand) was not applied before 0002_second (expand).',
  );
});

test('two files of one number, or one without a phase, are refused', async () => {
  await write('0001_first.expand.sql', 'select 1');
  await write('0001_other.expand.sql', 'select 1');
  await expect(releasedMigrations(directory)).rejects.toThrow('two migrations have the number 1');
  await write('0002_second.sql', 'select 1');
  await expect(releasedMigrations(directory)).rejects.toThrow('0002_second.sql: a migration is');
});

test('a migration waits for a busy table in short turns, and applies once it is free', async () => {
  await write('0001_first.expand.sql', 'create table first (n int)');
  await migrate({ ownerUrl, directory });
  await write('0002_second.expand.sql', 'alter table first add column m int');
  let waiting: Promise<void> = Promise.resolve();
  await withClient(ownerUrl, async (client) => {
    await client.query('begin; lock table first in access share mode');
    waiting = migrate({ ownerUrl, directory });
    await client.query('select pg_sleep(3.2)');
    await client.query('commit');
  });
  await waiting;
  expect((await migrationStatus(ownerUrl, directory)).applied).toHaveLength(2);
});
