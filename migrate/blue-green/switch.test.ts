import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query, startTool } from '#migrate/testing/databases.ts';
import { startWriters } from '#migrate/testing/writers.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

describe('a migration with writers throughout', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await openBank(1_000);
  });
  afterAll(() => pair.close());

  const missing = async (side: 'blue' | 'green', ids: ReadonlySet<string>) => {
    const table = side === 'blue' ? 'transfer' : 'movement';
    const rows = await query(pair[side], `select t.id::text as id from ${table} t`);
    const there = new Set(rows.map(({ id }) => id));
    return [...ids].filter((id) => !there.has(id));
  };

  it('copy, switch, rollback and switch again lose no acknowledged write', async () => {
    const writers = startWriters(pair, 4, 3);
    await migrate(pair, 'prepare');
    await migrate(pair, 'copy', '--workers', '2');
    await migrate(pair, 'follow', '--once');
    await migrate(pair, 'verify', '--workers', '2');
    const said = await migrate(pair, 'switch', '--workers', '2');
    expect(said).toMatch(/green is live \(epoch 2\); writes were held for/);
    expect(await migrate(pair, 'switch')).toMatch(/^Nothing is left to do .* Green is live/);
    await migrate(pair, 'watch', '--once');
    expect(await migrate(pair, 'rollback', '--workers', '2')).toMatch(/blue is live \(epoch 3\)/);
    expect(await migrate(pair, 'rollback')).toMatch(/^Nothing is left to do .* Blue is live/);
    expect(await migrate(pair, 'switch', '--workers', '2')).toMatch(/green is live \(epoch 4\)/);
    const ledger = await writers.stop();
    await migrate(pair, 'watch', '--once');

    expect(ledger.acknowledged.size).toBeGreaterThan(100);
    expect(ledger.refused).toBeGreaterThan(0);
    expect(ledger.twoLive).toBe(0);
    expect(await missing('green', ledger.acknowledged)).toEqual([]);
    expect(await missing('blue', ledger.acknowledged)).toEqual([]);
    expect(await migrate(pair, 'verify', '--workers', '2')).toMatch(/every check holds/);
  });

  it('whoever never heard of the switch is refused, superuser and replica role too', async () => {
    const write = 'update account set balance_cents = 0 where id = 1';
    await expect(query(pair.blue, write)).rejects.toMatchObject({ code: 'MG001' });
    await expect(
      query(pair.blue, `set session_replication_role = replica; ${write}`),
    ).rejects.toMatchObject({ code: 'MG001' });
    await expect(query(pair.blue, 'truncate transfer')).rejects.toThrow();
    await expect(query(pair.blue, 'select 1 from account')).resolves.toHaveLength(4_000);
  });

  it('the new side issues numbers that the old one has not issued', async () => {
    const [old] = await query(pair.blue, 'select last_value::int as n from account_id_seq');
    const [row] = await query(pair.green, "select nextval('wallet_id_seq')::int as n");
    expect(Number(row?.n)).toBeGreaterThan(Number(old?.n));
  });

  it('a second tool is told who works, and does nothing', async () => {
    const first = startTool(pair, ['watch']);
    for (let tries = 0; tries < 200; tries += 1) {
      const held = await query(
        pair.green,
        "select 1 from pg_stat_activity a where a.query like '%migrate watch%' and a.datname = current_database() and a.pid <> pg_backend_pid()",
      );
      if (held.length > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await expect(migrate(pair, 'verify')).rejects.toThrow(
      /Another migrate works on the blue database .*"migrate watch"/,
    );
    await migrate(pair, 'stop');
    expect((await first.ended).code).toBe(0);
  });

  it('finish leaves no trace on either side', async () => {
    await migrate(pair, 'finish', '--anyway');
    for (const side of ['blue', 'green'] as const) {
      const left = await query(
        pair[side],
        `select t.tgname::text as name from pg_trigger t where not t.tgisinternal
         union all select n.nspname::text from pg_namespace n where n.nspname like 'migrate%'
         union all select p.proname::text from pg_proc p where p.proname like '%migrate%'`,
      );
      expect(left).toEqual([]);
    }
    await query(pair.green, 'update wallet set balance = balance where id = 1');
  });
});

describe('a switch that cannot get hold of the tables', () => {
  it('gives up, leaves the old side live, and says who holds them', async () => {
    const pair = await openBank(50);
    const holder = new pg.Client({ connectionString: pair.blue, application_name: 'slow report' });
    try {
      await migrate(pair, 'prepare');
      await migrate(pair, 'copy');
      await migrate(pair, 'follow', '--once');
      await holder.connect();
      await holder.query('begin; update account set status = status where id = 1');
      await expect(migrate(pair, 'switch', '--lock-ms', '20', '--attempts', '2')).rejects.toThrow(
        /nothing was (done|switched).*slow report/,
      );
      await holder.query('commit; begin; select 1 from account where id = 1 for share');
      const few = ['--no-verify', '--lock-ms', '20', '--attempts', '2'];
      await expect(migrate(pair, 'switch', ...few)).rejects.toThrow(/nothing was.*slow report/);
      await holder.query('commit');
      await query(pair.blue, 'update account set status = status where id = 2');
      expect(await migrate(pair, 'status')).toContain('phase: following');
      expect(await migrate(pair, 'switch')).toContain('green is live');
    } finally {
      await holder.end();
      await pair.close();
    }
  });
});

describe('writers of repeatable read', () => {
  it('that sit idle hold up a switch no longer than its attempts, and it says who they are', async () => {
    const pair = await openBank(50);
    const writer = new pg.Client({ connectionString: pair.blue, application_name: 'old snapshot' });
    try {
      for (const step of [['prepare'], ['copy'], ['follow', '--once']])
        await migrate(pair, ...step);
      // As an earlier attempt leaves it, so that what waits for the writer is the switch itself.
      await query(
        pair.blue,
        ['customer', 'profile', 'account', 'transfer']
          .map((table) => `alter table ${table} enable always trigger migrate_guard;`)
          .join(''),
      );
      await writer.connect();
      await writer.query('begin isolation level repeatable read');
      await writer.query('update account set status = status where id = 1');
      const asked = ['switch', '--no-verify', '--lock-ms', '20', '--attempts', '2'];
      await expect(migrate(pair, ...asked)).rejects.toThrow(/nothing was switched.*old snapshot/);
      await writer.query('commit');
      expect(await migrate(pair, 'switch', '--no-verify')).toContain('green is live');
    } finally {
      await writer.end();
      await pair.close();
    }
  });
});

describe('a writer that goes from table to table', () => {
  it('is waited out by the first attempt, whatever order the tables are locked in', async () => {
    const pair = await openBank(50);
    const writer = new pg.Client({ connectionString: pair.blue });
    try {
      await migrate(pair, 'prepare');
      await migrate(pair, 'copy');
      await migrate(pair, 'follow', '--once');
      await writer.connect();
      const switched = migrate(
        pair,
        'switch',
        '--lock-ms',
        '2000',
        '--no-verify',
        '--attempts',
        '1',
      );
      switched.catch(() => {});
      const soon = async (sql: string) =>
        vi.waitFor(async () => expect(await query(pair.blue, sql)).not.toEqual([]), {
          timeout: 60_000,
          interval: 5,
        });
      await soon('select 1 from migrate.seam s where s.near');
      await writer.query("begin; update transfer set note = 'later' where from_id = 1");
      await soon(`select 1 from pg_locks l where not l.granted and l.mode = 'ExclusiveLock'
        and l.relation = 'transfer'::regclass`);
      await writer.query('update account set status = status where id = 1');
      await writer.query('commit');
      expect(await switched).toContain('green is live');
    } finally {
      await writer.end();
      await pair.close();
    }
  });
});
