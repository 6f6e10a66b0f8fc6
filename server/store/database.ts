import pg from 'pg';

/** One SQL statement of ours: named, so that PostgreSQL plans it once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** What is known of a statement that was not answered; neither: it never began. */
export interface Unanswered {
  /** True where the connection broke under the statement: whether it was applied is not known. */
  readonly answerLost?: boolean;
  /** True where other transactions held what it needed: PostgreSQL is there, nothing was applied. */
  readonly contended?: boolean;
}

/** Thrown where PostgreSQL cannot be reached or does not answer in time; the wire says 503. */
export class DatabaseUnavailable extends Error {
  override readonly name = 'DatabaseUnavailable';
  readonly answerLost: boolean;
  readonly contended: boolean;
  constructor(message: string, options: ErrorOptions & Unanswered = {}) {
    super(message, options);
    this.answerLost = options.answerLost ?? false;
    this.contended = options.contended ?? false;
  }
}

/** A handle to one database; every request takes it once, at entry. */
export interface Database {
  /** Runs one statement as its own transaction. Rows have the columns the statement names. */
  query<Row extends pg.QueryResultRow>(
    statement: Statement,
    values: readonly unknown[],
  ): Promise<Row[]>;
  /** Connections: in use, idle, and callers that wait for one. For metrics. */
  counts(): { readonly total: number; readonly idle: number; readonly waiting: number };
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly applicationName: string;
  readonly connectionsMax: number;
  readonly connectMsMax: number;
  readonly statementMsMax: number;
}

const unavailableClasses = new Set(['08', '53', '57', '58']);

/** True for errors that say the database is away rather than that the statement is wrong. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof DatabaseUnavailable) return true;
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  // 25006: after a failover this server only reads.
  if (code === '25006') return true;
  // A system call's, such as EPIPE, which looks like an SQLSTATE; none of those begins with E.
  if (code.startsWith('E')) return true;
  if (/^[0-9A-Z]{5}$/.test(code)) return unavailableClasses.has(code.slice(0, 2));
  return /timeout|terminated|Connection|ended|not queryable/i.test(error.message);
}

/** True for a lock timeout (55P03), a deadlock (40P01) and a serialization failure (40001). */
function isContention(error: unknown): boolean {
  if (!(error instanceof Error && 'code' in error)) return false;
  return error.code === '55P03' || error.code === '40P01' || error.code === '40001';
}

/** Whatever was thrown, as an Error: for results that fail one by one. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** The connection ended while the statement was under way (not: could not be opened, or too slow). */
function isLostAnswer(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  if (['ECONNRESET', 'EPIPE', '57P01', '57P02', '08006'].includes(code)) return true;
  return /Connection terminated unexpectedly|Query read timeout/.test(error.message);
}

/**
 * Every statement of ours reaches its rows by an index, and batches join a few rows to large tables.
 * A plan that was cached while a table was small must not scan it once it has grown (measured: a
 * redemption 590 -> 73 us a row in the first minute of a new database). JIT costs more than it saves.
 *
 * It would still read a whole index, or all cutoffs of a kind, where a join looked as cheap as a probe
 * while there were few rows. So statements look up cutoffs and remembered grants in subqueries that
 * `offset 0` or `limit 1` keeps PostgreSQL from turning into joins (server/store/database.test.ts).
 */
export const plannerOptions = [
  '-c enable_seqscan=off',
  '-c enable_hashjoin=off',
  '-c enable_mergejoin=off',
  '-c plan_cache_mode=force_generic_plan',
  '-c jit=off',
  // A row that somebody holds fails its batch, whose rows then go singly, instead of stalling the line.
  '-c lock_timeout=2000',
].join(' ');

/** One connection, for a command at which somebody waits. */
export const openForCommand = (url: string): Database =>
  openDatabase({
    url,
    applicationName: 'gatehouse-pool',
    connectionsMax: 1,
    connectMsMax: 10_000,
    statementMsMax: 10_000,
  });

/** Opens a pool. Nothing is connected until the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    options: plannerOptions,
    max: options.connectionsMax,
    connectionTimeoutMillis: options.connectMsMax,
    query_timeout: options.statementMsMax,
    keepAlive: true,
    idleTimeoutMillis: 60_000,
  });
  // An idle connection that breaks is replaced at its next use; without a listener it ends the process.
  pool.on('error', () => {});
  return {
    async query<Row extends pg.QueryResultRow>(statement: Statement, values: readonly unknown[]) {
      try {
        const result = await pool.query<Row>({
          name: statement.name,
          text: statement.text,
          values: [...values],
        });
        return result.rows;
      } catch (error) {
        if (isUnavailable(error)) {
          const answerLost = isLostAnswer(error);
          throw new DatabaseUnavailable('PostgreSQL does not answer', { cause: error, answerLost });
        }
        // The row that broke a rule, with hashes in it: for no log and no terminal.
        if (error instanceof Error) Reflect.deleteProperty(error, 'detail');
        if (isContention(error)) {
          const message = 'rows or tables are held by other transactions';
          throw new DatabaseUnavailable(message, { cause: error, contended: true });
        }
        throw error;
      }
    },
    counts: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close: () => pool.end(),
  };
}
