import { expect, test } from 'vitest';
import { base, column, lockKey, schemaOfEach } from './proof/schema-of-each.ts';
import { joinRelease, runningReleases } from './releases.ts';
import { down, status, up } from './runner.ts';

const own = schemaOfEach();
const { connect, options } = own;

const contract = { ...column, '0003_less.contract.sql': 'alter table item drop column note;' };

test('R8: a contract is refused while a node of an older release runs, and it is named', async () => {
  await up(options(column));
  const node = await connect(own.url(), 'old-node');
  await joinRelease(node, lockKey, 2);
  await expect(up(options(contract))).rejects.toThrow(/old-node, knows up to 2/);
  expect(await runningReleases(own.admin(), lockKey)).toMatchObject([{ number: 2 }]);
  await node.end();
  const newer = await connect(own.url(), 'new-node');
  await joinRelease(newer, lockKey, 3);
  await up(options(contract));
  const late = await connect(own.url(), 'old-node');
  await expect(joinRelease(late, lockKey, 2)).rejects.toThrow(
    /too old for the database: migration less/,
  );
  await expect(status(options(column))).rejects.toThrow(
    /0003_less \(contract\), which this release/,
  );
  await newer.end();
});

test('R8: a contract that was broken off keeps older releases out as one that is done', async () => {
  const half = (first: string) => ({
    ...column,
    '0003_less.contract.sql': `${first}alter table item drop column note;\n-- migrate:commit\nalter table item drop column gone;`,
  });
  await up(options(column));
  const lenient = half('-- migrate:oldest-release 2\n');
  await expect(up(options(lenient))).rejects.toThrow(/column "gone"/);
  const node = await connect(own.url(), 'node');
  await joinRelease(node, lockKey, 2);
  await node.end();
  expect((await status(options(column))).pending).toEqual([]);
  await own.admin().query(`drop schema ${own.schema()} cascade; create schema ${own.schema()}`);
  await up(options(column));
  await expect(up(options(half('')))).rejects.toThrow(/column "gone"/);
  const late = await connect(own.url(), 'old-node');
  await expect(joinRelease(late, lockKey, 2)).rejects.toThrow(
    /migration 3, which was begun, removes/,
  );
  await expect(status(options(column))).rejects.toThrow(/Migration 3, which this release does not/);
  await joinRelease(late, lockKey, 3);
  await late.end();
  await up(options(contract));
});

test('R8: a contract that names an older release as good enough lets it run, and start again', async () => {
  const lenient = {
    ...column,
    '0003_less.contract.sql': '-- migrate:oldest-release 2\nalter table item drop column note;',
  };
  await up(options(column));
  const node = await connect(own.url(), 'node');
  await joinRelease(node, lockKey, 2);
  await up(options(lenient));
  const again = await connect(own.url());
  await joinRelease(again, lockKey, 2);
  await again.end();
  expect((await status(options(column))).unknown).toMatchObject([{ number: 3 }]);
  await node.end();
});

const reversible = {
  ...base,
  '0002_more.expand.sql':
    'alter table item add column more integer;\n-- migrate:commit\n' +
    'create index concurrently if not exists item_more on item (more);\n' +
    '-- migrate:down\ndrop index concurrently if exists item_more;\n-- migrate:commit\n' +
    'alter table item drop column more;',
};

test('expand is taken back by its down section, but not while a node needs it, nor a contract', async () => {
  await up(options(reversible));
  const node = await connect(own.url(), 'new-node');
  await joinRelease(node, lockKey, 2);
  await expect(down(options(reversible), 1)).rejects.toThrow(/new-node, knows up to 2/);
  await node.end();
  await down(options(reversible), 1);
  const after = await status(options(reversible));
  expect(after.pending.map(({ number }) => number)).toEqual([2]);
  expect(after.underWay).toEqual([]);
  await up(options(reversible));
  await expect(down(options(reversible), 0)).rejects.toThrow(/0001_base.*has no down section/);
  await up(options(contract)).catch(() => {});
});

test('down that was broken off is told, nothing is applied before its end, and no release starts that needs it', async () => {
  const next = { ...reversible, '0003_last.expand.sql': 'alter table item add column last text;' };
  await up(options(reversible));
  const client = await connect(own.url());
  await client.query('create view needs_more as select more from item');
  await expect(down(options(reversible), 1)).rejects.toThrow(/depend/);
  expect((await status(options(reversible))).underWay).toMatchObject([{ direction: 'down' }]);
  await expect(up(options(next))).rejects.toThrow(/0002_more.*part of what it made.*down to 1/s);
  const node = await connect(own.url(), 'new-node');
  await expect(joinRelease(node, lockKey, 2)).rejects.toThrow(
    /Migration 2, which this release needs/,
  );
  await joinRelease(node, lockKey, 1);
  await node.end();
  await client.query('drop view needs_more');
  await down(options(reversible), 1);
  await up(options(next));
  expect((await status(options(next))).pending).toEqual([]);
});

test('nothing is taken back under a migration that is half done', async () => {
  const half = (last: string) => ({
    ...reversible,
    '0003_half.expand.sql': `create index concurrently if not exists item_pair on item (more, id);\n-- migrate:commit\n${last};\n-- migrate:down\ndrop index concurrently if exists item_pair;`,
  });
  const broken = half('alter table item alter column gone set default 1');
  await expect(up(options(broken))).rejects.toThrow(/column "gone"/);
  await expect(down(options(broken), 1)).rejects.toThrow(/Migration 3 was begun and is not done/);
  const mended = half('alter table item alter column more set default 1');
  await up(options(mended));
  await down(options(mended), 1);
  await up(options(mended));
  const { rows } = await own
    .admin()
    .query(
      `select 1 from pg_indexes where schemaname = '${own.schema()}' and indexname = 'item_pair'`,
    );
  expect(rows).toHaveLength(1);
});
