import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Pair, query } from './databases.ts';

/** Numbers from a seed, each from 0 to below `bound`. */
export type Dice = (bound: number) => number;

/** The same seed gives the same numbers on every machine. */
export function makeDice(seed: number): Dice {
  let drawn = 0;
  return (bound) => {
    drawn += 1;
    const digest = createHash('sha256').update(`${seed}/${drawn}`).digest();
    return digest.readUInt32BE(0) % bound;
  };
}

/** One thing made wrong in one row, and what `verify` has to say of it. */
export interface Corruption {
  readonly side: 'blue' | 'green';
  readonly table: string;
  readonly key: string;
  readonly kind: 'missing' | 'extra' | 'differs';
  /** A sentence for people: what was done. */
  readonly done: string;
  /** It points to a row that is not there, which verify has to say too. */
  readonly breaksReference: boolean;
}

/** Past guard, capture and foreign keys, as a defect of the tool, of a script or of a disk would. */
export async function corrupt(pair: Pair, side: 'blue' | 'green', sql: string): Promise<void> {
  await query(
    pair[side],
    `begin; select set_config('migrate.origin', (select c.migration_id::text from migrate.control c), true);
     set local session_replication_role = replica; ${sql}; commit`,
  );
}

/**
 * How `verify` ends where so many rows of one side are wrong. Each counts for the other side, too,
 * where its range is compared again, as after any transaction of the server that was open meanwhile.
 */
export const rowsDiffer = (rows: number) =>
  new RegExp(`^verify: (${rows}|${2 * rows}) rows differ`);

const tables = {
  blue: ['customer', 'profile', 'account', 'transfer'],
  green: ['person', 'wallet', 'wallet_state', 'movement'],
} as const;
/** Columns that point to rows of another table. */
const references: Readonly<Record<string, readonly string[]>> = {
  account: ['customer_id'],
  transfer: ['from_id', 'to_id'],
  wallet: ['owner_id'],
  movement: ['from_id', 'to_id'],
};
/** The smallest change of a value that its type allows. */
const changes: Readonly<Record<string, (column: string) => string>> = {
  text: (column) => `coalesce(${column}, '') || 'x'`,
  bpchar: () => "'ZZZ'",
  numeric: (column) => `${column} + 0.01`,
  int4: (column) => `${column} + 1`,
  int8: (column) => `${column} + 1`,
  timestamptz: (column) => `${column} + interval '1 microsecond'`,
  jsonb: (column) => `coalesce(${column}, '{}') || '{"corrupt": 1}'`,
};

const columnSchema = z.object({ name: z.string(), type: z.string(), nullable: z.boolean() });

/** Draws a row and what is done to it, and does it. */
export async function corruptOneRow(pair: Pair, dice: Dice): Promise<Corruption> {
  const side = dice(3) === 0 ? 'blue' : 'green';
  const table = tables[side][dice(tables[side].length)] ?? 'person';
  const columns = await columnsOf(pair[side], table);
  const [keyColumn, ...rest] = columns;
  if (keyColumn === undefined) throw new Error(`${table} has no columns`);
  const key = await drawKey(pair[side], table, keyColumn.name, dice);
  const where = `${keyColumn.name}::text = '${key}'`;
  const at = { side, table: `public.${table}`, breaksReference: false } as const;
  const kind = dice(4);
  if (kind === 0) {
    await corrupt(pair, side, `delete from ${table} where ${where}`);
    return { ...at, key, kind: 'missing', done: 'the row is deleted' };
  }
  if (kind === 1) {
    const other =
      keyColumn.type === 'uuid' ? `00000000${key.slice(8)}` : `9${key.padStart(8, '0')}`;
    const changed = table === 'person' || table === 'customer' ? `, 'email', 'x' || r.email` : '';
    await corrupt(
      pair,
      side,
      `insert into ${table} overriding system value select (jsonb_populate_record(r,
         jsonb_build_object('${keyColumn.name}', '${other}'${changed}))).* from ${table} r
       where ${where}`,
    );
    return { ...at, key: other, kind: 'extra', done: `a copy of row ${key} is inserted` };
  }
  const pointing = references[table];
  if (kind === 2 && pointing !== undefined) {
    const column = pointing[dice(pointing.length)] ?? '';
    await corrupt(pair, side, `update ${table} set ${column} = 888888888 where ${where}`);
    const done = `${column} points nowhere`;
    return { ...at, key, kind: 'differs', done, breaksReference: true };
  }
  const column = rest[dice(rest.length)];
  if (column === undefined) throw new Error(`${table} has no column but its key`);
  return { ...at, ...(await changeColumn(pair, side, table, column, where, dice)), key };
}

async function changeColumn(
  pair: Pair,
  side: 'blue' | 'green',
  table: string,
  column: z.infer<typeof columnSchema>,
  where: string,
  dice: Dice,
) {
  const { name, type, nullable } = column;
  const [row] = await query(
    pair[side],
    `select r.${name} is null as empty from ${table} r where r.${where}`,
  );
  const toNull = nullable && row?.empty !== true && dice(3) === 0;
  const value = toNull ? 'null' : changes[type]?.(name);
  if (value === undefined) throw new Error(`no change is known for ${type}`);
  await corrupt(pair, side, `update ${table} set ${name} = ${value} where ${where}`);
  return { kind: 'differs', done: `${name} becomes ${value}` } as const;
}

async function columnsOf(url: string, table: string) {
  const rows = await query(
    url,
    `select a.attname as name, t.typname as type, not a.attnotnull as nullable
     from pg_attribute a join pg_type t on t.oid = a.atttypid
     where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [table],
  );
  return z.array(columnSchema).parse(rows);
}

async function drawKey(url: string, table: string, column: string, dice: Dice): Promise<string> {
  const [count] = await query(url, `select count(*)::int as n from ${table}`);
  const [row] = await query(
    url,
    `select r.${column}::text as key from ${table} r order by r.${column} offset $1 limit 1`,
    [dice(z.number().parse(count?.n))],
  );
  return z.string().parse(row?.key);
}

/** Whether the last verification has kept exactly this row for `repair`. */
export async function isListed(pair: Pair, corruption: Corruption): Promise<boolean> {
  const rows = await query(
    pair.green,
    `select 1 from migrate.difference d
     where d.side = $1 and d.target_table = $2 and d.key = jsonb_build_array($3::text) and d.kind = $4`,
    [corruption.side, corruption.table, corruption.key, corruption.kind],
  );
  return rows.length === 1;
}
