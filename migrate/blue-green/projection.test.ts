import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { corrupt, rowsDiffer } from '#migrate/testing/corruption.ts';
import { query } from '#migrate/testing/databases.ts';
import { asItIs, openTables, type Tables } from '#migrate/testing/tables.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const shapes = (rounded: string) =>
  `create table currency (code char(6) primary key, rate integer);
   create table price (id bigint primary key, of char(6), amount numeric, rounded ${rounded})`;
// It is said after the rows are there, which may break it.
const reference = `alter table price add constraint price_of
  foreign key (of) references currency (code) not valid`;

let tables: Tables;
beforeAll(async () => {
  tables = await openTables(
    {
      blue: `${shapes('numeric')};
        insert into currency select 'C' || n, n from generate_series(1, 30) n;
        insert into price values (1, 'C1', 10.00, 10.0), (2, 'gone', 1.5, 1); ${reference}`,
      green: `${shapes('numeric(9, 2)')}; ${reference}`,
    },
    [asItIs('currency', ['code'], ['rate']), asItIs('price', ['id'], ['of', 'amount', 'rounded'])],
  );
  await tables.runAll('prepare', 'copy', 'follow --once');
});
afterAll(() => tables.close());

it('a number without a scale keeps the one it has; where the target gives one, it is no difference', async () => {
  const amounts = () =>
    query(tables.green, 'select p.amount::text as amount from price p order by p.id');
  expect(await amounts()).toEqual([{ amount: '10.00' }, { amount: '1.5' }]);
  await query(tables.blue, 'update price set amount = 1.50 where id = 2');
  await tables.run('follow', '--once');
  expect(await amounts()).toEqual([{ amount: '10.00' }, { amount: '1.50' }]);
});

it('orphans that a foreign key allows, and a padded key with a row under way, are no difference', async () => {
  await query(tables.blue, "update currency set rate = 0 where code = 'C5'");
  expect(await tables.run('verify')).toContain('every check holds');
});

it('rows of a padded key are repaired, also where one of them is gone by now', async () => {
  await corrupt(tables, 'green', "update currency set rate = 666 where code in ('C7', 'C8')");
  await expect(tables.run('verify')).rejects.toThrow(rowsDiffer(2));
  await query(
    tables.blue,
    "delete from price where id = 1; delete from currency where code = 'C8'",
  );
  await tables.run('repair', '--side', 'green', '--found');
  expect(await tables.run('verify')).toContain('every check holds');
});

it('plan refuses two encodings', async () => {
  const url = new URL(tables.blue);
  const name = `${url.pathname.slice(1)}_latin`;
  url.pathname = `/${name}`;
  await query(
    tables.green,
    `create database ${name} template template0 encoding 'LATIN1' locale 'C'`,
  );
  try {
    await query(url.href, shapes('numeric'));
    await expect(tables.run('plan', '--blue', url.href)).rejects.toThrow(
      /blue is encoded in LATIN1, green in UTF8/,
    );
  } finally {
    await query(tables.green, `drop database ${name} with (force)`);
  }
});
