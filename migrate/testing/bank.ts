import { createTestDatabase } from '#server/testing/harness.ts';
import { fillBank, type Pair, query } from './databases.ts';

/** Makes a pair in the PostgreSQL of this test run: two databases without tables. */
export async function openEmptyPair(): Promise<Pair> {
  const database = await createTestDatabase();
  const name = new URL(database.urls.superuser).pathname.slice(1);
  const urls = { blue: '', green: '' };
  for (const side of ['blue', 'green'] as const) {
    const own = `${name}_${side}`;
    await query(database.urls.superuser, `create database ${own} template template0`);
    const url = new URL(database.urls.superuser);
    url.pathname = `/${own}`;
    urls[side] = url.href;
  }
  return {
    ...urls,
    async close() {
      for (const side of ['blue', 'green']) {
        await query(database.urls.superuser, `drop database ${name}_${side} with (force)`);
      }
      await database.close();
    },
  };
}

/** A pair with the tables of the bank: `customers` rows and four times as many accounts. */
export async function openBank(customers: number): Promise<Pair> {
  const pair = await openEmptyPair();
  await fillBank(pair, customers);
  return pair;
}
