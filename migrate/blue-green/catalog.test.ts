import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate as migrateBank, type Pair, query } from '#migrate/testing/databases.ts';
import { numberingSequences } from './catalog.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const direction = {
  tables: [
    {
      target: 'event',
      key: ['id', 'month'],
      select: 'select e.id, e.month, e.body from event e',
      sources: [{ table: 'event', columns: ['id', 'month'] }],
      rangeRows: 100,
    },
  ],
};

let pair: Pair;
let directory = '';
const migrate = (...args: readonly string[]) =>
  migrateBank(pair, ...args, '--mapping', join(directory, 'mapping.json'));

beforeAll(async () => {
  pair = await openBank(1);
  directory = await mkdtemp(join(tmpdir(), 'migrate-partition-'));
  const mapping = { name: 'partitions', forward: direction, reverse: direction };
  await writeFile(join(directory, 'mapping.json'), JSON.stringify(mapping));
  const columns = 'id bigint, month date, body text not null, primary key (id, month)';
  await query(
    pair.blue,
    `create table event (${columns}) partition by range (month);
     create table event_1 partition of event for values from ('2026-01-01') to ('2026-02-01');
     create table event_2 partition of event for values from ('2026-02-01') to ('2026-03-01');
     create table event_rest partition of event default;
     insert into event select g, '2026-01-15'::date + g % 60, 'body ' || g
     from generate_series(1, 900) g`,
  );
  await query(
    pair.green,
    `create table event (${columns}) partition by hash (id);
     create table event_a partition of event for values with (modulus 2, remainder 0);
     create table event_b partition of event for values with (modulus 2, remainder 1);
     create index event_body on event (body)`,
  );
});
afterAll(async () => {
  await pair.close();
  await rm(directory, { recursive: true });
});

it('a sequence is known with its column, and whether an index finds its greatest value', async () => {
  await query(pair.blue, 'create table numbered (a bigserial primary key, b bigserial, c serial)');
  await query(
    pair.blue,
    `create index on numbered (b) where c > 0; create index on numbered using brin (b);
     create index on numbered using hash (c); create sequence apart;
     create table further (d bigint primary key default nextval('apart'))`,
  );
  const client = new pg.Client({ connectionString: pair.blue });
  await client.connect();
  const found = await numberingSequences(client, [
    { schema: 'public', name: 'numbered' },
    { schema: 'public', name: 'further' },
  ]);
  await client.end();
  expect(found.map(({ sequence, column, indexed }) => [sequence.name, column, indexed])).toEqual([
    ['apart', 'd', true],
    ['numbered_a_seq', 'a', true],
    ['numbered_b_seq', 'b', false],
    ['numbered_c_seq', 'c', false],
  ]);
});

describe('a partitioned table into one that is partitioned otherwise', () => {
  it('a partition by itself is refused: what comes by way of its parent would be unseen', async () => {
    const [event] = direction.tables;
    const leaf = {
      ...event,
      target: 'event_1',
      sources: [{ table: 'event_1', columns: ['id', 'month'] }],
    };
    const mapping = { name: 'leaf', forward: { tables: [leaf] } };
    await writeFile(join(directory, 'leaf.json'), JSON.stringify(mapping));
    await query(pair.green, 'create table event_1 (like event including all)');
    await expect(
      migrateBank(pair, 'plan', '--mapping', join(directory, 'leaf.json')),
    ).rejects.toThrow(/^blue: event_1 is a partition of event: .* Map event\.$/m);
    await query(pair.green, 'drop table event_1');
  });

  it('plan says that to drop a partition has to wait', async () => {
    expect(await migrate('plan')).toMatch(
      /public\.event has 3 partitions: to drop, detach or attach one has to wait until "migrate finish"/,
    );
  });

  it('what is written to the table, to a partition, and from one into another arrives', async () => {
    await migrate('prepare');
    await migrate('copy', '--workers', '2');
    await query(
      pair.blue,
      `insert into event_2 values (2000, '2026-02-02', 'directly');
       update event set month = '2026-02-20' where id = 1;
       update event_1 set body = 'seen' where id = 2;
       delete from event where id = 3; delete from event_2 where id = 30`,
    );
    await migrate('follow', '--once');
    expect(await migrate('verify')).toContain('every check holds');
    const rows = await query(
      pair.green,
      `select e.id::int as id, e.month::text as month, e.body from event e
       where e.id in (1, 2, 3, 30, 2000) order by e.id`,
    );
    expect(rows).toEqual([
      { id: 1, month: '2026-02-20', body: 'body 1' },
      { id: 2, month: '2026-01-17', body: 'seen' },
      { id: 2000, month: '2026-02-02', body: 'directly' },
    ]);
  });

  it('indexes come back on every partition', async () => {
    const rows = await query(
      pair.green,
      `select i.indisvalid as valid, c.relname::text as name from pg_index i
       join pg_class c on c.oid = i.indrelid
       where c.relname like 'event%' and not i.indisprimary order by 2`,
    );
    expect(rows).toEqual(['event', 'event_a', 'event_b'].map((name) => ({ valid: true, name })));
  });

  it('a partition that came new is not captured, so the switch refuses', async () => {
    const bounds = "for values from ('2027-01-01') to ('2027-02-01')";
    await query(pair.blue, `create table event_new partition of event ${bounds}`);
    await expect(migrate('switch')).rejects.toThrow(/public\.event in blue are not captured/);
    await query(pair.blue, 'drop table event_new');
  });

  it('a partition that was dropped is found by verify, and the switch refuses', async () => {
    await migrate('verify');
    await query(pair.blue, 'drop table event_2');
    await expect(migrate('verify')).rejects.toThrow(/rows differ/);
    await expect(migrate('switch')).rejects.toThrow(/rows differ/);
    await query(
      pair.blue,
      `create table event_2 partition of event for values from ('2026-02-01') to ('2026-03-01')`,
    );
    await migrate('repair', '--side', 'blue', '--found');
    expect(await migrate('verify')).toContain('every check holds');
  });

  it('a partition of the side that was left refuses writes', async () => {
    await expect(migrate('switch')).rejects.toThrow(/not captured/);
    await migrate('abort');
    for (const step of ['prepare', 'copy', 'switch']) {
      if (step === 'switch') await migrate('follow', '--once');
      await migrate(step);
    }
    await expect(query(pair.blue, 'delete from event_1')).rejects.toMatchObject({ code: 'MG001' });
    await expect(query(pair.blue, 'delete from event')).rejects.toMatchObject({ code: 'MG001' });
    await query(
      pair.green,
      "update event_a set body = 'new side' where id = (select min(id) from event_a)",
    );
    expect(await migrate('rollback')).toContain('blue is live');
    expect(await query(pair.blue, "select 1 from event where body = 'new side'")).toHaveLength(1);
    await migrate('abort');
  });
});
