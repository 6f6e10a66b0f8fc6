import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openEmptyPair } from '#migrate/testing/bank.ts';
import { fillBank, migrate, type Pair, query } from '#migrate/testing/databases.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

// The tool needs to own the tables and to switch triggers off for itself, and nothing else.

let pair: Pair;
let mover: { blue: string; green: string };
let role: string;

beforeAll(async () => {
  pair = await openEmptyPair();
  role = `mover_${process.pid}_${Date.now()}`;
  await query(
    pair.blue,
    `create role ${role} login password 'mover' nosuperuser;
     grant set on parameter session_replication_role to ${role}`,
  );
  const asMover = async (of: string) => {
    const url = new URL(of);
    const name = url.pathname.slice(1);
    await query(of, `alter database "${name}" owner to ${role}`);
    url.username = role;
    url.password = 'mover';
    return url.href;
  };
  mover = { blue: await asMover(pair.blue), green: await asMover(pair.green) };
  await fillBank(mover, 100);
});
afterAll(async () => {
  const name = new URL(pair.blue).pathname.slice(1);
  await query(pair.blue, `alter database "${name}" owner to current_user`);
  const superuser = new URL(pair.blue);
  superuser.pathname = '/postgres';
  await pair.close();
  await query(
    superuser.href,
    `revoke set on parameter session_replication_role from ${role}; drop role ${role}`,
  );
});

it('plan says what such a role does not see', async () => {
  const other = new pg.Client({ connectionString: pair.blue });
  await other.connect();
  try {
    const said = await migrate({ ...pair, ...mover }, 'plan');
    expect(said).toMatch(
      /blue: role mover_\w+ does not see what [1-9]\d* sessions of other roles do/,
    );
    expect(said).toContain(`grant pg_monitor to ${role}`);
  } finally {
    await other.end();
  }
});

it('a role that is no superuser goes there and back, and leaves nothing behind', async () => {
  const as = { ...pair, ...mover };
  await migrate(as, 'prepare');
  await migrate(as, 'copy', '--workers', '2');
  await query(mover.blue, "update customer set full_name = 'Someone Else' where id = 5");
  await migrate(as, 'follow', '--once');
  expect(await migrate(as, 'switch')).toContain('green is live');
  await expect(query(pair.blue, 'delete from transfer')).rejects.toMatchObject({ code: 'MG001' });
  await query(mover.green, "update person set given_name = 'Grace' where id = 6");
  await migrate(as, 'watch', '--once');
  expect(await migrate(as, 'rollback')).toContain('blue is live');
  await migrate(as, 'abort');
  const [row] = await query(pair.blue, 'select c.full_name as name from customer c where c.id = 6');
  expect(String(row?.name)).toMatch(/^Grace /);
  for (const url of [pair.blue, pair.green]) {
    expect(await query(url, "select 1 from pg_namespace where nspname = 'migrate'")).toEqual([]);
  }
});
