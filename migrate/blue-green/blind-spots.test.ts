import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { migrate, query } from '#migrate/testing/databases.ts';
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

describe('a mapping that would fail, or lose something, long after the copy', () => {
  const file = join(tmpdir(), `migrate-blind-spots-${process.pid}.json`);
  afterAll(() => rm(file, { force: true }));
  const planned = async (mapping: Readonly<Record<string, unknown>>) => {
    await writeFile(file, JSON.stringify({ name: 'other', ...mapping }));
    return migrate(tables, 'plan', '--mapping', file);
  };
  const item = asItIs('item', ['id'], ['name']);

  it('a projection that reads a table nobody captures, and one that captures each', async () => {
    await query(
      tables.blue,
      `create table maker (item_id bigint not null, made date not null) partition by range (made);
       create table maker_new partition of maker for values from ('2020-01-01') to ('2100-01-01');
       create view named as select i.id, i.name from item i
         where exists (select 1 from maker m where m.item_id = i.id)`,
    );
    const select = 'select n.id, n.name from named n';
    const source = { table: 'maker', columns: ['item_id'] };
    await expect(planned({ forward: { tables: [{ ...item, select }] } })).rejects.toThrow(
      /^forward\.tables\[0\]: the projection reads public\.maker_new, which is not among/,
    );
    const sources = [...item.sources, source];
    expect(await planned({ forward: { tables: [{ ...item, select, sources }] } })).toContain(
      'Nothing stands in the way.',
    );
  });

  it('a projection that gives a column twice', async () => {
    const select = 'select i.id, i.name, i.name from item i';
    await expect(planned({ forward: { tables: [{ ...item, select }] } })).rejects.toThrow(
      'forward.tables[0].select: it gives column "name" more than once; name each differently',
    );
  });

  it('a cast that loses something, or that there is none of, unless the projection says so', async () => {
    const columns = (at: string, cost: string, days: string, n: string, open: string) =>
      `create table visit (id int primary key, at ${at}, cost ${cost}, days ${days}, n ${n}, open ${open})`;
    await query(tables.blue, columns('timestamp', 'numeric', 'timestamp[]', 'real', 'boolean'));
    await query(tables.green, columns('timestamptz', 'float8', 'date[]', 'int', 'numeric'));
    const visit = asItIs('visit', ['id'], ['at', 'cost', 'days', 'n', 'open']);
    await expect(planned({ forward: { tables: [visit] } })).rejects.toThrow(
      [
        'forward.tables[0].select: "cost" is numeric and would become double precision in public.visit, ' +
          'which would lose digits. Where that is meant, cast it in the projection.',
        'forward.tables[0].select: "days" is timestamp without time zone[] and would become date[] in ' +
          'public.visit, which would lose the time of day. Where that is meant, cast it in the projection.',
        'forward.tables[0].select: "open" is boolean and would become numeric in public.visit, to which ' +
          'PostgreSQL has no cast. Say in the projection how.',
      ].join('\n'),
    );
    const cast = (at: string) => ({
      ...visit,
      select: `select v.id, ${at}, v.cost::float8, v.days::date[], v.n, v.open::int from visit v`,
    });
    expect(await planned({ forward: { tables: [cast('v.at')] } })).toContain(
      'note: green: public.visit.at is timestamp with time zone and is given timestamp without time zone: ' +
        'what has no zone is taken for UTC.',
    );
    const said = await planned({
      forward: { tables: [cast("v.at at time zone 'Europe/Berlin' as at")] },
    });
    expect(said).not.toContain('taken for UTC');
  });

  it('a sequence that is none, and checks that cannot be asked', async () => {
    await query(tables.green, 'create sequence item_number');
    const refused = planned({
      forward: { tables: [item], sequences: [{ from: 'item_number', to: 'item_number' }] },
      checks: [
        { name: 'named', on: 'both', violations: 'select i.id from item i where i.nmae is null' },
        { name: 'as many', equal: { blue: 'select 1 from item', green: 'select 1 from items' } },
      ],
    });
    await expect(refused).rejects.toThrow(
      [
        'forward.sequences[0].from: public.item_number is no sequence of the blue database',
        'checks[0] (named): blue refuses it: column i.nmae does not exist',
        'checks[0] (named): green refuses it: column i.nmae does not exist',
        'checks[1] (as many): green refuses it: relation "items" does not exist',
      ].join('\n'),
    );
  });

  it('an estimate without statistics is none', async () => {
    await query(tables.blue, 'analyze item');
    expect(await planned({ forward: { tables: [item] } })).not.toContain('never analyzed');
    await query(
      tables.blue,
      `create table fresh (id bigint primary key, name text not null);
       alter table fresh set (autovacuum_enabled = off); insert into fresh values (1, 'one')`,
    );
    await query(tables.green, 'create table fresh (id bigint primary key, name text not null)');
    const fresh = asItIs('fresh', ['id'], ['name']);
    expect(await planned({ forward: { tables: [fresh] } })).toContain(
      'note: public.fresh was never analyzed, so its rows are not counted above',
    );
  });

  it('ranges that no index finds are said, with the index that would', async () => {
    const create = 'create table tome (code text collate "POSIX" primary key, n int)';
    for (const url of [tables.blue, tables.green]) await query(url, create);
    await query(
      tables.blue,
      "insert into tome select 'code ' || n, n from generate_series(1, 350) n; analyze tome",
    );
    const forward = { tables: [{ ...asItIs('tome', ['code'], ['n']), rangeRows: 100 }] };
    expect(await planned({ forward })).toContain(
      'note: blue: no index gives the rows of public.tome in the order of their key, so each of about 4 ' +
        'ranges reads all of them. For a fast copy make one on ("code" collate "C");',
    );
    await query(tables.blue, 'create index on tome (code collate "C")');
    expect(await planned({ forward })).not.toContain('no index gives');
  });

  it('what a rollback would leave behind is said', async () => {
    const more = 'create table note (id bigint primary key, words text not null)';
    for (const url of [tables.blue, tables.green]) await query(url, more);
    const note = asItIs('note', ['id'], ['words']);
    const said = await planned({ forward: { tables: [item, note] }, reverse: { tables: [item] } });
    expect(said).toContain('note: green: nothing of "reverse" reads public.note');
    expect(said).toContain('note: blue: nothing of "reverse" fills public.note');
  });
});

describe('a table that joins the mapping later', () => {
  const item = asItIs('item', ['id'], ['name']);
  const later = asItIs('later', ['id'], ['name']);
  beforeAll(async () => {
    const create = 'create table later (id bigint primary key, name text not null unique)';
    for (const url of [tables.blue, tables.green]) await query(url, create);
    await query(tables.blue, "insert into later values (1, 'one'), (2, 'two')");
  });
  afterAll(() => tables.remap([item]));
  const laterInGreen = () => query(tables.green, 'select l.id::int as id from later l');

  it('has to be empty, and abort empties no table but those that the copy has filled', async () => {
    await tables.runAll('prepare', 'copy', 'follow --once');
    await query(tables.green, "insert into later values (7, 'of somebody')");
    await tables.remap([item, later]);
    await expect(tables.run('prepare')).rejects.toThrow(/^public\.later in green has rows already/);
    expect(await tables.run('abort')).toContain('public.later keeps its rows');
    expect(await laterInGreen()).toEqual([{ id: 7 }]);
    expect(await query(tables.green, 'select 1 from item')).toEqual([]);
    await expect(tables.run('plan')).rejects.toThrow(/^public\.later in green has rows already/);
    await query(tables.green, 'truncate later');
  });

  it('gets its indexes back after its copy, and the others keep theirs', async () => {
    await query(tables.green, 'create index item_name on item (name)');
    await tables.remap([item]);
    await tables.runAll('prepare', 'copy', 'follow --once');
    await tables.remap([item, later]);
    await expect(tables.run('copy')).rejects.toThrow(
      /^Changes of public\.later in blue are not captured: "migrate prepare" comes first/,
    );
    await tables.run('prepare');
    const indexes = async () => {
      const rows = await query(
        tables.green,
        `select i.indexrelid::regclass::text as name from pg_index i
         where i.indrelid in ('item'::regclass, 'later'::regclass) and not i.indisprimary order by 1`,
      );
      return rows.map(({ name }) => name);
    };
    expect(await indexes()).toEqual(['item_name']);
    await tables.runAll('copy', 'follow --once');
    expect(await indexes()).toEqual(['item_name', 'later_name_key']);
    expect(await tables.run('verify')).toContain('every check holds');
    await tables.run('abort');
  });
});

describe('commands in a wrong order', () => {
  it('a word for a tool is said to nobody where nothing is prepared, or no tool works', async () => {
    for (const word of ['pause', 'resume', 'stop']) {
      await expect(tables.run(word), word).rejects.toThrow(
        /^Nothing of migrate is in either database: "migrate prepare"/,
      );
    }
    await tables.runAll('prepare');
    expect(await tables.run('stop')).toContain('No migrate works on these databases now.');
    await tables.runAll('abort');
  });

  it('a refusal names the command that was given', async () => {
    await expect(tables.run('foreign', '--side', 'blue')).rejects.toThrow(
      /^"migrate foreign" has nothing to do in phase "none"\. /,
    );
  });
});
