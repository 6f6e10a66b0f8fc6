import { readFile } from 'node:fs/promises';
import type pg from 'pg';
import type { Input } from './command.ts';
import { type Database, inTransaction, otherSide, type Side } from './database.ts';
import { Failure, sqlStateOf } from './failure.ts';
import type { Run } from './migration.ts';
import { literal, quoted, textOf } from './names.ts';
import { mappedTables } from './resolve.ts';

const serverName = 'migrate_other_side';
const wrapper = 'postgres_fdw';
const ourComment = 'made by migrate for foreign tables; goes with them';

/**
 * For stragglers: makes foreign tables on one side, in schema `migrate_other_side`, for every mapped
 * table of the other. Whoever cannot be moved in time reads and writes through them. Gives their
 * names. Needs postgres_fdw and the right to create it.
 */
export async function makeForeignTables(
  run: Run,
  side: Side,
  input: Input,
): Promise<readonly string[]> {
  const here = side === 'blue' ? run.blue : run.green;
  const wanted = (name: string) => {
    const value = input.text(name);
    if (value === undefined) throw new Failure(`--${name} is missing: "migrate help foreign".`);
    return value;
  };
  const role = wanted('role');
  const password = (await readFile(wanted('password-file'), 'utf8')).trim();
  const server = ['host', 'port'].map((name) => `${name} ${literal(wanted(name))}`);
  const tables = mappedTables(run.routes, otherSide(side));
  const known = await here.main.query(
    `select 1 from pg_extension e where e.extname = '${wrapper}'`,
  );
  const sql = [
    // Marked as ours, so that it goes again; one that was there stays.
    ...(known.rowCount === 0
      ? [`create extension ${wrapper}`, `comment on extension ${wrapper} is ${literal(ourComment)}`]
      : []),
    `drop server if exists ${serverName} cascade`,
    `drop schema if exists ${serverName} cascade`,
    `create schema ${serverName}`,
    `create server ${serverName} foreign data wrapper postgres_fdw
     options (${server.join(', ')}, dbname ${literal(wanted('database'))})`,
    ...[...new Set([role, (await whoAmI(here.main)) ?? role])].map(
      (user) => `create user mapping for ${quoted(user)} server ${serverName}
        options (user ${literal(wanted('remote-role'))}, password ${literal(password)})`,
    ),
    ...tables.map(
      ({ schema, name }) => `import foreign schema ${quoted(schema)} limit to (${quoted(name)})
        from server ${serverName} into ${serverName}`,
    ),
    `grant usage on schema ${serverName} to ${quoted(role)}`,
    `grant select, insert, update, delete on all tables in schema ${serverName} to ${quoted(role)}`,
  ];
  await inTransaction(here.main, async () => {
    for (const statement of sql) await here.main.query(statement);
  });
  for (const table of tables) {
    run.report.line(
      `${side}: ${serverName}.${table.name} reaches ${textOf(table)} of the other side`,
    );
  }
  return tables.map(({ name }) => `${serverName}.${name}`);
}

/** Takes all of it away again, and the extension where {@link makeForeignTables} made it. */
export async function removeForeignTables(database: Database): Promise<void> {
  await database.main.query(`drop server if exists ${serverName} cascade`);
  await database.main.query(`drop schema if exists ${serverName}`);
  const { rowCount } = await database.main.query(
    `select 1 from pg_extension e
     where e.extname = $1 and obj_description(e.oid, 'pg_extension') = $2`,
    [wrapper, ourComment],
  );
  if (rowCount === 0) return;
  try {
    await database.main.query(`drop extension ${wrapper}`);
  } catch (error) {
    // dependent_objects_still_exist: somebody else uses it by now, so it is theirs.
    if (sqlStateOf(error) !== '2BP01') throw error;
    await database.main.query(`comment on extension ${wrapper} is null`);
  }
}

async function whoAmI(client: pg.Client): Promise<string | undefined> {
  const { rows } = await client.query<{ name: string }>('select current_user as name');
  return rows[0]?.name;
}
