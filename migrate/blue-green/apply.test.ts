import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { corrupt } from '#migrate/testing/corruption.ts';
import { query } from '#migrate/testing/databases.ts';
import { asItIs, openTables, type Tables } from '#migrate/testing/tables.ts';
import { partsOf } from './apply.ts';

// Whole migrations: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** Column `legacy` is in blue alone, and no projection knows of it. */
const shapes = (legacy: string) =>
  `create table moment (id int, at timestamptz, price numeric, v int${legacy}, primary key (id, at, price));
   create table item (id int primary key, pos int not null unique, nr int generated always as identity
     ${legacy});
   create table orders (id int primary key, nr int generated always as identity, v int);
   create table booking (id int primary key, during int4range, exclude using gist (during with &&));
   create index on item (nr); create index on orders (nr)`;

let tables: Tables;
beforeAll(async () => {
  tables = await openTables(
    {
      blue: `${shapes(', legacy text')};
        insert into moment select i, '2026-01-01Z', 1.50, i, 'kept ' || i from generate_series(1, 10) i;
        insert into item (id, pos, legacy) select i, i, 'kept ' || i from generate_series(1, 10) i;
        insert into orders (id, v) select i, 0 from generate_series(1, 10) i;
        insert into booking select i, int4range(i * 10, i * 10 + 5) from generate_series(1, 10) i`,
      green: shapes(''),
    },
    [
      asItIs('moment', ['id', 'at', 'price'], ['v']),
      asItIs('item', ['id'], ['pos', 'nr']),
      asItIs('orders', ['id'], ['nr', 'v']),
      asItIs('booking', ['id'], ['during']),
    ],
  );
  await tables.runAll('prepare', 'copy', 'follow --once');
});
afterAll(() => tables.close());

const agree = async () => {
  expect(await tables.run('verify')).toContain('every check holds');
};

it('rows that exchange what an exclusion constraint keeps apart arrive', async () => {
  await query(
    tables.blue,
    `begin; update booking set during = '[900, 901)' where id = 1;
     update booking set during = '[10, 15)' where id = 2;
     update booking set during = '[20, 25)' where id = 1; commit`,
  );
  await tables.run('follow', '--once');
  await agree();
});

it('a column that is generated always as identity is brought, whether it changes or not', async () => {
  await query(tables.blue, 'update orders set v = 1 where id = 3');
  await tables.run('follow', '--once');
  await query(tables.blue, 'update orders set nr = default where id = 4');
  await tables.run('follow', '--once');
  await agree();
  const [row] = await query(tables.green, 'select nr from orders where id = 4');
  expect(row?.nr).toBe(11);
});

it('columns that the projection does not know keep what they hold', async () => {
  await tables.run('switch', '--no-verify');
  await query(
    tables.green,
    'update moment set v = 100 where id = 3; delete from moment where id in (4, 5)',
  );
  await tables.run('watch', '--once');
  expect(
    await query(tables.blue, 'select id, v, legacy from moment where id < 6 order by id'),
  ).toEqual([
    { id: 1, v: 1, legacy: 'kept 1' },
    { id: 2, v: 2, legacy: 'kept 2' },
    { id: 3, v: 100, legacy: 'kept 3' },
  ]);
});

it('they do so too where rows exchange unique values', async () => {
  await query(
    tables.green,
    `begin; update item set pos = 99 where id = 1; update item set pos = 1 where id = 2;
     update item set pos = 2 where id = 1; insert into item (id, pos) values (11, 11);
     delete from item where id = 10; commit`,
  );
  await tables.run('watch', '--once');
  expect(
    await query(
      tables.blue,
      'select id, pos, legacy from item where id in (1, 2, 10, 11) order by id',
    ),
  ).toEqual([
    { id: 1, pos: 2, legacy: 'kept 1' },
    { id: 2, pos: 1, legacy: 'kept 2' },
    { id: 11, pos: 11, legacy: null },
  ]);
  await agree();
});

it('a repair of the live side deletes no row for the way its key is written', async () => {
  await tables.run('rollback', '--no-verify');
  const key = '["3", "2026-01-01T00:00:00+00:00", "1.500"]';
  await tables.run('repair', '--side', 'blue', '--table', 'moment', '--key', key);
  const [row] = await query(tables.blue, 'select v, legacy from moment where id = 3');
  expect(row).toEqual({ v: 100, legacy: 'kept 3' });
  await agree();
});

/** Starts a repair of rows of the live side, and gives it once a session of the tool waits for `what`. */
async function startRepair(side: 'blue' | 'green', what: string, ...ids: readonly number[]) {
  const keys = ids.flatMap((id) => ['--key', `["${id}"]`]);
  const repairing = tables.run('repair', '--side', 'blue', '--table', 'booking', ...keys);
  repairing.catch(() => {});
  const waiting = `select 1 from pg_stat_activity a where a.datname = current_database()
    and a.application_name like 'migrate-tool/%' and a.wait_event_type = '${what}'`;
  await vi.waitFor(async () => expect(await query(tables[side], waiting)).not.toEqual([]), {
    timeout: 60_000,
    interval: 20,
  });
  return { repairing };
}

/** A session of the application, for as long as `work` goes on. */
async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

it('a repair of the live side locks no row while it brings what has waited long', async () => {
  await query(tables.blue, 'update moment set v = 90 where id = 9');
  await withClient(tables.green, async (reader) => {
    await reader.query('begin; select 1 from moment where id = 9 for update');
    const { repairing } = await startRepair('green', 'Lock', 6);
    await query(
      tables.blue,
      "set lock_timeout = '2s'; update booking set during = '[60, 61)' where id = 6",
    );
    await reader.query('commit');
    await repairing;
  });
  await agree();
});

it('a repair makes way for a writer that holds one row of it and wants another', async () => {
  await withClient(tables.blue, async (writer) => {
    await writer.query("begin; update booking set during = '[50, 51)' where id = 5");
    const { repairing } = await startRepair('blue', 'Lock', 4, 5);
    await writer.query(
      "update booking set during = '[40, 41)' where id = 4; select pg_sleep(0.6); commit",
    );
    expect(await repairing).toContain('2 rows of blue restored');
  });
  await agree();
  const [row] = await query(
    tables.blue,
    'select b.during::text as during from booking b where id = 4',
  );
  expect(row?.during).toBe('[40,41)');
});

it('a repair overwrites no row that somebody inserts meanwhile', async () => {
  await corrupt(tables, 'blue', 'delete from booking where id = 7');
  // The repair is slow with row 3, which comes before row 7.
  await query(
    tables.blue,
    `create function nap() returns trigger language plpgsql as
       'begin perform pg_sleep(1); return new; end';
     create trigger nap before update on booking for each row when (old.id = 3) execute function nap();
     alter table booking enable always trigger nap`,
  );
  const { repairing } = await startRepair('blue', 'Timeout', 3, 7);
  const inserted = query(
    tables.blue,
    `insert into booking values (7, '[700, 701)')
     on conflict (id) do update set during = excluded.during`,
  );
  await repairing;
  await inserted;
  await query(tables.blue, 'drop trigger nap on booking');
  await tables.run('watch', '--once');
  const during = 'select b.during::text as during from booking b where b.id = 7';
  expect(await query(tables.blue, during)).toEqual([{ during: '[700,701)' }]);
  await agree();
});

it('a statement carries so many bytes, and one row at least', () => {
  const columns = [
    ['12', null, '12', '123456789', ''],
    ['1', '1', '12', '1', null],
  ];
  expect(partsOf({ columns, rows: 5 }, 8)).toEqual([
    [0, 3],
    [3, 4],
    [4, 5],
  ]);
  expect(partsOf({ columns, rows: 5 }, 1_000)).toEqual([[0, 5]]);
  expect(partsOf({ columns: [[]], rows: 0 }, 8)).toEqual([]);
});
