import type pg from 'pg';
import { foreignKeys } from './catalog.ts';
import type { Side } from './database.ts';
import { sentenceOf } from './failure.ts';
import type { Check } from './mapping.ts';
import type { Run } from './migration.ts';
import { quoted, quotedTable, textOf } from './names.ts';
import { keyless } from './projection.ts';
import { mappedTables, type Route } from './resolve.ts';

/** A session in each database, at one point of time. */
export type Sessions = Readonly<Record<Side, pg.Client>>;

/**
 * Sentences of what does not hold: the mapping's checks, a key for each row, and foreign keys, but those
 * between tables of `untouched` (`blue public.account`), which were asked before and hold what they held.
 */
export async function brokenChecks(
  run: Run,
  sessions: Sessions,
  untouched: ReadonlySet<string>,
): Promise<readonly string[]> {
  const broken: string[] = [];
  for (const check of run.mapping.checks) {
    const said = await checkOne(check, sessions).catch(
      (error: unknown) => `${check.name}: it cannot be asked: ${sentenceOf(error)}`,
    );
    if (said !== undefined) broken.push(said);
  }
  for (const route of [run.routes.forward, run.routes.reverse]) {
    if (route !== undefined) broken.push(...(await keylessRows(route, sessions)));
  }
  for (const side of ['blue', 'green'] as const) {
    broken.push(...(await brokenReferences(run, side, sessions[side], untouched)));
  }
  return broken;
}

async function checkOne(check: Check, sessions: Sessions): Promise<string | undefined> {
  if ('equal' in check) {
    const [blue, green] = [
      await rowsOf(sessions.blue, check.equal.blue),
      await rowsOf(sessions.green, check.equal.green),
    ];
    if (blue === green) return undefined;
    return `${check.name}: blue says ${blue}, green says ${green}`;
  }
  const sides = check.on === 'both' ? (['blue', 'green'] as const) : [check.on];
  for (const side of sides) {
    const found = await rowsOf(sessions[side], check.violations);
    if (found !== '[]') return `${check.name}, ${side}: ${found}`;
  }
  return undefined;
}

/** The first rows of a query as JSON; one that fails leaves its session as it was. */
async function rowsOf(client: pg.Client, sql: string): Promise<string> {
  // One of the two sessions is in the transaction whose snapshot all others are to be asked in.
  const inside = client.getTransactionStatus() === 'T';
  if (inside) await client.query('savepoint migrate_check');
  try {
    return await askRows(client, sql);
  } catch (error) {
    if (inside) await client.query('rollback to savepoint migrate_check');
    throw error;
  }
}

async function askRows(client: pg.Client, sql: string): Promise<string> {
  const { rows } = await client.query<{ found: string }>(
    `select coalesce(json_agg(q), '[]')::text as found from (
       select to_json(c.*) as q from (${sql}\n) c limit 10) q`,
  );
  return rows[0]?.found ?? '[]';
}

/** A row without a key lies in no range and stands in for none: no comparison finds that it is missing. */
async function keylessRows(
  { origin, destination, tables }: Route,
  sessions: Sessions,
): Promise<readonly string[]> {
  const broken: string[] = [];
  for (const table of tables) {
    const { rowCount } = await sessions[origin.side].query(keyless(table));
    if (rowCount === 0) continue;
    broken.push(
      `${origin.side}: the projection for ${textOf(table.target)} gives rows without a key ` +
        `(${table.key.join(', ')} is null), which ${destination.side} cannot have. Leave them out by ` +
        '"where", or give them a key.',
    );
  }
  return broken;
}

/** Foreign keys that hold are not checked while the tool writes, so they are asked here. */
async function brokenReferences(
  run: Run,
  side: Side,
  client: pg.Client,
  untouched: ReadonlySet<string>,
): Promise<readonly string[]> {
  const broken: string[] = [];
  for (const key of await foreignKeys(client, mappedTables(run.routes, side))) {
    if (!key.holds) continue;
    const ends = [key.table, key.refers];
    if (ends.every((table) => untouched.has(`${side} ${textOf(table)}`))) continue;
    const on = key.columns.map(
      (name, at) => `p.${quoted(key.referred[at] ?? '')} = c.${quoted(name)}`,
    );
    const given = key.columns.map((name) => `c.${quoted(name)} is not null`);
    const { rows } = await client.query<{ found: string }>(
      `select json_build_array(${key.columns.map((name) => `c.${quoted(name)}`).join(', ')})::text
         as found
       from ${quotedTable(key.table)} c where ${given.join(' and ')} and not exists (
         select 1 from ${quotedTable(key.refers)} p where ${on.join(' and ')}) limit 3`,
    );
    if (rows.length === 0) continue;
    const values = rows.map(({ found }) => found).join(', ');
    broken.push(
      `${side}: ${textOf(key.table)} refers to rows of ${textOf(key.refers)} that are not there ` +
        `(${key.name}: ${values})`,
    );
  }
  return broken;
}
