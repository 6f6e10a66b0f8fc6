import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query } from '#migrate/testing/databases.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let pair: Pair;
beforeEach(async () => {
  pair = await openBank(100);
});
afterEach(() => pair.close());

it('a row that the other side refuses is named by table and key, and goes over once it is mended', async () => {
  await migrate(pair, 'prepare');
  await migrate(pair, 'copy');
  await migrate(pair, 'follow', '--once');
  await query(pair.blue, "update account set status = 'kept'");
  await query(pair.blue, "update account set currency = 'EURO' where id = 237");
  await expect(migrate(pair, 'follow', '--once')).rejects.toThrow(
    /^public\.wallet \["237"\]: value too long for type character\(3\)\. green refuses this row/,
  );
  expect(await query(pair.green, "select 1 from wallet_state where status = 'kept'")).toEqual([]);
  await query(pair.blue, "update account set currency = 'EUR' where id = 237");
  await migrate(pair, 'follow', '--once');
  expect(await migrate(pair, 'verify')).toContain('every check holds');
});

it('a row whose key the other side cannot hold goes away with the row', async () => {
  await migrate(pair, 'prepare');
  await migrate(pair, 'copy');
  await migrate(pair, 'follow', '--once');
  await migrate(pair, 'switch', '--no-verify');
  await query(
    pair.green,
    `insert into person (id, email, given_name, family_name, created_at)
     values (3000000000, 'large@example.com', 'Given', 'Family', now())`,
  );
  await expect(migrate(pair, 'watch', '--once')).rejects.toThrow(
    /^public\.customer \["3000000000"\]: integer out of range\. The projection fails on this row of green/,
  );
  await query(pair.green, 'delete from person where id = 3000000000');
  await migrate(pair, 'watch', '--once');
  expect(await migrate(pair, 'verify')).toContain('every check holds');
});
