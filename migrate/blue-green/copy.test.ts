import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openBank, openEmptyPair } from '#migrate/testing/bank.ts';
import { atRest, migrate, type Pair, query, startTool } from '#migrate/testing/databases.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let pair: Pair;
beforeEach(async () => {
  pair = await openBank(2_000);
});
afterEach(() => pair.close());

const copiedRanges = async () => {
  const [row] = await query(
    pair.green,
    'select count(r.copied_at)::int as n, count(*)::int as all from migrate.range r',
  ).catch(() => [{ n: 0, all: 0 }]);
  return { done: Number(row?.n), all: Number(row?.all) };
};

describe('copy', () => {
  it('killed in the middle it goes on, and copies nothing twice', async () => {
    await migrate(pair, 'prepare');
    const tool = startTool(pair, ['copy', '--workers', '1', '--rows-per-second', '4000']);
    for (;;) {
      const { done } = await copiedRanges();
      if (done >= 2) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    tool.kill('SIGKILL');
    expect((await tool.ended).signal).toBe('SIGKILL');
    const { done, all } = await copiedRanges();
    expect(done).toBeLessThan(all);
    await query(
      pair.blue,
      'delete from transfer where cents = 7; update account set status = null is null',
    );
    await migrate(pair, 'copy', '--workers', '2');
    await migrate(pair, 'follow', '--once');
    expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
  });

  it('asked to pause it waits, and resume lets it go on', async () => {
    await migrate(pair, 'prepare');
    const running = migrate(pair, 'copy', '--workers', '1', '--rows-per-second', '5000');
    while ((await copiedRanges()).done < 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await migrate(pair, 'pause');
    // The range under way still ends; of those after it nothing comes.
    const { done, all } = await atRest(copiedRanges);
    expect(done).toBeLessThan(all);
    await migrate(pair, 'stop');
    expect(await running).toContain('stopped after');
    expect(await migrate(pair, 'copy')).toMatch(/copy: \d+ rows, \d+ of them now/);
  });

  it('a row that the mapping cannot take is named, and nothing of its range is kept', async () => {
    await query(pair.blue, "update account set currency = 'EURO' where id = 1500");
    await migrate(pair, 'prepare');
    await query(pair.blue, "insert into customer (id, email, full_name) values (9000, 'e', 'A B')");
    await expect(migrate(pair, 'copy', '--workers', '1')).rejects.toThrow(
      /public.wallet, range .*too long for type character\(3\).*wallet, line 500, column currency/,
    );
    await query(pair.blue, "update account set currency = 'EUR' where id = 1500");
    await migrate(pair, 'copy', '--workers', '1');
    await migrate(pair, 'follow', '--once');
    expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
  });

  it('abort leaves both sides as they were', async () => {
    const shape = (side: 'blue' | 'green') =>
      query(
        pair[side],
        `select c.relname, c.relkind, coalesce(pg_get_indexdef(i.indexrelid), '') as definition
         from pg_class c left join pg_index i on i.indexrelid = c.oid
         where c.relnamespace = 'public'::regnamespace order by 1`,
      );
    const before = { blue: await shape('blue'), green: await shape('green') };
    await migrate(pair, 'prepare');
    await migrate(pair, 'copy', '--workers', '2');
    await migrate(pair, 'abort');
    expect({ blue: await shape('blue'), green: await shape('green') }).toEqual(before);
    expect(await query(pair.green, 'select 1 from person limit 1')).toEqual([]);
    expect(await query(pair.blue, 'select 1 from pg_trigger t where not t.tgisinternal')).toEqual(
      [],
    );
  });

  it('several workers count each row once, and share the rows that a second may have', async () => {
    await migrate(pair, 'prepare');
    const startedMs = performance.now();
    const many = ['--workers', '4', '--rows-per-second', '8000'];
    const said = await migrate(pair, 'copy', ...many);
    const seconds = (performance.now() - startedMs) / 1000;
    const [there] = await query(
      pair.green,
      `select ((select count(*) from person) + (select count(*) from wallet)
         + (select count(*) from wallet_state) + (select count(*) from movement))::int as rows`,
    );
    expect(said).toContain(`copy: ${there?.rows} rows, ${there?.rows} of them now`);
    // A range that is under way when the seconds are used up still ends, for each worker.
    expect(Number(there?.rows) - 4 * 1_000).toBeLessThan(8_000 * seconds);
  });

  it('a row that does not fit is named by a batch too, and goes over once it is mended', async () => {
    await migrate(pair, 'prepare');
    await migrate(pair, 'copy', '--workers', '2');
    await migrate(pair, 'follow', '--once');
    await query(pair.blue, "update account set currency = 'EURO' where id in (3, 4)");
    await expect(migrate(pair, 'follow', '--once')).rejects.toThrow(
      /^public\.wallet \["3"\]: value too long.* green refuses this row.* Mend it in blue, or the mapping/,
    );
    await query(pair.blue, "update account set currency = 'CHF' where id in (3, 4)");
    await migrate(pair, 'follow', '--once');
    expect(await migrate(pair, 'verify', '--workers', '2')).toContain('every check holds');
  });
});

describe('a unique key that a foreign key refers to', () => {
  const mapping = {
    name: 'referred',
    forward: {
      tables: [
        {
          target: 'login',
          key: ['id'],
          select: 'select id, name, n from login',
          sources: [{ table: 'login', columns: ['id'] }],
          rangeRows: 100,
        },
        {
          target: 'badge',
          key: ['id'],
          select: 'select id, login from badge',
          sources: [{ table: 'badge', columns: ['id'] }],
        },
      ],
    },
  };
  let own: Pair;
  let file = '';
  const run = (...args: readonly string[]) => migrate(own, ...args, '--mapping', file);
  beforeEach(async () => {
    own = await openEmptyPair();
    file = join(await mkdtemp(join(tmpdir(), 'migrate-copy-')), 'mapping.json');
    await writeFile(file, JSON.stringify(mapping));
    for (const side of ['blue', 'green'] as const) {
      await query(
        own[side],
        `create table login (id bigint primary key, name text not null unique, n int);
         create table badge (id bigint primary key, login text references login (name))`,
      );
    }
    await query(
      own.blue,
      `insert into login select n, 'name ' || n, n from generate_series(1, 350) n;
       insert into badge select n, 'name ' || n from generate_series(10, 20) n`,
    );
  });
  afterEach(async () => {
    await own.close();
    await rm(dirname(file), { recursive: true });
  });

  it('may pass from row to row during the copy; a deferrable primary key is refused', async () => {
    const remake = (how: string) =>
      `alter table login drop constraint login_pkey, add primary key (id) ${how}`;
    await query(own.green, remake('deferrable'));
    await expect(run('plan')).rejects.toThrow(
      /primary key login_pkey of public\.login is deferrable/,
    );
    await query(
      own.green,
      `${remake('')}; alter table login add constraint stops check (n < 1000)`,
    );
    await query(own.blue, 'update login set n = 5000 where id = 250');
    await run('prepare');
    await expect(run('copy', '--workers', '1')).rejects.toThrow(/stops/);
    await query(
      own.blue,
      `update login set n = 250 where id = 250; update login set name = 'freed' where id = 5;
       update login set name = 'name 5' where id = 340`,
    );
    await run('copy', '--workers', '1');
    expect(await run('follow', '--once')).toContain('badge_login_fkey');
    expect(await run('verify')).toContain('every check holds');
    await expect(query(own.green, 'truncate login')).rejects.toThrow(/foreign key/);
  });
});
