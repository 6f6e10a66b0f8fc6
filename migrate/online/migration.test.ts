import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lint } from './lint.ts';
import { migrationOf, readMigrations } from './migration.ts';
import { MigrationRefused } from './refused.ts';
import { loadGrammar, readStatements, SqlUnreadable } from './sql.ts';

async function read(bytes: Uint8Array) {
  const directory = await mkdtemp(join(tmpdir(), 'migration-'));
  try {
    await writeFile(join(directory, '0001_text.expand.sql'), bytes);
    return await readMigrations(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test('a file that is not UTF-8 is refused, not read with other characters in it', async () => {
  await expect(read(Buffer.from("select 'é'", 'latin1'))).rejects.toThrow(/not a text in UTF-8/);
  await expect(read(Buffer.from('select 1;\0 drop table busy'))).rejects.toThrow(/UTF-8/);
  const [marked] = await read(Buffer.from("\uFEFFselect 'é'"));
  expect(marked?.sql).toBe("select 'é'");
});

test('a file without a phase in its name is refused with a sentence', () => {
  expect(() => migrationOf('0009_labels.sql', 'select 1')).toThrow(MigrationRefused);
});

test('a down section begins at its line however that is indented, and nothing of it is run by up', async () => {
  await loadGrammar();
  const up = 'create table fresh (id bigint);';
  for (const marker of [
    '   -- migrate:down',
    '\t-- migrate: down ',
    '-- Migrate:Down',
    '--migrate :down',
  ]) {
    const found = migrationOf('0001_fresh.expand.sql', `${up}\n${marker}\ndrop table fresh;\n`);
    expect(found.sql, marker).toBe(`${up}\n`);
    expect(lint([found]).map(({ direction, steps }) => [direction, steps.length])).toEqual([
      ['up', 1],
      ['down', 1],
    ]);
    expect(lint([found]).flatMap(({ findings }) => findings)).toEqual([]);
  }
  const beside = migrationOf('0001_fresh.expand.sql', `${up} -- migrate:down\ndrop table fresh;`);
  expect(lint([beside])[0]?.findings).toMatchObject([{ rule: 'annotation' }]);
  const twice = `${up}\n-- migrate:down\nselect 1;\n-- migrate:down\ndrop table fresh;`;
  expect(lint([migrationOf('0001_fresh.expand.sql', twice)])[1]?.findings).toMatchObject([
    { rule: 'annotation', line: 4 },
  ]);
});

test('a down section may be empty: taking it back needs nothing', async () => {
  await loadGrammar();
  const text = 'create table fresh (id bigint);\n-- migrate:down\n-- the table may stay\n';
  const readings = lint([migrationOf('0001_fresh.expand.sql', text)]);
  expect(readings.map(({ steps, findings }) => [steps.length, findings.length])).toEqual([
    [1, 0],
    [0, 0],
  ]);
});

test('a file of many statements is read in time that grows with it, no faster', async () => {
  await loadGrammar();
  const lines = (count: number) =>
    Array.from({ length: count }, (_, n) => `-- row ${n}\ninsert into t (a) values (${n});`);
  const costMs = (count: number) => {
    const begun = process.cpuUsage();
    const sql = lines(count).join('\n');
    expect(readStatements(sql).statements.at(-1)?.line).toBe(count * 2);
    const { user, system } = process.cpuUsage(begun);
    return (user + system) / 1_000;
  };
  costMs(1_000);
  expect(costMs(16_000)).toBeLessThan(costMs(2_000) * 32);
});

test('a mistake behind characters of several bytes is told with its line', async () => {
  await loadGrammar();
  const sql = `-- ${'ключ'.repeat(50)}\n`.repeat(20);
  try {
    readStatements(`${sql}create tabel t (a int)`);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(SqlUnreadable);
    expect(error).toMatchObject({ line: 21 });
  }
});

test('a condition of many parts is read, or refused, and nothing is stuck', async () => {
  await loadGrammar();
  for (const depth of [5_000, 50_000]) {
    const sql = `select ${Array.from({ length: depth }, () => '1').join(' + ')}`;
    const [reading] = lint([migrationOf('0001_deep.expand.sql', sql)]);
    expect(reading?.findings.length).toBeLessThanOrEqual(1);
  }
  expect(lint([migrationOf('0001_next.expand.sql', 'select 1')])[0]?.findings).toEqual([]);
});
