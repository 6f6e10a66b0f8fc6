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

it('plan says whose statements such a role may not read', async () => {
  const as = { ...pair, ...mover };
  await query(
    pair.blue,
    `create schema seen; grant usage on schema seen to ${role};
     create extension pg_stat_statements schema seen`,
  );
  await query(pair.blue, 'select count(*) from customer');
  await query(mover.blue, 'select count(*) from account');
  try {
    const said = await migrate(as, 'plan');
    expect(said).toMatch(/mover_\w+: [1-9]\d* calls of [1-9]\d* statements that name account/);
    expect(said).toMatch(/[1-9]\d* statements that mover_\w+ may not read: grant pg_monitor/);
  } finally {
    await query(pair.blue, 'drop schema seen cascade');
  }
});

it('plan says who may write blue and would be refused by green', async () => {
  const as = { ...pair, ...mover };
  // A role of PostgreSQL's own, which both servers have.
  await query(mover.blue, 'grant update on account to pg_monitor');
  await query(mover.green, 'grant update on person, wallet_state, movement to pg_monitor');
  expect(await migrate(as, 'plan')).toContain(
    'note: green: role pg_monitor may write tables of blue, and none of public.wallet: grant it',
  );
  await query(mover.green, 'grant update on wallet to pg_monitor');
  expect(await migrate(as, 'plan')).not.toContain('pg_monitor may write');
});

it('plan refuses what would stop half-way, or be stopped', async () => {
  const as = { ...pair, ...mover };
  const own = (url: string, table: string, owner: string) =>
    query(url, `alter table ${table} owner to ${owner}`);
  await own(pair.blue, 'account', 'current_user');
  await query(pair.blue, `grant select on account to ${role}`);
  await expect(migrate(as, 'plan')).rejects.toThrow(/blue: role mover_\w+ does not own account/);
  await own(pair.blue, 'account', role);
  await expect(migrate({ ...as, green: as.blue }, 'plan')).rejects.toThrow(/are one database/);
  await query(mover.green, 'revoke create on schema public from pg_database_owner');
  await query(mover.blue, 'create schema migrate');
  try {
    const refused: unknown = await migrate(as, 'plan').catch((error: unknown) => error);
    expect(String(refused)).toMatch(/green: role mover_\w+ may not create in schema public/);
    expect(String(refused)).toMatch(/blue: there is a schema "migrate" already/);
  } finally {
    await query(mover.green, 'grant create on schema public to pg_database_owner');
    await query(pair.blue, 'drop schema migrate');
  }
  await query(pair.green, 'create publication everything for all tables');
  await query(
    pair.green,
    `create subscription elsewhere connection 'dbname=none' publication none with (connect = false);
     insert into pg_subscription_rel (srsubid, srrelid, srsubstate)
     select s.oid, 'wallet'::regclass, 'r' from pg_subscription s where s.subname = 'elsewhere'`,
  );
  try {
    const refused: unknown = await migrate(as, 'plan').catch((error: unknown) => error);
    expect(String(refused)).toMatch(/green: publication everything is for all tables/);
    expect(String(refused)).toMatch(/green: wallet is filled by a subscription/);
  } finally {
    await query(pair.green, 'alter subscription elsewhere set (slot_name = none)');
    await query(pair.green, 'drop subscription elsewhere; drop publication everything');
  }
});

it('a role that is no superuser goes there and back, and leaves nothing behind', async () => {
  const as = { ...pair, ...mover };
  await migrate(as, 'prepare');
  await migrate(as, 'copy', '--workers', '2');
  await query(mover.blue, "update customer set full_name = 'Someone Else' where id = 5");
  await migrate(as, 'follow', '--once');
  // What other roles do is hidden from this one, but not that they are there.
  const other = new pg.Client({ connectionString: pair.blue });
  await other.connect();
  try {
    await other.query('begin; update customer set full_name = full_name where id = 5');
    const few = ['--no-verify', '--lock-ms', '20', '--attempts', '2'];
    await expect(migrate(as, 'switch', ...few)).rejects.toThrow(
      /Who holds them now: process \d+ \(/,
    );
    await other.query('commit');
    expect(await migrate(as, 'switch')).toContain('green is live');
    await expect(migrate(as, 'finish')).rejects.toThrow(/^Blue is still in use/);
  } finally {
    await other.end();
  }
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
