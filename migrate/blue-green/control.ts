import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { atOnce, type Database, type Side } from './database.ts';
import { Failure, sqlStateOf } from './failure.ts';
import { readersOf } from './holders.ts';
import type { State } from './state.ts';

/** The control row of one database. */
export interface Control {
  readonly migrationId: string;
  readonly mapping: string;
  readonly side: Side;
  readonly state: State;
  readonly epoch: number;
  readonly fenceId: string | null;
  readonly openingKey: Buffer | null;
  readonly hasOpeningLock: boolean;
  readonly pollMs: number;
  readonly asked: 'pause' | 'stop' | null;
}

/** Undefined: nothing is prepared in this database. */
export async function readControl(client: pg.Client): Promise<Control | undefined> {
  try {
    const { rows } = await client.query<Control>(
      `select c.migration_id as "migrationId", c.mapping, c.side, c.state, c.epoch::int as epoch,
         c.fence_id as "fenceId", c.opening_key as "openingKey",
         c.opening_lock is not null as "hasOpeningLock", n.poll_ms as "pollMs", n.asked
       from migrate.control c cross join migrate.notice n`,
    );
    return rows[0];
  } catch (error) {
    // undefined_table, invalid_schema_name
    if (['42P01', '3F000'].includes(sqlStateOf(error))) return undefined;
    throw error;
  }
}

/** The first row, when the control tables are made. */
export async function insertControl(
  client: pg.Client,
  row: {
    readonly migrationId: string;
    readonly mapping: string;
    readonly side: Side;
    readonly state: State;
    readonly epoch: number;
  },
): Promise<void> {
  await client.query(
    `insert into migrate.control (migration_id, mapping, side, state, epoch)
     values ($1, $2, $3, $4, $5)`,
    [row.migrationId, row.mapping, row.side, row.state, row.epoch],
  );
}

/** Tells clients how soon to ask again, and whether a switch is near. */
export async function announce(client: pg.Client, near: boolean, pollMs: number): Promise<void> {
  await client.query('update migrate.notice set near = $1, poll_ms = $2', [near, pollMs]);
}

/**
 * One statement whose commit does not wait for the disk. Only for what a crash may undo: where it
 * matters, a later commit of the same database flushes it first.
 */
async function withoutFlush(
  client: pg.Client,
  query: pg.QueryConfig,
  further = '',
): Promise<pg.QueryResult> {
  try {
    const [, , result] = await Promise.all([
      client.query('begin'),
      client.query(`set local synchronous_commit = off; ${further}`),
      client.query(query),
      client.query('commit'),
    ]);
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/**
 * Writers wait from here on, at most `msMax`. Changes nothing where the side is not live. Whoever
 * keeps it from being said makes it fail after `lockMsMax`, as the fence behind it would.
 */
export async function hold(client: pg.Client, msMax: number, lockMsMax: number): Promise<void> {
  const query = {
    text: `update migrate.notice
       set hold_until = clock_timestamp() + $1 * interval '1 millisecond'
       where exists (select 1 from migrate.control c where c.state = 'live')`,
    values: [msMax],
  };
  await withoutFlush(client, query, `set local lock_timeout = '${lockMsMax}ms'`);
}

export async function release(client: pg.Client): Promise<void> {
  await client.query('update migrate.notice set hold_until = null where hold_until is not null');
}

/** live -> fenced, inside the transaction that holds the tables. False: it is not live. */
export async function fence(client: pg.Client, fenceId: string, msMax: number): Promise<boolean> {
  const { rowCount } = await client.query(
    `update migrate.control set state = 'fenced', fence_id = $1, changed_at = clock_timestamp(),
       fence_until = clock_timestamp() + $2 * interval '1 millisecond'
     where state = 'live'`,
    [fenceId, msMax],
  );
  return rowCount === 1;
}

/**
 * fenced -> live. With `fenceId` only that fence; without (for the holder of the lock) any. A hold
 * lasts until {@link release}, or its deadline.
 */
export async function unfence(client: pg.Client, fenceId: string | null): Promise<boolean> {
  const { rowCount } = await client.query(
    `update migrate.control set state = 'live', fence_until = null, fence_id = null,
       changed_at = clock_timestamp()
     where state = 'fenced' and ($1::uuid is null or fence_id = $1)`,
    [fenceId],
  );
  return rowCount === 1;
}

/** A key that opens one side once. */
export interface OpeningKey {
  readonly key: Buffer;
  readonly lock: Buffer;
}

export function makeOpeningKey(): OpeningKey {
  const key = randomBytes(32);
  return { key, lock: createHash('sha256').update(key).digest() };
}

export const makeId = randomUUID;

/** This side has received everything and may be opened by the key, to become `epoch`. */
export async function makeReady(client: pg.Client, lock: Buffer, epoch: number): Promise<boolean> {
  const { rowCount } = await client.query(
    `update migrate.control set opening_lock = $1, opening_epoch = $2
     where state in ('copy', 'retired') and epoch < $2`,
    [lock, epoch],
  );
  return rowCount === 1;
}

/** No key opens this side any more. */
export async function forgetReady(client: pg.Client): Promise<void> {
  await client.query(
    `update migrate.control set opening_lock = null, opening_epoch = null
     where opening_lock is not null`,
  );
}

/**
 * fenced -> retired, and publishes the key: the moment of no return. False: the fence is not ours
 * any more or has run out, and nothing has happened.
 */
export async function retire(client: pg.Client, fenceId: string, key: Buffer): Promise<boolean> {
  const { rowCount } = await client.query(
    `update migrate.control set state = 'retired', opening_key = $2, fence_until = null,
       fence_id = null, changed_at = clock_timestamp()
     where state = 'fenced' and fence_id = $1 and fence_until > clock_timestamp()`,
    [fenceId, key],
  );
  return rowCount === 1;
}

/**
 * copy or retired -> live. False: the key does not fit, or somebody has opened it already. A crash
 * may undo it as long as nobody has written: then the key, which is published, opens it again.
 */
export async function open(client: pg.Client, key: Buffer): Promise<boolean> {
  const { rows } = await withoutFlush(client, {
    text: 'select migrate.open($1) as opened',
    values: [key],
  });
  return rows[0]?.opened === true;
}

/** Asks the tool that runs to pause or to stop; null: to go on. */
export async function ask(client: pg.Client, what: 'pause' | 'stop' | null): Promise<void> {
  await client.query('update migrate.notice set asked = $1', [what]);
}

const pauseMs = 200;

/** What the operator asks of the tool that runs: waits while it is to pause, true when it is to end. */
export async function isToEnd(client: pg.Client, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    signal.throwIfAborted();
    const asked = (await readControl(client))?.asked ?? null;
    if (asked !== 'pause') return asked === 'stop';
    // Why it ends in the middle of a pause stands in the signal.
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
  }
}

/** As {@link isToEnd}, where a command that ends has not done what it is for: throws {@link Failure}. */
export async function endIfAsked(client: pg.Client, signal: AbortSignal): Promise<void> {
  if (await isToEnd(client, signal)) throw new Failure('Stopped; the same command goes on.');
}

const dropMs = 100;
const dropPauseMs = 200;
const dropAttemptsMax = 100;

/**
 * Takes the schema away. Clients that poll stand behind whoever reads it in a long transaction, so
 * each try is short, and between two of them they pass.
 */
export async function dropControl({ main, side }: Database): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const begin = `set local lock_timeout = '${dropMs}ms'`;
      return await atOnce(main, [begin, 'drop schema migrate cascade']);
    } catch (error) {
      // lock_not_available, deadlock_detected
      if (!['55P03', '40P01'].includes(sqlStateOf(error))) throw error;
      if (attempt >= dropAttemptsMax) {
        throw new Failure(
          `${side}: the tables of migrate are in use, so they are still there. ` +
            `${await readersOf(main)} End them and start again: it goes on.`,
        );
      }
      await sleep(dropPauseMs);
    }
  }
}

/** What this process has taken so far. */
function toolFigures() {
  const megabytes = (bytes: number) => Math.round(bytes / 1_048_576);
  const { rss, heapUsed } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return {
    'RSS MiB': megabytes(rss),
    'heap MiB': megabytes(heapUsed),
    'CPU s': Math.round((user + system) / 100_000) / 10,
  };
}

/** Notes what happened, for status and report. */
export async function note(
  database: Database,
  kind: string,
  detail: Readonly<Record<string, unknown>>,
): Promise<void> {
  await database.main.query('insert into migrate.event (kind, detail) values ($1, $2)', [
    kind,
    JSON.stringify({ ...detail, tool: toolFigures() }),
  ]);
}
