import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { atRest, query } from '#migrate/testing/databases.ts';
import { asItIs, openTables, type Tables } from '#migrate/testing/tables.ts';

// Whole migrations: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const rowsAll = 3_000;
let tables: Tables;
beforeAll(async () => {
  const sql = `create table note (id int primary key, body bytea);
    create table tag (id int primary key, word text)`;
  tables = await openTables({ blue: sql, green: sql }, [
    asItIs('note', ['id'], ['body']),
    asItIs('tag', ['id'], ['word']),
  ]);
  await tables.runAll('prepare', 'copy');
  await query(
    tables.blue,
    `insert into note select i, 'a' from generate_series(1, ${rowsAll}) i;
     insert into tag select i, 'b' from generate_series(1, ${rowsAll}) i`,
  );
});
afterAll(() => tables.close());

const arrived = async () => {
  const [row] = await query(
    tables.green,
    'select (select count(*) from note)::int + (select count(*) from tag)::int as n',
  );
  return Number(row?.n);
};

it('asked to pause or to stop it does so in the middle of what waits', async () => {
  const running = tables.run('follow', '--batch', '5');
  while ((await arrived()) < 20) await sleep(10);
  await tables.run('pause');
  expect(await atRest(arrived)).toBeLessThan(rowsAll);
  await tables.run('stop');
  expect(await running).toMatch(/stopped after \d+ changes; the rest waits in blue for green/);
  expect(await arrived()).toBeLessThan(rowsAll);
});

it('what waits goes over in several portions of one batch', async () => {
  await tables.run('follow', '--once', '--batch', '100000');
  expect(await arrived()).toBe(2 * rowsAll);
  await query(tables.blue, `delete from tag where id > 1000; update note set body = 'c'`);
  await tables.run('follow', '--once', '--batch', '100000');
  expect(await arrived()).toBe(rowsAll + 1000);
  expect(await tables.run('verify')).toContain('every check holds');
});

it('a row that is too long for a batch is named', async () => {
  await query(
    tables.blue,
    `update note set body = convert_to(repeat('a', 150000000), 'UTF8') where id = 77`,
  );
  await expect(tables.run('follow', '--once')).rejects.toThrow(
    /^public\.note \["77"\]: 3\d{8} bytes are more than a batch can carry in one row .* Shorten it in blue/,
  );
  await query(tables.blue, "update note set body = 'd' where id = 77");
  await tables.run('follow', '--once');
});
