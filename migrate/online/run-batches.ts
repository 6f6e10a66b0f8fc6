import { setTimeout as sleep } from 'node:timers/promises';
import { quoted } from './blockers.ts';
import { noteBegun, noteCursor, type StepId, type StepRow } from './journal.ts';
import { MigrationRefused } from './refused.ts';
import type { Batch, Judged } from './script.ts';
import { attempt, backOff, type Session } from './session.ts';

/** A range of keys, both ends included. */
interface Range {
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly rows: number;
}

const tellMs = 1_000;
const pauseMs = 1_000;

/**
 * Runs a statement for all rows of a table, a range of its key at a time, each in a transaction of
 * its own together with the journal's note of how far it is. Goes on where a killed run was. Rows
 * that are inserted behind the cursor are not met: from expand on, the release writes them right.
 */
export async function runBatches(
  session: Session,
  what: string,
  { text, batch }: Judged & { readonly batch: Batch },
  id: StepId,
  former: StepRow | undefined,
): Promise<void> {
  const { client, limits } = session;
  await refuseUnlessKey(session, what, batch);
  if (former !== undefined && former.rowsDone > 0 && former.checksum !== id.checksum) {
    const sentence = `${what}: its text was changed; the ${former.rowsDone} rows that are done stay as they are`;
    session.tell({ kind: 'batch', sentence, data: { done: former.rowsDone } });
  }
  await noteBegun(client, id);
  const report = reporter(session, what, await rowsOf(session, batch.table), former?.rowsDone ?? 0);
  let cursor = former?.cursor;
  let size = Math.min(batch.rows, limits.batchRowsFirstMax);
  let failures = 0;
  for (;;) {
    await whileOthersSuffer(session, what);
    const range = await nextRange(session, batch, cursor, size);
    if (range === undefined) return;
    const begun = performance.now();
    const done = await attempt(client, limits.lockMsMax, async () => {
      await client.query(text, [...range.from, ...range.to]);
      await noteCursor(client, id, range.to, range.rows);
    }).catch((error: unknown) => {
      const sentence = `${what}: refused within ${rangeWords(batch, range)}`;
      session.tell({ kind: 'batch', sentence, data: { from: range.from, to: range.to } });
      throw error;
    });
    const tookMs = performance.now() - begun;
    if (!done) {
      failures += 1;
      if (failures >= limits.attemptsMax) throw stuck(what, failures);
      size = Math.max(1, Math.floor(size / 2));
      await backOff(limits, failures);
      continue;
    }
    failures = 0;
    cursor = range.to;
    report(range.rows);
    const factor = Math.min(2, Math.max(0.5, limits.batchMsGoal / Math.max(1, tookMs)));
    size = Math.max(1, Math.min(limits.batchRowsMax, Math.floor(size * factor)));
    await sleep(tookMs * limits.batchRest);
  }
}

/**
 * Rows without a key are in no range; without an index every range would read the whole table; and of
 * a key that many rows have a range may be all of them.
 */
async function refuseUnlessKey(
  { client }: Session,
  what: string,
  { table, key }: Batch,
): Promise<void> {
  const { rows } = await client.query<{
    name: string;
    full: boolean;
    leads: boolean;
    distinct: boolean;
  }>(
    `select a.attname::text as name, a.attnotnull as full, exists (
       select from pg_index i where i.indrelid = a.attrelid and i.indkey[0] = a.attnum
         and i.indisvalid and i.indpred is null) as leads, exists (
       select from pg_index i where i.indrelid = a.attrelid and i.indisunique
         and i.indisvalid and i.indpred is null and not exists (
           select from generate_series(0, i.indnkeyatts - 1) n where i.indkey[n] not in (
             select k.attnum from pg_attribute k
             where k.attrelid = a.attrelid and k.attname = any($2)))) as distinct
     from pg_attribute a where a.attrelid = to_regclass($1) and a.attname = any($2)`,
    [quoted(table), key],
  );
  const nullable = rows.find(({ full }) => !full);
  if (nullable !== undefined) {
    throw new MigrationRefused(
      `${what}: ${nullable.name} of ${table} may be null, and a row without a key is in no range. ` +
        'Name a key of columns that are never null, such as the primary key.',
    );
  }
  const first = rows.find(({ name }) => name === key[0]);
  if (first?.leads === false) {
    throw new MigrationRefused(
      `${what}: no index of ${table} begins with ${key[0]}, so every range would read the whole table. ` +
        'Name the primary key, or create an index concurrently before.',
    );
  }
  if (first?.distinct !== false) return;
  throw new MigrationRefused(
    `${what}: (${key.join(', ')}) of ${table} is not unique, so a batch may be all rows that have one ` +
      'value. Name the primary key, or add columns until a unique index has no others.',
  );
}

/** The next rows by the key, by its index: as text, which every type of a key can be read from. */
async function nextRange(
  { client }: Session,
  batch: Batch,
  cursor: readonly string[] | undefined,
  size: number,
): Promise<Range | undefined> {
  const columns = batch.key.map((name) => client.escapeIdentifier(name));
  const list = columns.join(', ');
  const places = columns.map((_, at) => `$${at + 2}`).join(', ');
  const after = cursor === undefined ? '' : `where (${list}) > (${places})`;
  const texts = columns.map((name, at) => `${name}::text as k${at}`).join(', ');
  const { rows } = await client.query<Record<string, string>>(
    `select ${texts}, place::text, total::text from (
       select ${list}, row_number() over (order by ${list}) as place, count(1) over () as total
       from (select ${list} from ${quoted(batch.table)} ${after} order by ${list} limit $1) s) w
     where place = 1 or place = total order by place`,
    [size, ...(cursor ?? [])],
  );
  const [first] = rows;
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const keyOf = (row: Readonly<Record<string, string>>) =>
    columns.map((_, at) => row[`k${at}`] ?? '');
  return { from: keyOf(first), to: keyOf(last), rows: Number(last.total) };
}

/** `the 500 rows of item whose (id) is (1001) to (1500)` */
function rangeWords({ table, key }: Batch, { from, to, rows }: Range): string {
  const list = (values: readonly string[]) => `(${values.join(', ')})`;
  return `the ${rows} rows of ${table} whose ${list(key)} is ${list(from)} to ${list(to)}`;
}

/** Waits while a replica is behind or a crowd waits for locks: the batches may be why. */
async function whileOthersSuffer({ client, limits, tell }: Session, what: string): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ lag: string | null; waiters: number }>(
      `select (select max(pg_wal_lsn_diff(sent_lsn, replay_lsn)) from pg_stat_replication)::text as lag,
         (select count(1)::int from pg_locks l
           where not l.granted and l.locktype <> 'advisory') as waiters`,
    );
    const lagBytes = Number(rows[0]?.lag ?? 0);
    const waiters = rows[0]?.waiters ?? 0;
    const why =
      lagBytes > limits.lagBytesMax
        ? `a replica is ${Math.round(lagBytes / 1024 / 1024)} MiB behind`
        : waiters > limits.waitersMax
          ? `${waiters} sessions wait for locks`
          : undefined;
    if (why === undefined) return;
    tell({ kind: 'paused', sentence: `${what}: paused, ${why}`, data: { lagBytes, waiters } });
    await sleep(pauseMs);
  }
}

/** How many rows there are, as PostgreSQL last counted them; 0 where it never did. */
async function rowsOf({ client }: Session, table: string): Promise<number> {
  const { rows } = await client.query<{ rows: number }>(
    'select greatest(0, reltuples)::float as rows from pg_class where oid = to_regclass($1)',
    [quoted(table)],
  );
  return rows[0]?.rows ?? 0;
}

function reporter({ tell }: Session, what: string, total: number, before: number) {
  const begun = performance.now();
  let toldAt = begun;
  let done = before;
  return (rows: number): void => {
    done += rows;
    const now = performance.now();
    if (now - toldAt < tellMs) return;
    toldAt = now;
    const rate = ((done - before) / (now - begun)) * 1_000;
    const secondsLeft = total > done ? Math.ceil((total - done) / rate) : undefined;
    const left = secondsLeft === undefined ? '' : `, about ${secondsLeft} s left`;
    const of = total >= done ? ` of about ${Math.round(total)}` : '';
    const sentence = `${what}: ${done} rows${of}, ${Math.round(rate)} rows/s${left}`;
    tell({ kind: 'batch', sentence, data: { done, total, rate, secondsLeft } });
  };
}

function stuck(what: string, attempts: number) {
  return new MigrationRefused(
    `${what}: a batch could not lock its rows, ${attempts} times, although it shrank to a row. End ` +
      'the long transactions that hold them, then run it again: it goes on where it was.',
  );
}
