import { expect, test } from 'vitest';
import { withClient } from '#server/postgres/cluster.ts';
import { createTestDatabase, testPort } from './harness.ts';

test('a test database is migrated, usable by the server role, and apart from every other', async () => {
  const one = await createTestDatabase();
  const other = await createTestDatabase();
  await withClient(one.urls.server, (client) =>
    client.query(`update control set epoch = 7 where singleton`),
  );
  const epoch = await withClient(other.urls.server, (client) =>
    client.query('select epoch::int from control'),
  );
  expect(epoch.rows).toEqual([{ epoch: 1 }]);
  await other.close();
  await expect(withClient(other.urls.server, async () => undefined)).rejects.toThrow(
    /does not exist/,
  );
  await one.close();
});

test('ports are given once', async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, testPort));
  expect(new Set(ports).size).toBe(20);
});
