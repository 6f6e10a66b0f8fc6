import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { query } from '#migrate/testing/databases.ts';
import { asItIs, openTables, type Tables } from '#migrate/testing/tables.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

// One shape on both sides, as for a move to another server: nothing else tells them apart.
const sql = `create table item (id bigint primary key, name text not null)`;
let tables: Tables;
beforeAll(async () => {
  tables = await openTables({ blue: sql, green: sql }, [asItIs('item', ['id'], ['name'])]);
  await query(tables.blue, "insert into item select n, 'item' from generate_series(1, 50) n");
});
afterAll(() => tables.close());

describe('databases that are not what they are called', () => {
  it('exchanged: nothing is done, above all nothing is emptied', async () => {
    await tables.runAll('prepare', 'copy', 'follow --once', 'switch');
    const exchanged = ['--blue', tables.green, '--green', tables.blue];
    for (const command of ['abort', 'status', 'finish', 'rollback']) {
      await expect(tables.run(command, ...exchanged), command).rejects.toThrow(
        /^--blue \(.*\) is green in its migration: exchange --blue and --green\.$/,
      );
    }
    const [row] = await query(tables.blue, 'select count(*)::int as n from item');
    expect(row?.n).toBe(50);
    await tables.runAll('rollback', 'abort');
  });
});
