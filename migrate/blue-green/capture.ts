import { createHash } from 'node:crypto';
import type pg from 'pg';
import { tableShape } from './catalog.ts';
import { atOnce } from './database.ts';
import { Failure, sqlStateOf } from './failure.ts';
import { holdersOf, type Purpose } from './holders.ts';
import { literal, quoted, quotedTable, type TableName, textOf } from './names.ts';
import type { ResolvedSource } from './projection.ts';

const guardName = 'migrate_guard';
const captureNames = {
  insert: 'migrate_capture_insert',
  update: 'migrate_capture_update',
  delete: 'migrate_capture_delete',
  truncate: 'migrate_capture_truncate',
} as const;
/** Every trigger that the tool makes on a mapped table. */
const triggerNames: readonly string[] = [guardName, ...Object.values(captureNames)];

/**
 * An autovacuum makes way for whoever has waited `deadlock_timeout` (1 s): with this it does so before
 * our lock timeout. Only a superuser, or who was granted it, may set that.
 */
export const yieldAutovacuum = `select set_config('deadlock_timeout', '10ms', true)
  where has_parameter_privilege('deadlock_timeout', 'set')`;

const lockTimeoutMs = 200;
const lockAttemptsMax = 50;

/**
 * DDL on one table, in a short transaction that gives up its place in the queue of locks and tries
 * again: writers that stand behind it wait 0.2 s at most.
 */
async function patiently(
  client: pg.Client,
  table: TableName,
  purpose: Purpose,
  ddl: readonly string[],
  attemptsMax = lockAttemptsMax,
) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const begin = `set local lock_timeout = '${lockTimeoutMs}ms'; ${yieldAutovacuum}`;
      return await atOnce(client, [begin, ...ddl]);
    } catch (error) {
      // lock_not_available, deadlock_detected
      if (!['55P03', '40P01'].includes(sqlStateOf(error))) throw error;
      if (attempt >= attemptsMax) {
        throw new Failure(
          `${textOf(table)} could not be locked in ${attempt} attempts of ${lockTimeoutMs} ms, so ` +
            `nothing was done. ${await holdersOf(client, [table], purpose)} End them and start again.`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50 + 10 * Math.min(attempt, 20)));
    }
  }
}

/** Where rows of a table can be written directly: itself and its partitions. */
async function placesOf(client: pg.Client, table: TableName): Promise<readonly TableName[]> {
  const shape = await tableShape(client, table);
  return shape?.places ?? [];
}

/** Puts the guard on a table and its partitions, armed or not. Idempotent. */
export async function setGuard(
  client: pg.Client,
  table: TableName,
  armed: boolean,
  attemptsMax?: number,
): Promise<void> {
  for (const place of await placesOf(client, table)) {
    const found = await triggersOf(client, place);
    const state = found.get(guardName);
    if (state === (armed ? 'A' : 'D')) continue;
    const onTable = quotedTable(place);
    const create = `create trigger ${guardName} before insert or update or delete or truncate
      on ${onTable} for each statement execute function migrate.guard()`;
    const enable = `alter table ${onTable} ${armed ? 'enable always' : 'disable'} trigger ${guardName}`;
    const ddl = state === undefined ? [create, enable] : [enable];
    await patiently(client, place, 'make trigger', ddl, attemptsMax);
  }
}

/**
 * Starts capture on a table and its partitions. When this returns, no transaction is under way that
 * wrote before: the trigger waits for them, so whatever is read from now on or logged is all.
 */
export async function captureTable(client: pg.Client, source: ResolvedSource): Promise<void> {
  await refuseOtherCapture(client, [source]);
  for (const place of await placesOf(client, source.table)) {
    const found = await triggersOf(client, place);
    const isThere = Object.values(captureNames).every((name) => found.get(name) === 'A');
    if (isThere && (await othersOf(client, [source])).length === 0) continue;
    await patiently(client, place, 'make trigger', captureDdl(source, place));
  }
}

/** What is logged of each row, as the comment on the functions says it. */
const captured = ({ columns }: ResolvedSource) => columns.map(({ name }) => name).join(', ');

/** Sources of which other columns are captured than the mapping asks for, with these. */
async function othersOf(client: pg.Client, sources: readonly ResolvedSource[]) {
  const { rows } = await client.query<{ table: string; said: string; wanted: string }>(
    `select s."table", coalesce(obj_description(f.oid, 'pg_proc'), '') as said, s.wanted
     from unnest($1::text[], $2::text[], $3::text[]) s("table", name, wanted)
     cross join lateral (select to_regprocedure(s.name)::oid as oid) f
     where f.oid is not null and obj_description(f.oid, 'pg_proc') is distinct from s.wanted`,
    [
      sources.map(({ table }) => textOf(table)),
      sources.map(({ table }) => `${functionNames(table).delete}()`),
      sources.map(captured),
    ],
  );
  return rows;
}

/**
 * Refuses a mapping that needs other columns of a changed row than those that were logged so far: what
 * was written meanwhile could not be found. Where the database is not live nobody writes, so there
 * {@link captureTable} begins anew.
 */
export async function refuseOtherCapture(
  client: pg.Client,
  sources: readonly ResolvedSource[],
): Promise<void> {
  const [other] = await othersOf(client, sources);
  if (other === undefined) return;
  const live = await client.query(
    `select from migrate.control c where c.state in ('live', 'fenced')`,
  );
  if (live.rowCount === 0) return;
  throw new Failure(
    `Of changes of ${other.table} the columns (${other.said}) are captured, but this mapping needs ` +
      `(${other.wanted}); what was written since would be lost. Use the mapping that it was ` +
      'prepared with, or "migrate abort" and prepare by this one.',
  );
}

/** Whether all captures of a table and its partitions are there and enabled. */
export async function isCaptured(client: pg.Client, table: TableName): Promise<boolean> {
  for (const place of await placesOf(client, table)) {
    const found = await triggersOf(client, place);
    if (!Object.values(captureNames).every((name) => found.get(name) === 'A')) return false;
  }
  return true;
}

/** Whoever writes and however their session is set, a key is logged as the tool itself writes it. */
const writtenAlike = `set timezone = 'UTC' set datestyle = 'ISO, YMD' set intervalstyle = 'postgres'
  set bytea_output = 'hex' set extra_float_digits = 1 set lc_monetary = 'C'`;

function captureDdl(source: ResolvedSource, place: TableName): readonly string[] {
  const name = textOf(source.table);
  const columns = (alias: string) =>
    `jsonb_build_array(${source.columns.map(({ name: of }) => `${alias}.${quoted(of)}::text`).join(', ')})`;
  const from: Readonly<Record<string, string>> = {
    insert: `select ${columns('n')} as key from new_rows n`,
    update: `select ${columns('o')} as key from old_rows o union select ${columns('n')} from new_rows n`,
    delete: `select ${columns('o')} as key from old_rows o`,
  };
  const tables: Readonly<Record<string, string>> = {
    insert: 'referencing new table as new_rows',
    update: 'referencing old table as old_rows new table as new_rows',
    delete: 'referencing old table as old_rows',
  };
  const onTable = quotedTable(place);
  const functions = functionNames(source.table);
  const events = ['insert', 'update', 'delete'] as const;
  return [
    ...events.flatMap((event) => [
      `create or replace function ${functions[event]}() returns trigger language plpgsql
       security definer set search_path = pg_catalog, pg_temp ${writtenAlike} as ${literal(`begin
         if current_setting('migrate.origin', true) =
            (select c.migration_id::text from migrate.control c) then
           return null;
         end if;
         insert into migrate.change (source_table, key, action)
         select ${literal(name)}, k.key, ${literal(event[0] ?? '')} from (${from[event]}) k;
         return null;
       end`)}`,
      `comment on function ${functions[event]}() is ${literal(captured(source))}`,
      `drop trigger if exists ${captureNames[event]} on ${onTable}`,
      `create trigger ${captureNames[event]} after ${event} on ${onTable} ${tables[event]}
       for each statement execute function ${functions[event]}()`,
      `alter table ${onTable} enable always trigger ${captureNames[event]}`,
    ]),
    `create or replace function ${functions.truncate}() returns trigger language plpgsql as ${literal(
      `begin
         raise exception using errcode = 'MG002',
           message = ${literal(`${name} is being migrated: truncate would lose rows unseen`)},
           hint = 'Delete the rows instead.';
       end`,
    )}`,
    `drop trigger if exists ${captureNames.truncate} on ${onTable}`,
    `create trigger ${captureNames.truncate} before truncate on ${onTable}
     for each statement execute function ${functions.truncate}()`,
    `alter table ${onTable} enable always trigger ${captureNames.truncate}`,
  ];
}

function functionNames(table: TableName) {
  const digest = createHash('sha256').update(textOf(table)).digest('hex').slice(0, 16);
  const of = (event: string) => `migrate.capture_${event}_${digest}`;
  return {
    insert: of('insert'),
    update: of('update'),
    delete: of('delete'),
    truncate: of('truncate'),
  };
}

/** Takes our triggers off a table and its partitions; `capture` leaves the guard. */
export async function removeTriggers(
  client: pg.Client,
  table: TableName,
  which: 'all' | 'capture' = 'all',
): Promise<void> {
  for (const place of await placesOf(client, table)) {
    const found = await triggersOf(client, place);
    const ours = triggerNames.filter(
      (name) => found.has(name) && (which === 'all' || name !== guardName),
    );
    if (ours.length === 0) continue;
    await patiently(
      client,
      place,
      'drop trigger',
      ours.map((name) => `drop trigger ${name} on ${quotedTable(place)}`),
    );
  }
}

/** Our triggers on a table, each with how it is enabled (A always, O, R, D disabled). */
async function triggersOf(
  client: pg.Client,
  table: TableName,
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await client.query<{ name: string; enabled: string }>(
    `select t.tgname as name, t.tgenabled as enabled from pg_trigger t
     where t.tgrelid = to_regclass($1) and t.tgname = any($2)`,
    [quotedTable(table), triggerNames],
  );
  return new Map(rows.map(({ name, enabled }) => [name, enabled]));
}
