import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openEmptyPair } from '#migrate/testing/bank.ts';
import { migrate as migratePair, type Pair, query } from '#migrate/testing/databases.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const same = (target: string, key: string, columns: string) => ({
  target,
  key: [key],
  select: `select ${columns} from ${target}`,
  sources: [{ table: target, columns: [key] }],
});
const direction = {
  tables: [same('currency', 'code', 'code, rate'), same('price', 'id', 'id, of, amount, rounded')],
};

let pair: Pair;
let directory = '';
const migrate = (...args: readonly string[]) =>
  migratePair(pair, ...args, '--mapping', join(directory, 'mapping.json'));

beforeAll(async () => {
  pair = await openEmptyPair();
  directory = await mkdtemp(join(tmpdir(), 'migrate-projection-'));
  const mapping = { name: 'prices', forward: direction, reverse: direction };
  await writeFile(join(directory, 'mapping.json'), JSON.stringify(mapping));
  for (const [side, rounded] of [
    ['blue', 'numeric'],
    ['green', 'numeric(9, 2)'],
  ] as const) {
    await query(
      pair[side],
      `create table currency (code char(6) primary key, rate integer);
       create table price (id bigint primary key, of char(6), amount numeric, rounded ${rounded})`,
    );
  }
  await query(
    pair.blue,
    `insert into currency select 'C' || n, n from generate_series(1, 30) n;
     insert into price values (1, 'C1', 10.00, 10.0), (2, 'gone', 1.5, 1)`,
  );
  for (const side of ['blue', 'green'] as const) {
    const constraint = 'foreign key (of) references currency (code) not valid';
    await query(pair[side], `alter table price add constraint price_of ${constraint}`);
  }
  for (const step of [['prepare'], ['copy'], ['follow', '--once']]) await migrate(...step);
});
afterAll(async () => {
  await pair.close();
  await rm(directory, { recursive: true });
});

it('a number without a scale keeps the one it has; where the target gives one, it is no difference', async () => {
  const amounts = () =>
    query(pair.green, 'select p.amount::text as amount from price p order by p.id');
  expect(await amounts()).toEqual([{ amount: '10.00' }, { amount: '1.5' }]);
  await query(pair.blue, 'update price set amount = 1.50 where id = 2');
  await migrate('follow', '--once');
  expect(await amounts()).toEqual([{ amount: '10.00' }, { amount: '1.50' }]);
});

it('orphans that a foreign key allows, and a padded key with a row under way, are no difference', async () => {
  await query(pair.blue, "update currency set rate = 0 where code = 'C5'");
  expect(await migrate('verify')).toContain('every check holds');
});

it('rows of a padded key are repaired, also where one of them is gone by now', async () => {
  await query(
    pair.green,
    "set session_replication_role = replica; begin; select set_config('migrate.origin', c.migration_id::text, true) from migrate.control c; update currency set rate = 666 where code in ('C7', 'C8'); commit",
  );
  await expect(migrate('verify')).rejects.toThrow(/2 rows differ/);
  await query(pair.blue, "delete from price where id = 1; delete from currency where code = 'C8'");
  await migrate('repair', '--side', 'green', '--found');
  expect(await migrate('verify')).toContain('every check holds');
});

it('plan refuses two encodings', async () => {
  const name = `${new URL(pair.blue).pathname.slice(1)}_latin`;
  await query(
    pair.green,
    `create database ${name} template template0 encoding 'LATIN1' locale 'C'`,
  );
  const url = new URL(pair.blue);
  url.pathname = `/${name}`;
  try {
    await query(
      url.href,
      `create table currency (code char(6) primary key, rate integer);
       create table price (id bigint primary key, of char(6), amount numeric, rounded numeric)`,
    );
    const latin = { ...pair, blue: url.href };
    const plan = migratePair(latin, 'plan', '--mapping', join(directory, 'mapping.json'));
    await expect(plan).rejects.toThrow(/blue is encoded in LATIN1, green in UTF8/);
  } finally {
    await query(pair.green, `drop database ${name} with (force)`);
  }
});
