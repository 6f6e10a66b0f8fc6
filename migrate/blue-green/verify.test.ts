import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import {
  corrupt,
  corruptOneRow,
  isListed,
  makeDice,
  rowsDiffer,
} from '#migrate/testing/corruption.ts';
import { migrate, type Pair, query } from '#migrate/testing/databases.ts';
import { asItIs, openTables } from '#migrate/testing/tables.ts';
import { startWriters } from '#migrate/testing/writers.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let pair: Pair;
beforeAll(async () => {
  pair = await openBank(600);
  await migrate(pair, 'prepare');
  await migrate(pair, 'copy', '--workers', '2');
  await migrate(pair, 'follow', '--once');
});
afterAll(() => pair.close());

const verify = (...options: readonly string[]) =>
  migrate(pair, 'verify', '--workers', '2', ...options);

describe('verify finds every seeded corruption, and the switch is refused', () => {
  const dice = makeDice(20261122);
  // `npm run migrate:corruptions` does it 200 times.
  it.each(Array.from({ length: 12 }, (_, at) => at + 1))('corruption %i', async () => {
    const done = await corruptOneRow(pair, dice);
    const said = await verify().catch(String);
    expect(said, done.done).toMatch(/rows? differ/);
    expect(await isListed(pair, done), JSON.stringify(done)).toBe(true);
    if (done.breaksReference) expect(said).toContain('1 checks do not hold');
    await expect(migrate(pair, 'switch', '--workers', '2')).rejects.toThrow(/rows? differ/);
    expect(await migrate(pair, 'status')).toContain('blue: live');
    await migrate(pair, 'repair', '--side', done.side, '--found');
    expect(await verify()).toContain('every check holds');
  });
});

describe('a repeated verify compares what was touched since', () => {
  const compared = async (...options: readonly string[]) => {
    const said = await verify(...options);
    const [, ranges] = /rows in (\d+) ranges agree/.exec(said) ?? [];
    const [, untouched = '0'] = /, (\d+) others are untouched/.exec(said) ?? [];
    return { ranges: Number(ranges), untouched: Number(untouched) };
  };
  /** A range that was verified beside an open transaction of whomever is read once more after it. */
  const settled = () => expect.poll(async () => (await compared()).ranges).toBe(0);

  it('reads no range where nothing was written, and all of them when asked', async () => {
    await settled();
    const { untouched } = await compared();
    expect(untouched).toBeGreaterThan(8);
    expect(await compared('--all')).toEqual({ ranges: untouched, untouched: 0 });
  });

  it.each([
    // Each touches ranges of the source and ranges of the target, in both directions.
    ['an update', "update customer set full_name = 'A B' where id = 21", 2],
    [
      'a delete',
      'delete from transfer where id = (select t.id from transfer t order by t.id limit 1)',
      2,
    ],
    [
      'a key that moves to another range',
      `update account set id = 90001 where id = (select max(a.id) from account a
         where not exists (select 1 from transfer t where a.id in (t.from_id, t.to_id)))`,
      7,
    ],
  ])('%s makes its ranges be read again', async (_, sql, ranges) => {
    await query(pair.blue, sql);
    await migrate(pair, 'follow', '--once');
    expect((await compared()).ranges).toBeLessThanOrEqual(ranges);
    await settled();
  });

  const restored = async () => {
    await migrate(pair, 'repair', '--side', 'green', '--found');
    expect(await verify()).toContain('every check holds');
  };

  it('one row deleted and another inserted, past every trigger, are found: the count is the same', async () => {
    await corrupt(
      pair,
      'green',
      'delete from wallet_state where wallet_id = 31; insert into wallet_state values (90002, $$open$$)',
    );
    await expect(verify()).rejects.toThrow(rowsDiffer(2));
    await restored();
  });

  it('a table that was truncated past every trigger is found', async () => {
    await corrupt(pair, 'green', 'alter table movement disable trigger all; truncate movement');
    await expect(verify()).rejects.toThrow(/^verify: \d{3,} rows differ/);
    await query(pair.green, 'alter table movement enable trigger all');
    await restored();
  });

  it('control: with the marks moved over a corruption, only --all finds it', async () => {
    await corrupt(pair, 'green', "update person set bio = 'x' where id = 42");
    await query(
      pair.green,
      `update migrate.verified_range set marker = pg_snapshot_xmax(pg_current_snapshot())
       where target_table = 'public.person'`,
    );
    expect(await verify()).toContain('every check holds');
    await expect(verify('--all')).rejects.toThrow(rowsDiffer(1));
    await expect(verify()).rejects.toThrow(rowsDiffer(1));
    await restored();
  });

  it('marks of another server, whose transactions are numbered anew, count for nothing', async () => {
    await verify();
    await query(pair.green, "update migrate.verified_range set marker = '99999999999'");
    expect((await compared()).ranges).toBeGreaterThan(4);
  });
});

describe('under writes', () => {
  it('verify reports nothing that was merely under way', async () => {
    const writers = startWriters(pair, 4, 1);
    for (let round = 0; round < 3; round += 1) {
      expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
    }
    await writers.stop();
    expect(writers.ledger.acknowledged.size).toBeGreaterThan(50);
  });

  it('rows that exchange unique values arrive, and keys that move', async () => {
    await query(
      pair.blue,
      `begin; update customer set email = 'x' where id = 11;
       update customer set email = 'c11@example.com' where id = 12;
       update customer set email = 'c12@example.com' where id = 11; commit;
       insert into customer (id, email, full_name) values (5000, 'n@example.com', 'New One');
       update customer set id = 5001 where id = 5000;
       delete from profile where customer_id = 14;
       insert into profile (customer_id, bio) values (15, 'here')`,
    );
    await migrate(pair, 'follow', '--once');
    const rows = await query(
      pair.green,
      `select p.id::int as id, p.email, p.bio from person p
       where p.id in (11, 12, 14, 15, 5000, 5001) order by p.id`,
    );
    expect(rows.map(({ id, email }) => [id, email])).toEqual([
      [11, 'c12@example.com'],
      [12, 'c11@example.com'],
      [14, 'c14@example.com'],
      [15, 'c15@example.com'],
      [5001, 'n@example.com'],
    ]);
    expect(rows.map(({ bio }) => bio)).toEqual([null, 'bio of 12', null, 'here', null]);
    expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
  });

  it('truncate is refused where it would lose rows unseen', async () => {
    await expect(query(pair.blue, 'truncate transfer')).rejects.toMatchObject({ code: 'MG002' });
  });
});

describe('after the switch', () => {
  it('corrupted rows of the live side are restored while writes go on', async () => {
    await migrate(pair, 'switch', '--workers', '2');
    const writers = startWriters(pair, 2, 5);
    await corrupt(pair, 'green', "update person set family_name = 'Lost' where id <= 500");
    await expect(migrate(pair, 'verify', '--workers', '2')).rejects.toThrow(rowsDiffer(500));
    expect(await migrate(pair, 'repair', '--side', 'green', '--found')).toContain('500 rows');
    expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
    await writers.stop();
    const [row] = await query(
      pair.green,
      "select count(*)::int as n from person p where p.family_name = 'Lost'",
    );
    expect(row?.n).toBe(0);
  });

  it('every batch has its row in the audit trail of both sides', async () => {
    const sql = `select count(*)::int as n, count(*) filter (where b.origin_hash <> b.written_hash)::int as bad
      from migrate.batch b`;
    const [blue] = await query(pair.blue, sql);
    const [green] = await query(pair.green, sql);
    expect(blue).toEqual(green);
    expect(blue?.bad).toBe(0);
    expect(Number(blue?.n)).toBeGreaterThan(5);
  });
});

describe('where more rows may differ than are looked at one by one', () => {
  it('what is merely late hides no corruption of a later range, and too many are no agreement', async () => {
    const sql =
      'create table a (id int primary key, v int); create table b (id int primary key, v int)';
    const fill = ['a', 'b'].map(
      (t) => `insert into ${t} select i, 0 from generate_series(1, 400) i`,
    );
    const narrow = (name: string) => ({ ...asItIs(name, ['id'], ['v']), rangeRows: 100 });
    const tables = await openTables({ blue: [sql, ...fill].join(';'), green: sql }, [
      narrow('a'),
      narrow('b'),
    ]);
    try {
      await tables.runAll('prepare', 'copy', 'follow --once');
      await corrupt(
        tables,
        'green',
        'update b set v = 7 where id = 250; delete from b where id = 350',
      );
      await query(tables.blue, 'update a set v = 1');
      const few = ['verify', '--all', '--workers', '1', '--differences-max'];
      await expect(tables.run(...few, '1')).rejects.toThrow(/^verify: 1 or more rows differ/);
      await query(tables.blue, 'update a set v = 2');
      await expect(tables.run(...few, '20')).rejects.toThrow(/^verify: 4 rows differ/);
      await tables.runAll('repair --side green --found');
      // While it compares, rows go on being late: more of them than are looked at one by one.
      let stopped = false;
      const writing = (async () => {
        while (!stopped) await query(tables.blue, 'update a set v = v + 1');
      })();
      expect(await tables.run(...few, '20')).toMatch(/every check holds/);
      stopped = true;
      await writing;
    } finally {
      await tables.close();
    }
  });
});

describe('rows of two tables, changed past capture', () => {
  it('are compared again, also where the way back leaves a column alone, or a key comes twice', async () => {
    const blue = `create table item (id int primary key, hidden text);
      create table tag (item int, name text, primary key (item, name));
      insert into item select i, 'said' from generate_series(1, 50) i;
      insert into tag select i, 'm' from generate_series(1, 50) i`;
    const green = 'create table item (id int primary key, hidden text, name text)';
    const select = `select t.id, t.hidden, g.name from item t join tag g on g.item = t.id`;
    const sources = [
      { table: 'item', columns: ['id'] },
      { table: 'tag', columns: ['item'] },
    ];
    const back = [
      { ...asItIs('item', ['id'], []), select: 'select id from item' },
      {
        target: 'tag',
        key: ['item', 'name'],
        select: 'select id as item, name from item',
        sources: [{ table: 'item', columns: ['id', 'name'] }],
      },
    ];
    const forward = [{ target: 'item', key: ['id'], select, sources }];
    const tables = await openTables({ blue, green }, forward, back);
    try {
      await tables.runAll('prepare', 'copy', 'follow --once', 'verify');
      await corrupt(tables, 'blue', "update item set hidden = 'unsaid' where id = 7");
      await expect(tables.run('verify')).rejects.toThrow(/^verify: 1 rows? differ/);
      await tables.runAll('repair --side green --found', 'verify');
      const twice = "delete from tag where item = 9; insert into tag values (9, 'a'), (9, 'm')";
      await corrupt(tables, 'blue', twice);
      // The tag that is too many, and the item that it gives twice.
      await expect(tables.run('verify')).rejects.toThrow(/^verify: 2 rows differ/);
    } finally {
      await tables.close();
    }
  });
});
