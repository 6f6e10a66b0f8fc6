import { median } from './cpu.ts';
import { type Operation, patiently } from './operations.ts';
import { type Executed, openPlanLog, type Scan } from './plans.ts';
import type { Subject } from './subject.ts';

/** One statement of an operation, the middle of its executions: some meet a page that is full. */
export interface StatementCost {
  /** Whole: several begin alike. */
  readonly text: string;
  /** Its first words. */
  readonly headline: string;
  readonly perOperation: number;
  readonly buffers: number;
  readonly probes: number;
}

/** What an operation made PostgreSQL do. */
export interface OperationCost {
  readonly name: string;
  readonly rows: number;
  readonly runs: number;
  /** By pg_stat_statements, the poll of the feed apart. */
  readonly statements: number;
  readonly costs: readonly StatementCost[];
  readonly scans: readonly (Scan & { readonly headline: string })[];
}

/** Plans are made and pages are found in the first runs, which are not counted. */
export const warmRuns = 5;

const explain = (on: boolean) =>
  `alter system set auto_explain.log_min_duration = ${on ? '0' : '-1'}`;

/** Switches the plans in PostgreSQL's log on or off, for all databases. */
export async function writePlans(subject: Subject, on: boolean): Promise<void> {
  await subject.superuser.query(explain(on));
  await subject.superuser.query('select pg_reload_conf()');
}

/** Runs an operation one by one, and reads what PostgreSQL says it did. {@link writePlans} before. */
export async function costOf(
  subject: Subject,
  logFile: string,
  operation: Operation,
  runs: number,
): Promise<OperationCost> {
  const log = openPlanLog(logFile);
  const work = await operation.prepare(subject, runs + warmRuns);
  for (const run of work.slice(0, warmRuns)) await patiently(run);
  const counted = work.slice(warmRuns);
  const before = await callsOf(subject);
  log.read();
  for (const run of counted) await patiently(run);
  const statements = ((await callsOf(subject)) - before) / counted.length;
  const executed = log.read().filter((one) => isOurs(subject, one));
  return {
    name: operation.name,
    rows: subject.rows,
    runs: counted.length,
    statements: Math.round(statements * 100) / 100,
    ...summaryOf(executed, counted.length),
  };
}

/** What one sweep of all tables made PostgreSQL do; its slices read 500 rows by design. */
export async function sweepCost(subject: Subject, logFile: string): Promise<OperationCost> {
  const log = openPlanLog(logFile);
  log.read();
  await subject.sweep();
  const executed = log.read().filter((one) => isOurs(subject, one));
  return {
    name: 'a sweep',
    rows: subject.rows,
    runs: 1,
    statements: executed.length,
    ...summaryOf(executed, 1),
  };
}

/** What was executed by our programs on this database. */
function isOurs(subject: Subject, one: Executed): boolean {
  return one.database === subject.databaseName && one.application.startsWith('gatehouse');
}

/** The same statements together, the costliest first. */
function summaryOf(
  executed: readonly Executed[],
  runs: number,
): Pick<OperationCost, 'costs' | 'scans'> {
  const byText = Map.groupBy(executed, (one) => one.text);
  const costs = [...byText].map(([text, all]) => ({
    text,
    headline: headlineOf(text),
    perOperation: all.length / runs,
    buffers: median(all.map((one) => one.buffers)),
    probes: median(all.map((one) => one.probes)),
  }));
  const scans = executed.flatMap((one) =>
    one.scans.map((scan) => ({ ...scan, headline: headlineOf(one.text) })),
  );
  return { costs: costs.sort((a, b) => b.buffers - a.buffers), scans };
}

/** Enough words to know a statement by. */
function headlineOf(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, 60);
}

/** Statements of the server's role in this database so far, less the poll and the waiting. */
async function callsOf(subject: Subject): Promise<number> {
  const { rows } = await subject.superuser.query<{ calls: number }>(
    `select coalesce(sum(s.calls), 0)::int as calls
     from pg_stat_statements s
     join pg_database d on d.oid = s.dbid and d.datname = current_database()
     join pg_roles r on r.oid = s.userid and r.rolname <> current_user
     where s.query not like '%from control o%left join lateral%'
       -- caches are warm, but for the client of a consent that nobody has shown before
       and s.query not like '%from client c_where c.client_id = %'
       -- every five minutes, whatever is asked of the node
       and s.query not like '%access_expiry_high_water = case%'
       -- asked again for as long as somebody writes, such as the sweeper at its backlog
       and s.query not like '%from pg_locks l%'`,
  );
  return rows[0]?.calls ?? 0;
}
