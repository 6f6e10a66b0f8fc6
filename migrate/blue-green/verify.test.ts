import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query } from '#migrate/testing/databases.ts';
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

/** Past guard, capture and foreign keys, as a defect of the tool or of a disk would. */
const corrupt = (side: 'blue' | 'green', sql: string) =>
  query(
    pair[side],
    `begin; select set_config('migrate.origin', (select c.migration_id::text from migrate.control c), true);
     set local session_replication_role = replica; ${sql}; commit`,
  );

describe('verify finds every seeded corruption, and the switch is refused', () => {
  it.each([
    [
      'a column of one row',
      "update person set bio = 'x' where id = 42",
      'public.person ["42"] differs',
    ],
    [
      'a cent',
      'update wallet set balance = balance + 0.01 where id = 7',
      'public.wallet ["7"] differs',
    ],
    [
      'null for a value',
      'update person set bio = null where id = 6',
      'public.person ["6"] differs',
    ],
    ['a missing row', 'delete from wallet_state where wallet_id = 2400', '["2400"] missing'],
    [
      'an extra row',
      "insert into person values (999999, 'x@example.com', 'A', 'B', null, null, now())",
      'public.person ["999999"] extra',
    ],
    [
      'a broken reference',
      'update wallet set owner_id = 777777 where id = 8',
      'public.wallet refers to rows of public.person that are not there',
    ],
  ])('%s', async (_, sql, said) => {
    await corrupt('green', sql);
    await expect(migrate(pair, 'switch', '--workers', '2')).rejects.toThrow(/rows? differ/);
    const found = await query(
      pair.green,
      `select format('%s %s %s', d.target_table, d.key, d.kind) as found from migrate.difference d
       where d.side = 'green'`,
    );
    expect(found).toHaveLength(1);
    if (!said.includes('refers')) expect(found[0]?.found).toContain(said.split(' ').at(-2));
    expect(await migrate(pair, 'repair', '--side', 'green', '--found')).toContain(
      '1 rows of green',
    );
    expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
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
    await corrupt('green', "update person set family_name = 'Lost' where id <= 500");
    await expect(migrate(pair, 'verify', '--workers', '2')).rejects.toThrow(/500 rows differ|1000/);
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
