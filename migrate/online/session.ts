import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Limits } from './limits.ts';
import type { Tell } from './notice.ts';

/** One runner's connection and what it was told. */
export interface Session {
  readonly client: pg.Client;
  /** Opens another connection to the same database, for a look from outside; to be ended. */
  readonly beside: () => Promise<pg.Client>;
  readonly limits: Limits;
  readonly tell: Tell;
}

/** Runs `work` on a connection of its own, which must lead to PostgreSQL itself, not to a pooler. */
export async function withSession<T>(
  options: {
    readonly url: string;
    readonly applicationName: string;
    readonly limits: Limits;
    readonly tell: Tell;
  },
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { limits, tell } = options;
  const beside = () => connect(options.url, options.applicationName);
  const client = await beside();
  try {
    return await work({ client, beside, limits, tell });
  } finally {
    await client.end().catch(() => {});
  }
}

/** A runner that was stopped in the middle of a transaction may not hold its locks for long. */
const idleInTransactionMsMax = 20_000;

async function connect(url: string, applicationName: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // A connection that breaks also fails the statement under way, which is where it is handled.
  client.on('error', () => {});
  await client.connect();
  // NOTICEs about what exists already say nothing that the result does not. When we are killed,
  // PostgreSQL notices in the midst of a long statement and ends it: the next one finds its turn.
  // What role or database set for the application is not for us: an index build takes its time.
  await client.query(
    `set client_min_messages = warning; set client_connection_check_interval = 1000;
     set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off;
     set statement_timeout = 0; set lock_timeout = 0; set idle_session_timeout = 0;
     set idle_in_transaction_session_timeout = ${idleInTransactionMsMax};
     select set_config(s.name, '0', false) from pg_settings s where s.name = 'transaction_timeout'`,
  );
  return client;
}

/** `work` in a transaction; false where a lock was not to be had: everything is as it was. */
export async function attempt(
  client: pg.Client,
  lockMsMax: number,
  work: () => Promise<void>,
): Promise<boolean> {
  try {
    await client.query('begin');
    await client.query(`select set_config('lock_timeout', $1, true)`, [`${lockMsMax}ms`]);
    await work();
    await client.query('commit');
    return true;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    if (isContention(error)) return false;
    throw error;
  }
}

/** Waits before attempt number `attempt` + 1. */
export async function backOff(limits: Limits, attempt: number): Promise<void> {
  const whole = Math.min(limits.backoffMsMax, limits.backoffMsMin * 2 ** (attempt - 1));
  const half = Math.max(1, Math.floor(whole / 2));
  await sleep(half + randomInt(half + 1));
}

/** PostgreSQL's code of an error, '' where it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** True for what passes by itself: a lock that was not to be had in time, a deadlock. */
export function isContention(error: unknown): boolean {
  return ['55P03', '40P01'].includes(codeOf(error));
}
