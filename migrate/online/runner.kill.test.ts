import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { schemaText } from './proof/schema-text.ts';

const program = fileURLToPath(new URL('./proof/migrate-once.ts', import.meta.url));
const rows = 2_000;
/** Every kind of step, several statements in one transaction, and batches in the middle. */
const files: Readonly<Record<string, string>> = {
  '0001_base.expand.sql': `
    create table item (id integer primary key, label text not null, note text);
    insert into item (id, label) select n, 'Item ' || n from generate_series(1, ${rows}) n;`,
  '0002_key.expand.sql': `
    alter table item add column label_key text, add column hits integer not null default 0;
    create function label_of(item) returns text language sql immutable as 'select $1.label';
    alter table item add constraint item_hits check (hits >= 0) not valid;
    -- migrate:commit
    create index concurrently if not exists item_label on item (label);
    -- migrate:commit
    alter table item validate constraint item_hits;`,
  '0003_fill.backfill.sql': `
    -- migrate:batch item (id) rows 500
    update item set label_key = lower(label), hits = hits + 1 where id between $1 and $2;
    -- migrate:commit
    alter table item add constraint item_label_key check (label_key is not null) not valid;
    -- migrate:commit
    alter table item validate constraint item_label_key;`,
  '0004_done.contract.sql': `
    alter table item alter column label_key set not null;
    alter table item drop constraint item_label_key;
    alter table item drop column note;
    -- migrate:commit
    drop index concurrently if exists item_label;`,
};

let database: TestDatabase;
let directory = '';
let admin: pg.Client;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  database = await createTestDatabase();
  directory = await mkdtemp(join(tmpdir(), 'migrate-kill-'));
  for (const [name, sql] of Object.entries(files)) await writeFile(join(directory, name), sql);
  admin = new pg.Client({ connectionString: database.urls.owner });
  await admin.connect();
});
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await admin.end();
  await rm(directory, { recursive: true });
  await database.close();
});

/** A schema of its own is as good as a database: everything goes by the search path. */
async function freshUrl(name: string): Promise<string> {
  await admin.query(`drop schema if exists ${name} cascade; create schema ${name}`);
  const url = new URL(database.urls.owner);
  url.searchParams.set('options', `-csearch_path=${name}`);
  return url.href;
}

async function start(url: string, ...more: string[]) {
  const args = [program, '--url', url, '--directory', directory, ...more];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const written: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => written.push(text));
  }
  const ended = once(child, 'close').then(() => {
    running.delete(child);
    return { code: child.exitCode, signal: child.signalCode, output: written.join('') };
  });
  return { child, ended, output: () => written.join('') };
}

const migrate = async (url: string, ...more: string[]) => (await start(url, ...more)).ended;

async function textAt(url: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await schemaText(client);
  } finally {
    await client.end();
  }
}

/** The short form kills at a part of the queries; `npm run long:online` before and within each. */
const isLong = inject('long');
/** Two processes for each kill. */
const killMsMax = isLong ? 3_600_000 : 300_000;

test(
  'R8: killed at any statement, the next run ends where a straight run ends',
  async () => {
    const straight = await freshUrl('straight');
    const whole = await migrate(straight);
    expect(whole).toMatchObject({ code: 0 });
    const expected = await textAt(straight);
    expect(expected.filter((line) => line.startsWith('index'))).not.toContain(' f ');
    const queries = Number(/queries (\d+)/.exec(whole.output)?.[1]);
    expect(queries).toBeGreaterThan(50);
    const tries = Array.from({ length: queries * 2 }, (_, index) => index).slice(6);
    const chosen = isLong ? tries : tries.filter((index) => index % 41 === 0);
    for (const index of chosen) {
      const at = Math.floor(index / 2);
      const url = await freshUrl('killed');
      const when = index % 2 === 0 ? '--kill-within' : '--kill-before';
      const killed = await migrate(url, when, String(at));
      if (killed.signal === null) {
        // Batches follow the time that they take: a quicker run than the straight one has fewer queries.
        expect(Number(/queries (\d+)/.exec(killed.output)?.[1]), `${when} ${at}`).toBeLessThan(at);
        break;
      }
      expect(killed.signal, `${when} ${at}`).toBe('SIGKILL');
      const resumed = await migrate(url);
      expect(resumed.output, `${when} ${at}`).toContain('queries');
      expect(await textAt(url), `${when} ${at}`).toEqual(expected);
    }
  },
  killMsMax,
);

test('R8: killed while an index is built, the next run drops the INVALID one and builds it', async () => {
  const url = await freshUrl('building');
  const reader = new pg.Client({ connectionString: database.urls.owner });
  await reader.connect();
  // The build waits for every older snapshot, and its index is INVALID until then.
  await reader.query('begin isolation level repeatable read; select 1');
  const { child, ended } = await start(url);
  const invalid = async () => {
    const found = await admin.query(
      `select 1 from pg_index where indexrelid = to_regclass('building.item_label') and not indisvalid`,
    );
    return found.rowCount === 1;
  };
  for (let waitedMs = 0; !(await invalid()); waitedMs += 50) {
    if (waitedMs > 30_000) throw new Error('no index was begun');
    await sleep(50);
  }
  child.kill('SIGKILL');
  expect((await ended).signal).toBe('SIGKILL');
  const resuming = await start(url);
  // The statement of the one that was killed is ended within a second or two: it does not last
  // until the snapshot goes, nor does anybody wait for that.
  for (let waitedMs = 0; !resuming.output().includes('is INVALID'); waitedMs += 50) {
    if (waitedMs > 30_000) throw new Error(`it did not resume: ${resuming.output()}`);
    await sleep(50);
  }
  await reader.query('commit');
  await reader.end();
  expect((await resuming.ended).output).toContain('an attempt was broken off; dropping it');
  expect(await textAt(url)).toEqual(await textAt(await straightUrl()));
}, 120_000);

async function straightUrl(): Promise<string> {
  const url = new URL(database.urls.owner);
  url.searchParams.set('options', '-csearch_path=straight');
  return url.href;
}
