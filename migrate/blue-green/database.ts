import { createHash } from 'node:crypto';
import pg from 'pg';
import { Failure, sentenceOf } from './failure.ts';

export type Side = 'blue' | 'green';

export const otherSide = (side: Side): Side => (side === 'blue' ? 'green' : 'blue');

/**
 * `pipelined`: statements go out without waiting for the answers to those before them, so several
 * cost one round trip. `plain`: one after the other, which COPY needs.
 */
export type SessionKind = 'pipelined' | 'plain';

/** One of the two databases, with the sessions that this run has there. */
export interface Database {
  readonly side: Side;
  /** Host, port and name, without a password. */
  readonly place: string;
  /** For control rows and small questions; statements wait for each other. */
  readonly main: pg.Client;
  /** A further session, for bulk work and transactions; the caller ends it. */
  connect(kind?: SessionKind): Promise<pg.Client>;
  close(): Promise<void>;
}

/** Values stay as PostgreSQL wrote them: nothing is lost in a number or a date of JavaScript. */
export const asTexts: pg.CustomTypesConfig = {
  getTypeParser: () => (value: string | Buffer) => value.toString(),
};

/**
 * What a session is for. Whoever takes the lock ends the `work` of a tool that lost it; who only
 * looks has no lock and is left alone.
 */
export type SessionUse = 'lock' | 'work' | 'look';

/** How the sessions of one run are called in pg_stat_activity. */
export const sessionName = (run: string, use: SessionUse) => `migrate-tool/${run}/${use}`;

const connectMsMax = 10_000;
/**
 * A tool that was stopped in the middle of a transaction may not hold locks for long. One that works
 * elsewhere meanwhile says so ({@link keepAwake}).
 */
const idleInTransactionMsMax = 20_000;
const awakeMs = 2_000;

/** Opens the main session; `onLost` is called when it breaks. */
export async function openDatabase(
  side: Side,
  url: string,
  run: string,
  use: SessionUse,
  onLost: (error: Error) => void,
): Promise<Database> {
  const opened = new Set<pg.Client>();
  const connect = async (kind: SessionKind = 'pipelined') => {
    const client = await openSession(url, sessionName(run, use), kind).catch((error: unknown) => {
      throw new Failure(
        `The ${side} database (${placeOf(url)}) cannot be reached: ${sentenceOf(error)}`,
      );
    });
    opened.add(client);
    client.once('end', () => opened.delete(client));
    return client;
  };
  const main = await connect();
  main.on('error', onLost);
  return {
    side,
    place: placeOf(url),
    main,
    connect,
    async close() {
      await Promise.allSettled([...opened].map((client) => client.end()));
    },
  };
}

/**
 * A session in which values look the same on every server, which no timeout ends, from which row
 * security hides nothing (it fails instead), and whose commits are on disk when they are answered,
 * whatever role or database say: a retirement or a batch that a crash takes back would make two live
 * databases, or lose writes. A query takes one CPU: what may run at a time is for the tool to say.
 * It prefers indexes: a range is a small part of a table, and what it is joined with is found by key.
 * As PostgreSQL guesses unless told, each range read the other table whole, which made `verify` of 5
 * million rows take twice as long, and more with every row; or merged it from its first row on, which
 * took seconds for a range in the middle of 18 million.
 */
export async function openSession(
  url: string,
  applicationName: string,
  kind: SessionKind,
): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    pipeline: kind === 'pipelined',
    application_name: applicationName,
    connectionTimeoutMillis: connectMsMax,
    keepAlive: true,
  });
  // A connection that breaks also fails the statement under way, which is where it is handled.
  client.on('error', () => {});
  await client.connect();
  await client.query(
    `set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres';
     set bytea_output = 'hex'; set lc_monetary = 'C'; set extra_float_digits = 1; set xmloption = 'content';
     set standard_conforming_strings = on; set jit = off; set row_security = off;
     set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off;
     set statement_timeout = 0; set lock_timeout = 0; set idle_session_timeout = 0;
     set plan_cache_mode = force_generic_plan; set max_parallel_workers_per_gather = 0;
     set random_page_cost = 1.1; set enable_mergejoin = off;
     set idle_in_transaction_session_timeout = ${idleInTransactionMsMax};
     select set_config(s.name, '0', false) from pg_settings s where s.name = 'transaction_timeout';
     select set_config('synchronous_commit', 'on', false)
     where current_setting('synchronous_commit') in ('off', 'local', 'remote_write')`,
  );
  return client;
}

/** A statement that the session parses and plans once, however often it runs. */
export function prepared(text: string, values: readonly unknown[]) {
  const name = `m_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
  return { name, text, values: [...values] };
}

/** `work` in one transaction; `begin` says how it begins. */
export async function inTransaction<T>(
  client: pg.Client,
  work: () => Promise<T>,
  begin = 'begin',
): Promise<T> {
  await client.query(begin);
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/** Statements in one transaction and one flight: a tool that stops behind them holds no lock. */
export async function atOnce(client: pg.Client, statements: readonly string[]): Promise<void> {
  try {
    await Promise.all(['begin', ...statements, 'commit'].map((text) => client.query(text)));
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/**
 * Keeps a session in its transaction while `work` goes on in another one: a statement now and then,
 * so that its idle time never reaches the limit. A process that is stopped says nothing, and loses it.
 */
export async function keepAwake<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  let asked = false;
  const ask = async () => {
    if (asked) return;
    asked = true;
    // Whoever uses the session next meets the error that this one does.
    await client.query('select 1 as awake').catch(() => {});
    asked = false;
  };
  const timer = setInterval(() => void ask(), awakeMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** `work` on a session of its own. */
export async function withSession<T>(
  database: Database,
  work: (client: pg.Client) => Promise<T>,
  kind: SessionKind = 'pipelined',
): Promise<T> {
  const client = await database.connect(kind);
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

function placeOf(url: string): string {
  try {
    const { hostname, port, pathname, searchParams } = new URL(url);
    const host = searchParams.get('host') ?? hostname;
    return `${host}:${port || '5432'}${pathname}`;
  } catch {
    return 'not a URL';
  }
}
