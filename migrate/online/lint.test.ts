import { beforeAll, expect, test } from 'vitest';
import { forms, shapes } from './forms.ts';
import { lint, refusals } from './lint.ts';
import { migrationOf } from './migration.ts';
import { base, found, refused } from './proof/refused.ts';
import { rules } from './rules.ts';
import { loadGrammar } from './sql.ts';

beforeAll(loadGrammar);

const star = '*';
test.for(shapes)('$id: its example is recognised, and judged as the table says', (form) => {
  const { sql, before } = form.example;
  const expected = form.verdict === 'allowed' ? [] : [form.id];
  expect(refused(sql, 'expand', before)).toEqual(expected);
  const inContract = form.verdict === 'refused' ? [form.id] : [];
  expect(refused(sql, 'contract', before)).toEqual(inContract);
});

test.for(rules)('$id: its example is refused, for that reason only', ({ id, example }) => {
  const versions = id === 'too-new' ? { oldestPostgres: 15 } : { oldestPostgres: 18 };
  const readings = lint([...base, migrationOf('0002_new.expand.sql', example)], versions);
  expect(new Set(refusals(readings).map(({ rule }) => rule))).toContain(id);
});

test('every form has one id, and refusals say what to do instead', () => {
  const ids = [...forms, ...rules].map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const form of forms.filter(({ verdict }) => verdict !== 'allowed')) {
    expect(form.instead, form.id).toBeTruthy();
    expect(form.harm, form.id).toBeDefined();
  }
});

test('a table made by the same migration is not busy: anything may be done with it', () => {
  const sql = `
    create table fresh (id bigint primary key, n integer);
    create index on fresh (n);
    alter table fresh alter column n type bigint, add column m uuid default gen_random_uuid();
    alter table fresh alter column n set not null;
    update fresh set n = 1;
    truncate fresh;`;
  expect(refused(sql)).toEqual([]);
});

test('a table that may be there already, or hides one that is, is not taken for a new one', () => {
  const slow = 'alter table busy alter column n type bigint; create index i on busy (p)';
  const both = ['alter-type', 'create-index'];
  const one = '(id bigint, n integer)';
  expect(refused(`create table if not exists busy ${one}; ${slow}`)).toEqual(
    expect.arrayContaining(both),
  );
  expect(refused(`create temp table busy ${one}; ${slow}`)).toEqual(expect.arrayContaining(both));
  expect(refused('create temp view busy as select 1 as id; truncate busy')).toEqual(['truncate']);
  expect(refused('create temp table busy as select 1 as id; truncate busy')).toEqual(['truncate']);
  expect(refused('create table if not exists added as select 1 as id; truncate added')).toEqual([
    'truncate',
  ]);
});

test('what reads a new table that has rows is refused where it locks one that others use', () => {
  const made = 'create table fresh (id bigint primary key, p bigint)';
  const filled = `${made};\n-- migrate:commit\ninsert into fresh select id, p from busy`;
  const key = 'alter table fresh add constraint f foreign key (p) references busy (id)';
  expect(refused(`${made};\n${key}`)).toEqual([]);
  expect(refused(`${filled};\n-- migrate:commit\n${key}`)).toEqual(['add-foreign-key']);
  const validate = 'alter table fresh validate constraint f';
  expect(refused(`${filled};\n-- migrate:commit\n${key} not valid;\n${validate}`)).toEqual([
    'slow-under-lock',
  ]);
  expect(
    refused(`${filled};\n-- migrate:commit\n${key} not valid;\n-- migrate:commit\n${validate}`),
  ).toEqual([]);
  const index = 'alter table busy add column a integer;\ncreate index on fresh (p)';
  expect(refused(`${filled};\n-- migrate:commit\n${index}`)).toEqual(['slow-under-lock']);
});

test('what PostgreSQL computes is known to be harmless, a function of that name by a migration is not', () => {
  const own = "create function lower(n integer) returns text language sql as 'select null'";
  const insert = "insert into other (id) select length(lower('A')) from generate_series(1, 2)";
  expect(refused(insert)).toEqual([]);
  expect(refused(insert, 'expand', own)).toEqual(['select-call']);
  expect(refused("insert into other (id) values (app.length('A'))")).toEqual(['select-call']);
  expect(refused('select pg_sleep(1)')).toEqual(['select-call']);
  expect(refused("select set_config('lock_timeout', '0', true)")).toEqual(['select-call']);
});

test('rows are locked by batches only, and what a batch does may stand in a with', () => {
  expect(refused('select b.id from busy b join other o on b.id = o.id for share')).toEqual([
    'select-for-update',
    'select-for-update',
  ]);
  expect(refused('insert into other select id from busy for update')).toEqual([
    'select-for-update',
  ]);
  const part = 'select id from busy where id between $1 and $2 for update';
  const moved = `with p as (${part}) update busy b set v = 1 from p where b.id = p.id`;
  expect(refused(`-- migrate:batch busy (id)\n${moved}`)).toEqual([]);
  expect(refused('select id into added from busy; truncate added')).toEqual([]);
});

test('an annotation with a reason excuses its rule for its statement, and nothing else', () => {
  const reason = 'one row, and nobody but the feed reads it';
  const sql = `-- migrate:allow set-not-null because ${reason}
alter table busy alter column filled set not null;
-- migrate:commit
alter table busy alter column p set not null;`;
  const [first, second] = found(sql);
  expect(first).toMatchObject({ rule: 'set-not-null', line: 2, excuse: reason });
  expect(second).toMatchObject({ rule: 'set-not-null', line: 4 });
  expect(second?.excuse).toBeUndefined();
});

test('an annotation without a reason, or that excuses nothing, is refused itself', () => {
  expect(refused('-- migrate:allow truncate\ntruncate busy')).toContain('annotation');
  const idle = '-- migrate:allow truncate because nothing is truncated here\nselect nextval(1)';
  expect(refused(idle)).toEqual(['annotation']);
});

test('words in strings and in function bodies are not taken for annotations or statements', () => {
  expect(refused(`comment on table busy is '-- migrate:commit; truncate busy'`)).toEqual([]);
  expect(refused('select setval(1, 2); /* truncate busy; */')).toEqual([]);
});

test('what holds for a column is known from the migrations before, in the order of their run', () => {
  const widen = 'alter table busy alter column w type text';
  expect(refused(widen)).toEqual([]);
  expect(refused(widen, 'expand', 'alter table busy alter column w type integer')).toEqual([
    'alter-type',
  ]);
  expect(refused('alter table busy alter column w type varchar(20)')).toEqual(['alter-type']);
  expect(refused('alter table unheard alter column w type text')).toEqual(['alter-type']);
});

test('a check proves not null once it is validated, and not before', () => {
  const add = 'alter table busy add constraint full_v check (v is not null) not valid';
  const set = 'alter table busy alter column v set not null';
  expect(refused(set, 'expand', add)).toEqual(['set-not-null']);
  const validated = `${add};\n-- migrate:commit\nalter table busy validate constraint full_v`;
  expect(refused(set, 'expand', validated)).toEqual([]);
  expect(refused(`${validated};\n-- migrate:commit\n${set}`)).toEqual([]);
});

test('of an index without a name, a collation and a column that goes the later statements know', () => {
  const widen = 'alter table busy alter column w type text';
  const lower = 'create index on busy (lower(w))';
  expect(refused(widen, 'expand', lower)).toEqual(['alter-type-indexed']);
  expect(refused(widen, 'expand', 'create index on busy (w) include (t)')).toEqual([]);
  const unlike = 'alter table busy add column c text collate "C" unique';
  expect(refused('alter table busy alter column c type text', 'expand', unlike)).toEqual([
    'alter-type-indexed',
  ]);
  expect(refused('alter table busy alter c type text collate "C"', 'expand', unlike)).toEqual([]);
  const again = `${lower}; alter table busy drop column w, add column w varchar(9)`;
  expect(refused(widen, 'expand', again)).toEqual([]);
  const proof = 'alter table busy add constraint c check (v is not null)';
  const gone = `${proof}; alter table busy drop column v; alter table busy add column v integer`;
  expect(refused('alter table busy alter column v set not null', 'expand', gone)).toEqual([
    'set-not-null',
  ]);
});

test('the locks of tables that a foreign key or a partition joins are counted', () => {
  const key = 'create table child (id bigint references other (id))';
  const drop = 'drop table child;\nalter table busy add column a integer';
  const locked = 'alter table other add column a integer';
  expect(refused(`drop table child;\n${locked}`, 'contract')).toEqual(['several-tables']);
  const first = `alter table other add column a integer;\n-- migrate:commit\n${drop}`;
  expect(refused(first, 'contract', key)).toEqual(['several-tables']);
  const readings = lint([
    ...base,
    migrationOf('0002_before.expand.sql', key),
    migrationOf('0003_new.contract.sql', 'drop table child; alter table other drop column id'),
  ]);
  const uses = readings.at(-1)?.steps.flatMap(({ statements }) => statements.map((s) => s.uses));
  expect(uses).toEqual([
    [{ form: 'drop-table', relation: 'child', also: ['other'] }],
    [{ form: 'drop-column', relation: 'other', also: [] }],
  ]);
});

test('the bounds of a batch bind: an or beside them is refused, one in brackets is not', () => {
  const batch = '-- migrate:batch busy (id)\nupdate busy set v = 1 where id between $1 and $2';
  expect(refused(`${batch} and v is null or n is null`)).toEqual(['batch']);
  expect(refused(`${batch} and (v is null or n is null)`)).toEqual([]);
});

test('a partition is attached without a scan where it has what its parent has, and its check', () => {
  const root = 'create table root (like busy including all) partition by range (id)';
  const check = (columns: string) => `alter table part add constraint c check (${columns})`;
  const attach = 'alter table root attach partition part for values from (0) to (9)';
  const judged = (part: string, columns: string) =>
    refused(attach, 'expand', `${root}; create table part (${part}); ${check(columns)}`);
  expect(judged('like root including all', 'id >= 0 and id < 9')).toEqual([]);
  expect(judged('like root including all', 'n >= 0')).toEqual(['attach-partition']);
  expect(judged('like root', 'id >= 0 and id < 9')).toEqual(['attach-partition']);
});

test('partitions of a table that is new are new themselves', () => {
  const parts =
    'create table root (id bigint) partition by range (id);\n' +
    'create table rest partition of root default;\n' +
    'create table part (id bigint);\n' +
    'alter table root attach partition part for values from (0) to (9);\n' +
    'create index on rest (id)';
  expect(refused(parts)).toEqual([]);
});

test('a new table is in use as soon as it is a partition of one that is', () => {
  const root = 'create table root (id bigint, n integer) partition by range (id)';
  const part = 'create table part (id bigint, n integer);\ncreate index on part (id)';
  const attach = 'alter table root attach partition part for values from (0) to (9)';
  const both = `${part};\n-- migrate:commit\n${attach};\n-- migrate:commit\n`;
  expect(refused(`${both}create index on part (n)`, 'expand', root)).toEqual(['create-index']);
  expect(refused(`${root};\n${both}create index on part (n)`)).toEqual([]);
});

test('an index that is unique goes in a contract only; one that a key uses, or any other, does not matter', () => {
  const unique = 'create unique index u on busy (p) where v is null; create index i on busy (p)';
  expect(refused('drop index u', 'expand', unique)).toEqual(['drop-unique-index']);
  expect(refused('drop index i', 'expand', unique)).toEqual([]);
  expect(refused('drop index u', 'contract', unique)).toEqual([]);
  expect(
    refused('create table fresh (p bigint);\ncreate unique index f on fresh (p);\ndrop index f'),
  ).toEqual([]);
});

test('a trigger that goes locks its table', () => {
  const drop = 'drop trigger t on busy;\ninsert into other select id from busy';
  expect(refused(drop, 'contract')).toEqual(['slow-under-lock']);
  expect(refused(drop.replace('busy;', 'fresh;'), 'contract')).toEqual(['slow-under-lock']);
  const own = `create table fresh (id bigint);\n${drop.replace('busy;', 'fresh;')}`;
  expect(refused(own, 'contract')).toEqual([]);
});

test('a sequence that is altered is locked, and what is slow must not come after it', () => {
  const slow = 'alter sequence busy_numbers increment 2;\ninsert into other select id from busy';
  expect(refused(slow)).toEqual(['slow-under-lock']);
  expect(refused(`create sequence own;\n${slow.replace('busy_numbers', 'own')}`)).toEqual([]);
});

test('two tables in one transaction are refused; the two of one foreign key are not', () => {
  const both =
    'alter table busy add column a integer;\nalter table other add column a integer default 1;';
  expect(refused(both)).toEqual(['several-tables']);
  expect(refused(both.replace(';\n', ';\n-- migrate:commit\n'))).toEqual([]);
  expect(
    refused('alter table busy add constraint f foreign key (p) references other (id) not valid'),
  ).toEqual([]);
});

test('commands of one alter table are judged together: a slow one beside one that blocks is refused', () => {
  const beside = (command: string) => `alter table busy ${command}, validate constraint c`;
  const check = 'alter table busy add constraint c check (n >= 0) not valid';
  const slow = ['slow-under-lock'];
  expect(refused(beside('add constraint c check (n >= 0) not valid'))).toEqual(slow);
  expect(refused(beside('alter column v set default 3'), 'expand', check)).toEqual(slow);
  const foreign = 'add constraint c foreign key (p) references other (id) not valid';
  expect(refused(beside(foreign))).toEqual(slow);
  expect(refused(beside('alter column v set statistics 5'), 'expand', check)).toEqual([]);
  expect(refused('alter table busy alter column v set default 3, alter v drop not null')).toEqual(
    [],
  );
});

test('a star is found in views, queries and function bodies, and a product or a count is none', () => {
  const body = (sql: string) =>
    `create function f() returns integer language plpgsql as $$begin ${sql}; return 1; end$$`;
  expect(refused(body(`insert into other select ${star} from other`))).toEqual(['star']);
  expect(refused(body(`delete from other o returning o.${star}`))).toEqual(['star']);
  expect(refused(body('perform count(*) * 2 from other'))).toEqual([]);
  expect(refused(`create view x as select busy.${star} from busy`)).toEqual(['star']);
  expect(refused('create view x as table busy')).toEqual(['star']);
  expect(refused(`create view x as select distinct on (id) ${star} from busy`)).toEqual(['star']);
  expect(refused(body(`return query select distinct on (id) ${star} from busy`))).toEqual(['star']);
});

test('down may take back what expand added, and may not lose rows of others', () => {
  const up = 'alter table busy add column a integer;\n';
  expect(refused(`${up}-- migrate:down\nalter table busy drop column a`)).toEqual([]);
  const [finding] = found(`${up}-- migrate:down\n\ntruncate other`);
  expect(finding).toMatchObject({ direction: 'down', rule: 'truncate', line: 4 });
});

test('a syntax error names its line', () => {
  const [finding] = found('select 1;\nalter table busy\n  add colum x integer y;\n');
  expect(finding).toMatchObject({ rule: 'syntax', line: 3 });
  expect(finding?.sentence).toContain('syntax error');
});

test('positions hold in a text with characters of several bytes', () => {
  const [finding] = found('-- naïve — ключ\nselect 1;\n\ntruncate busy;');
  expect(finding).toMatchObject({ rule: 'truncate', line: 4 });
});
