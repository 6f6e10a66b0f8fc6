import pg from 'pg';

/** What a database has done so far. */
export interface DatabaseCounts {
  readonly commits: number;
  readonly rowsWritten: number;
  readonly temporaryBytes: number;
  readonly statements: number;
  readonly walBytes: number;
}

/** Reads a database's own statistics, on a connection of a superuser. */
export interface DatabaseGauge {
  counts(): Promise<DatabaseCounts>;
  /** Connections of the programs that are measured. */
  connections(): Promise<number>;
  run(sql: string): Promise<void>;
  /** Names of a table's columns. */
  columnsOf(table: string): Promise<readonly string[]>;
  /** Values of settings, in the order of their names. */
  settings(...names: readonly string[]): Promise<readonly string[]>;
  /** PostgreSQL's own. */
  version(): Promise<string>;
  close(): Promise<void>;
}

/** Idle backends report what they did within 10 s; only then the numbers are whole. */
export const settleMs = 10_500;

const applicationName = 'bench';

/** Connects. `pg_stat_statements` must be there. */
export async function openDatabaseGauge(url: string): Promise<DatabaseGauge> {
  const client = new pg.Client({ connectionString: url, application_name: applicationName });
  await client.connect();
  return {
    async counts() {
      // Our own statements and commits are left out: one of each per reading.
      const { rows } = await client.query<Record<keyof DatabaseCounts, string>>(
        `select d.xact_commit as "commits",
           d.tup_inserted + d.tup_updated + d.tup_deleted as "rowsWritten",
           d.temp_bytes as "temporaryBytes",
           coalesce(sum(s.calls), 0) as "statements",
           coalesce(sum(s.wal_bytes), 0) as "walBytes"
         from pg_stat_database d
         left join pg_stat_statements s on s.dbid = d.datid
           and s.query not like '%pg_stat_statements%'
         where d.datname = current_database()
         group by d.xact_commit, d.tup_inserted, d.tup_updated, d.tup_deleted, d.temp_bytes`,
      );
      const [row] = rows;
      if (row === undefined) throw new Error('PostgreSQL has no statistics of this database');
      return {
        commits: Number(row.commits),
        rowsWritten: Number(row.rowsWritten),
        temporaryBytes: Number(row.temporaryBytes),
        statements: Number(row.statements),
        walBytes: Number(row.walBytes),
      };
    },
    async connections() {
      const { rows } = await client.query<{ count: number }>(
        `select count(pid)::int as count from pg_stat_activity
         where datname = current_database() and application_name <> $1
           and backend_type = 'client backend'`,
        [applicationName],
      );
      return rows[0]?.count ?? 0;
    },
    async run(sql) {
      await client.query(sql);
    },
    async columnsOf(table) {
      const { rows } = await client.query<{ attname: string }>(
        `select a.attname from pg_attribute a
         where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped
         order by a.attnum`,
        [table],
      );
      return rows.map(({ attname }) => attname);
    },
    async settings(...names) {
      const { rows } = await client.query<{ setting: string }>(
        'select s.setting from pg_settings s where s.name = any($1) order by s.name',
        [names],
      );
      return rows.map(({ setting }) => setting);
    },
    async version() {
      const { rows } = await client.query<{ server_version: string }>('show server_version');
      return rows[0]?.server_version ?? 'unknown';
    },
    close: () => client.end(),
  };
}

/** What happened between two readings. */
export function countsBetween(before: DatabaseCounts, after: DatabaseCounts): DatabaseCounts {
  return {
    commits: after.commits - before.commits,
    rowsWritten: after.rowsWritten - before.rowsWritten,
    temporaryBytes: after.temporaryBytes - before.temporaryBytes,
    statements: after.statements - before.statements,
    walBytes: after.walBytes - before.walBytes,
  };
}
