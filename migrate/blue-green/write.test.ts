import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { corrupt, rowsDiffer } from '#migrate/testing/corruption.ts';
import { query } from '#migrate/testing/databases.ts';
import { asItIs, openTables, type Tables } from '#migrate/testing/tables.ts';

// Whole migrations: on a busy machine they take their time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

// Tables as others made them: names, types and keys that are allowed and seldom.

const shapes = (sum: string, name: string, place: string, reading: readonly string[]) =>
  `create domain place as text check (value <> '');
   create domain dues as numeric(12, 4);
   create table doc (id ${name} primary key, v int);
   create table shelf (id ${place} primary key, v int);
   create table label (words text[] primary key, v int);
   create table colour (id int primary key, r int, g int, b int);
   create table tariff (price numeric primary key, name text);
   create table code (id int primary key, letters character(3)[], flags bit(4)[]);
   create table amount (id int, sum ${sum}, primary key (id) include (sum));
   create table reading (id int primary key, r ${reading[0]}, d ${reading[1]}, n ${reading[2]},
     fee ${reading[3]});
   create table note (id int primary key, body text not null);
   create unique index note_body on note (body);
   alter table note replica identity using index note_body;
   alter table note cluster on note_body;
   comment on index note_body is 'as it was'`;
const mapped = [
  asItIs('colour', ['id'], ['r', 'g', 'b']),
  asItIs('tariff', ['price'], ['name']),
  asItIs('label', ['words'], ['v']),
  asItIs('code', ['id'], ['letters', 'flags']),
  asItIs('amount', ['id'], ['sum']),
  asItIs('note', ['id'], ['body']),
  { ...asItIs('doc', ['id'], ['v']), select: 'select t.id::uuid as id, t.v from doc t' },
  asItIs('reading', ['id'], ['r', 'd', 'n', 'fee']),
  { ...asItIs('shelf', ['id'], ['v']), rangeRows: 100 },
];
/** Where the way back is another; a document's key would not come back as it was spelled. */
const casts: Readonly<Record<string, string>> = {
  reading: 't.id, t.r::real, t.d::double precision, t.n::real, t.fee',
  shelf: 't.id::int, t.v',
};
const back = mapped
  .filter(({ target }) => target !== 'doc')
  .map((table) => {
    const columns = casts[table.target];
    return columns ? { ...table, select: `select ${columns} from ${table.target} t` } : table;
  });

/** Where an index lies apart from the others. */
const apart = `apart_${process.pid}`;

let tables: Tables;
beforeAll(async () => {
  tables = await openTables(
    {
      blue: `${shapes('numeric(10, 2)', 'text', 'int', ['real', 'double precision', 'real', 'numeric(10, 2)'])};
        insert into colour select n, n, n, n from generate_series(1, 10) n;
        insert into label values ('{a,"b c"}', 1), ('{null}', 1), ('{}', 1);
        insert into tariff values (1.5, 'day'), (2, 'night');
        insert into code values (1, '{abc,de}', '{1010,0001}'), (2, null, '{}');
        insert into doc values ('0000000000004000800000000000000A', 1);
        insert into amount values (1, 10), (2, 0.5);
        insert into shelf select n, n from generate_series(1, 350) n;
        insert into reading values (1, 16777.21, 0.1::float8 + 0.2, 1234567, 10), (2, -0.5, 1e15, 0, 0.5);
        insert into note select n, 'body ' || n from generate_series(1, 1000) n`,
      green: shapes('numeric', 'uuid', 'place', ['numeric', 'numeric', 'integer', 'dues']),
    },
    mapped,
    back,
  );
  await makeTablespace();
  await query(tables.green, `alter index note_body set tablespace ${apart}`);
});

afterAll(async () => {
  const server = new URL(tables.green);
  server.pathname = '/postgres';
  await tables.close();
  await query(server.href, `drop tablespace ${apart}`);
});

/** An empty tablespace, which PostgreSQL puts beside its own. */
async function makeTablespace(): Promise<void> {
  const url = new URL(tables.green);
  url.searchParams.set('options', '-c allow_in_place_tablespaces=on');
  await query(url.href, `create tablespace ${apart} location ''`);
}

const agree = async () => {
  expect(await tables.run('verify')).toContain('every check holds');
};

it('a projected row without a key is no row that stays behind unseen', async () => {
  const select = 'select nullif(t.price, 2) as price, t.name from tariff t';
  await tables.remap(
    mapped.map((table) => (table.target === 'tariff' ? { ...table, select } : table)),
    back,
  );
  await tables.run('prepare');
  await expect(tables.run('copy')).rejects.toThrow(
    /^public\.tariff: the projection gives rows without a key \(price is null\)/,
  );
  await tables.run('abort');
  await tables.remap(mapped, back);
});

it('values arrive as they are, by the copy and by a batch', async () => {
  await tables.runAll('prepare', 'copy', 'follow --once');
  await query(
    tables.blue,
    `insert into code values (3, '{xyz}', '{1111}'); insert into amount values (3, 7);
     update label set v = 2 where words <> '{}'; delete from label where words = '{}';
     insert into reading values (3, 9876543, 12345678.90123456789, 7654321, 7)`,
  );
  await tables.run('follow', '--once');
  for (const sql of [
    'select c.id, c.letters::text as letters, c.flags::text as flags from code c order by c.id',
    'select a.id, a.sum::text as sum from amount a order by a.id',
    // A real and a double are told apart by 9 and 17 digits.
    'select r.id, r.r::real as r, r.d::float8 as d, r.n::real as n from reading r order by r.id',
  ]) {
    expect(await query(tables.green, sql)).toEqual(await query(tables.blue, sql));
  }
  await agree();
});

it('an index that was set aside comes back with all that was said of it', async () => {
  const [row] = await query(
    tables.green,
    `select x.indisunique as unique, x.indisreplident as identity, x.indisclustered as clustered,
       obj_description(x.indexrelid, 'pg_class') as comment, s.spcname as place
     from pg_index x join pg_class c on c.oid = x.indexrelid
     left join pg_tablespace s on s.oid = c.reltablespace
     where x.indexrelid = 'note_body'::regclass`,
  );
  const said = { unique: true, identity: true, clustered: true, comment: 'as it was' };
  expect(row).toEqual({ ...said, place: apart });
});

it('a row is compared by all of its columns, whatever they are called', async () => {
  await corrupt(tables, 'green', 'update colour set g = 0 where id = 3');
  await expect(tables.run('verify')).rejects.toThrow(rowsDiffer(1));
  await tables.run('repair', '--side', 'green', '--found');
  await agree();
});

it('a row that lies in another range on each side, as its key is ordered otherwise, differs once', async () => {
  await corrupt(tables, 'green', "update shelf set v = 0 where id = '50'");
  await expect(tables.run('verify')).rejects.toThrow(rowsDiffer(1));
  const found = "select d.key from migrate.difference d where d.side = 'green'";
  expect(await query(tables.green, found)).toEqual([{ key: ['50'] }]);
  await tables.run('repair', '--side', 'green', '--found');
  await agree();
});

it('a key that is changed into an equal one arrives', async () => {
  await query(tables.blue, 'update tariff set price = 1.50 where price = 1.5');
  await tables.run('follow', '--once');
  expect(
    await query(tables.green, "select price::text as price from tariff where name = 'day'"),
  ).toEqual([{ price: '1.50' }]);
  await agree();
});

it('rows that hold unique values of each other are repaired, on either side', async () => {
  const exchange = `update note set body = 'aside' where id = 1;
    update note set body = 'body 1' where id = 999; update note set body = 'body 999' where id = 1;
    update note set body = body || '!' where id between 2 and 998`;
  for (const side of ['green', 'blue'] as const) {
    await corrupt(tables, side, exchange);
    await expect(tables.run('verify')).rejects.toThrow(rowsDiffer(999));
    await tables.run('repair', '--side', side, '--found');
    await agree();
  }
});

it('a key that is text is cast by the projection, so that each row is found however it is spelled', async () => {
  const raw = mapped.map((table) =>
    table.target === 'doc' ? asItIs('doc', ['id'], ['v']) : table,
  );
  await tables.remap(raw, back);
  await expect(tables.run('status')).rejects.toThrow(
    /^forward\.tables\[6\]\.select: "id" is text and would become uuid in public\.doc, which a text may/,
  );
  await tables.remap(mapped, back);
  await query(tables.blue, "update doc set v = 2 where id = '0000000000004000800000000000000A'");
  await tables.run('follow', '--once');
  await agree();
  expect(await query(tables.green, 'select v from doc')).toEqual([{ v: 2 }]);
});

it('a key that the other type cannot hold stops nothing any more when its row is gone', async () => {
  await query(tables.blue, "insert into doc values ('not one', 1)");
  await expect(tables.run('follow', '--once')).rejects.toThrow(
    /^public\.doc \["not one"\]: invalid input syntax for type uuid: "not one"/,
  );
  await query(tables.blue, "delete from doc where id = 'not one'");
  await tables.run('follow', '--once');
  await agree();
});

it('a projection that gives a key twice is named with the key', async () => {
  const select = 'select t.price, c.id::text as name from tariff t join colour c on c.id < 3';
  const twice = mapped.map((table) => (table.target === 'tariff' ? { ...table, select } : table));
  await tables.remap(twice, back);
  await query(tables.blue, "update tariff set name = 'dark' where price = 2");
  await expect(tables.run('follow', '--once')).rejects.toThrow(
    /^public\.tariff \["2"\]: the projection gives several rows with this key/,
  );
  await tables.remap(mapped, back);
  await tables.run('follow', '--once');
  await agree();
});

it('a row that loses its key after the copy is missed', async () => {
  const select = 'select nullif(t.price, 2) as price, t.name from tariff t';
  const keyless = mapped.map((table) => (table.target === 'tariff' ? { ...table, select } : table));
  await tables.remap(keyless, back);
  await expect(tables.run('verify')).rejects.toThrow(/0 rows differ, 1 checks do not hold/);
  await tables.remap(mapped, back);
  await agree();
});

it('a repair by a key that no row can have is refused, and stops no later batch', async () => {
  const repair = (...keys: readonly string[]) =>
    tables.run(
      'repair',
      '--side',
      'green',
      '--table',
      'colour',
      ...keys.flatMap((k) => ['--key', k]),
    );
  await expect(repair('["one"]')).rejects.toThrow(
    /^No row of public\.colour has such a key \(id\)/,
  );
  // 2^53 + 1, which is 2^53 to JSON.
  for (const key of ['[9007199254740993]', '[null]']) {
    await expect(repair(key)).rejects.toThrow(/^--key .*: write a JSON array of texts/);
  }
  await expect(repair('["1", "2"]')).rejects.toThrow(/the key of public\.colour is \(id\)/);
  await tables.run('follow', '--once');
});

it('changes that have waited for weeks are brought', async () => {
  await query(tables.blue, 'update colour set r = 0 where id = 1');
  await query(tables.blue, "update migrate.change set changed_at = now() - interval '60 days'");
  await tables.run('follow', '--once');
  await agree();
});
