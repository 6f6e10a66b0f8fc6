import { beforeAll, expect, test } from 'vitest';
import { refused } from './proof/refused.ts';
import { loadGrammar } from './sql.ts';

beforeAll(loadGrammar);

test('a query of rows is slow: not under a lock, in whatever it stands', () => {
  const after = (sql: string) => refused(`alter table busy add column a integer;\n${sql}`);
  const slow = ['slow-under-lock'];
  expect(after('select count(id) from other')).toEqual(slow);
  expect(after("select setval('busy_numbers', (select max(id) from other))")).toEqual(slow);
  expect(after('insert into other (id) values ((select max(n) from busy))')).toEqual(slow);
  expect(after("select setval('busy_numbers', 7)")).toEqual([]);
  expect(after('insert into other (id) values (1)')).toEqual([]);
  expect(after('insert into other default values')).toEqual([]);
  expect(refused('select count(id) from busy')).toEqual([]);
});

test('an insert ... select locks rows that are there: those it meets, and those it refers to', () => {
  const meet = 'insert into busy (id, filled) select id, 0 from other on conflict (id) do';
  expect(refused(`${meet} update set v = 1`)).toEqual(['update-whole']);
  expect(refused(`${meet} nothing`)).toEqual([]);
  const child = 'create table child (busy_id bigint references busy (id))';
  const refer = 'insert into child select id from busy';
  expect(refused(refer, 'expand', child)).toEqual(['insert-select-references']);
  expect(refused(`${child};\n-- migrate:commit\n${refer}`)).toEqual(['insert-select-references']);
  expect(refused('insert into child values (1)', 'expand', child)).toEqual([]);
  const own =
    'create table parent (id bigint primary key);\ncreate table child (id bigint references parent)';
  expect(refused(`${own};\ninsert into child select id from busy`)).toEqual([]);
});

test('an annotation excuses one statement, also where two stand in one line', () => {
  const reason = '-- migrate:allow truncate because nobody reads the rows of this one';
  expect(refused(`${reason}\ntruncate busy; truncate busy;`)).toEqual(['truncate']);
});

test('batches of no rows are refused: they would never end, or do nothing', () => {
  const batch = (rows: string) =>
    refused(
      `-- migrate:batch busy (id) rows ${rows}\nupdate busy set v = 1 where id between $1 and $2`,
    );
  expect(batch('0')).toContain('annotation');
  expect(batch('9000000')).toEqual([]);
});

test('the bounds of a batch are those of its key, and both ends belong to it', () => {
  const update = (where: string) =>
    refused(`-- migrate:batch busy (id)\nupdate busy set v = 1 where ${where}`);
  expect(update('id > $1 and id <= $2')).toEqual(['batch']);
  expect(update('n between $1 and $2')).toEqual(['batch']);
  expect(update('id between $2 and $1')).toEqual(['batch']);
  expect(update('abs(id) between $1 and $2')).toEqual(['batch']);
  expect(update('busy.id >= $1::bigint and id <= $2::bigint and v is null')).toEqual([]);
  // As text 10 comes before 9: rows would be met twice, or never.
  expect(update('id::text between $1 and $2')).toEqual(['batch']);
});

test('the bounds of a batch are those of the table that it names, and choose its rows', () => {
  const batch = (table: string, sql: string) => refused(`-- migrate:batch ${table} (id)\n${sql}`);
  const joined = 'update busy b set v = 1 from other o where b.p = o.id and';
  expect(batch('busy', `${joined} o.id between $1 and $2`)).toEqual(['batch']);
  expect(batch('busy', `${joined} b.id between $1 and $2`)).toEqual([]);
  expect(batch('other', `${joined} o.id between $1 and $2`)).toEqual([]);
  const whole = 'update busy set v = 1 where';
  expect(batch('other', `${whole} id between $1 and $2`)).toEqual(['batch']);
  expect(batch('busy', 'update busy set v = (id between $1 and $2)::integer')).toEqual(['batch']);
  const part = '(select id from busy where id between $1 and $2)';
  expect(batch('busy', `${whole} id in ${part}`)).toEqual([]);
  expect(
    batch('public.busy', `insert into other select id from busy where id >= $1 and id <= $2`),
  ).toEqual([]);
});

test('values of another table are no key that is written out', () => {
  const from = 'update busy b set v = 1 from other o where';
  expect(refused(`${from} o.id = 7`)).toEqual(['update-whole']);
  expect(refused(`${from} id = 7`)).toEqual(['update-whole']);
  expect(refused(`${from} b.id = 7 and o.id = b.p`)).toEqual([]);
  expect(refused('delete from busy using other o where o.id = 7')).toEqual(['update-whole']);
  expect(refused('update busy set v = 1 where busy.id = 7')).toEqual([]);
});
