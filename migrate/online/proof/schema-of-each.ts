import pg from 'pg';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { migrationOf } from '../migration.ts';
import type { Notice } from '../notice.ts';
import type { OnlineOptions } from '../runner.ts';

export const lockKey = 73;

/** A table with rows, and a migration after it. */
export const base = {
  '0001_base.expand.sql':
    'create table item (id integer primary key, label text not null, note text);\n' +
    "insert into item (id, label) select n, 'Item ' || n from generate_series(1, 1000) n;",
};
export const column = {
  ...base,
  '0002_more.expand.sql': 'alter table item add column more integer;',
};

/** A schema of its own per test is as good as a database: everything goes by the search path. */
export function schemaOfEach() {
  const state = { count: 0, databases: [] as TestDatabase[], opened: [] as pg.Client[] };
  const urls = () => {
    const [database] = state.databases;
    if (database === undefined) throw new Error('no test has begun');
    return database.urls;
  };
  const schema = () => `s${state.count}`;
  const url = () => {
    const own = new URL(urls().owner);
    own.searchParams.set('options', `-csearch_path=${schema()}`);
    return own.href;
  };
  const connect = async (at: string, name = 'somebody'): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: at, application_name: name });
    client.on('error', () => {});
    await client.connect();
    state.opened.push(client);
    return client;
  };
  const admin = () => {
    const [first] = state.opened;
    if (first === undefined) throw new Error('no test has begun');
    return first;
  };
  const options = (
    files: Readonly<Record<string, string>>,
    told: Notice[] = [],
  ): OnlineOptions => ({
    url: url(),
    migrations: Object.entries(files).map(([name, sql]) => migrationOf(name, sql)),
    applicationName: 'migrate-test',
    lockKey,
    limits: { lockMsMax: 200, backoffMsMin: 50, backoffMsMax: 200, attemptsMax: 5, batchRest: 0 },
    tell: (notice) => told.push(notice),
  });

  beforeAll(async () => {
    state.databases.push(await createTestDatabase());
    await connect(urls().owner);
  });
  afterAll(async () => {
    for (const client of state.opened) await client.end().catch(() => {});
    for (const database of state.databases) await database.close();
  });
  beforeEach(async () => {
    state.count += 1;
    await admin().query(`create schema ${schema()}`);
  });
  return { connect, options, url, schema, admin, superuserUrl: () => urls().superuser };
}
