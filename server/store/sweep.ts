import pg from 'pg';
import { type Database, plannerOptions, type Statement } from '#server/store/database.ts';

/** Tables that grow by use and are swept. All others are as large as what people registered. */
export type SweptTable =
  | 'chain'
  | 'session'
  | 'grant'
  | 'fact'
  | 'cutoff'
  | 'flow_reference'
  | 'key';

/** One slice of a table along its primary key. */
export interface Slice {
  /** Where the next slice begins; undefined: this was the last. */
  readonly next: string | undefined;
  readonly removed: number;
}

/** A connection of its own, which alone among all nodes may sweep while it is open. */
export interface SweepConnection extends Pick<Database, 'query'> {
  close(): Promise<void>;
}

const statementMsMax = 30_000;
const lockMsMax = 1_000;

const lock: Statement = {
  name: 'sweep_lock',
  text: 'select pg_try_advisory_lock(4744002) as held',
};

/**
 * Connects, and takes the advisory lock of the sweep; undefined while another node holds it. `url`
 * must reach PostgreSQL without a pooler between: the lock belongs to the connection.
 */
export async function openSweepConnection(url: string): Promise<SweepConnection | undefined> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'gatehouse-sweeper',
    // On tables that PostgreSQL has no statistics of yet, a slice would be a scan and a hash.
    options: plannerOptions,
    connectionTimeoutMillis: 5_000,
    statement_timeout: statementMsMax,
    lock_timeout: lockMsMax,
    query_timeout: 2 * statementMsMax,
  });
  // A connection that breaks while idle; the next statement says so.
  client.on('error', () => {});
  await client.connect();
  const connection: SweepConnection = {
    async query<Row extends pg.QueryResultRow>(statement: Statement, values: readonly unknown[]) {
      const { name, text } = statement;
      return (await client.query<Row>({ name, text, values: [...values] })).rows;
    },
    close: () => client.end(),
  };
  const [row] = await connection.query<{ held: boolean }>(lock, []);
  if (row?.held === true) return connection;
  await connection.close();
  return undefined;
}

/** How long what is over stays, in seconds. Shorter ones are for tests, which cannot wait for days. */
export interface SweepAges {
  /** A dead session or grant: a flow lasts a day at most, a code an hour. */
  readonly deadSeconds: number;
  readonly cutoffSeconds: number;
}

export const sweepAges: SweepAges = { deadSeconds: 2 * 86_400, cutoffSeconds: 90 * 86_400 };

const rowsPerSlice = 500;

/** What every statement answers; `last` is an expression over the newest row of its slice. */
const counted = (last: string) => `
select ${last} as last,
  (select count(*)::int from slice) as seen, (select count(*)::int from gone) as removed`;

/**
 * Reads rows by their primary key, marks what is over, and deletes that, `unless` something else
 * holds it. The conditions stand again in the delete itself, so that a row changed meanwhile is judged
 * again as it is then; without the mark each living row would be fetched twice. An array, not a join:
 * with statistics of a small table PostgreSQL walked all of fact for each slice. After two days
 * nothing that is under way can refer to a dead row.
 */
const overById = (table: string, row: string, isOver: string, unless = 'false') => `
with slice as (
  select ${row}.id, ${isOver} as over from ${table} ${row}
  where ${row}.id > $1 order by ${row}.id limit ${rowsPerSlice}
), gone as (
  delete from ${table} ${row}
  where ${row}.id = any(array(select i.id from slice i where i.over)) and ${isOver}
    and not ${unless}
  returning ${row}.id
)${counted('(select i.id from slice i order by i.id desc limit 1)')}`;

const chainIsOver = `c.keep_until < now()
    and (c.revoked_at is not null or not c.refreshable
      or c.expires_at < now() or c.absolute_expires_at < now())`;

/** Reads chain by id. A chain stays while its code's replay must be seen (`keep_until`). */
const chains: Statement = { name: 'sweep_chain', text: overById('chain', 'c', chainIsOver) };

const long = (seconds: string) => `now() - make_interval(secs => ${seconds})`;

const sessionIsOver = `(s.expires_at < ${long('$2')}
      or s.ended_at < ${long('$2')}
      or s.revoked_at < ${long('$2')}
      or exists (
        select from cutoff k
        where k.kind = 'subject' and k.target = s.subject and k.seq > s.login_born
          and k.created_at < ${long('$2')} offset 0))`;

/**
 * Reads session by id, probes chain by session and cutoff by subject. While a chain hangs from a
 * session its row is needed at each refresh, also after the person has signed out.
 */
const sessions: Statement = {
  name: 'sweep_session',
  text: overById(
    'session',
    's',
    sessionIsOver,
    'exists (select from chain c where c.session_id = s.id offset 0)',
  ),
};

// A row that was withdrawn goes by that alone: it stands in the way of consents that are under way
// now, however long a cutoff has been there.
const grantIsOver = `(g.revoked_at < ${long('$2')}
      or g.revoked_at is null and (exists (
        select from cutoff k
        where k.kind = 'subject' and k.target = g.subject and k.seq > g.login_born
          and k.created_at < ${long('$2')} offset 0)
      or exists (
        select from cutoff k
        where k.kind = 'client' and k.target = g.client_id and k.seq > g.grant_born
          and k.created_at < ${long('$2')} offset 0)))`;

/**
 * Reads grant by id, probes cutoff by subject and client. A live grant is the person's consent and
 * stays; without its row, the chains of a dead one are as dead as before.
 */
const grants: Statement = { name: 'sweep_grant', text: overById('"grant"', 'g', grantIsOver) };

/**
 * Reads fact by seq. The newest fact stays for ever: it is where `born` comes from, and a login
 * born before a cutoff that exists would be dead from the start.
 */
const facts: Statement = {
  name: 'sweep_fact',
  text: `
with slice as (
  select f.seq, f.expires_at < now() and f.seq < (select max(n.seq) from fact n) as over
  from fact f where f.seq > $1 order by f.seq limit ${rowsPerSlice}
), gone as (
  delete from fact f
  where f.seq = any(array(select s.seq from slice s where s.over)) and f.expires_at < now()
  returning f.seq
)${counted('(select s.seq::text from slice s order by s.seq desc limit 1)')}`,
};

const lastCutoff = `(select i.kind || ' ' || i.target from slice i
  order by i.kind desc, i.target desc limit 1)`;

/**
 * Reads cutoff by (kind, target), probes session and grant by subject. A cutoff goes when nothing
 * born before it is left that it would have to kill. Grants of a client have no index, and chains
 * none by either: the sweep of grants, which must have come to its end before, leaves none that a
 * cutoff killed, and a chain born before a cutoff hangs from such a grant, since a killed one comes
 * back under a new id only. One without seq goes early: it is about what is under way.
 */
const cutoffs: Statement = {
  name: 'sweep_cutoff',
  text: `
with slice as (
  select k.kind, k.target from cutoff k
  where (k.kind, k.target) > ($1, $2)
  order by k.kind, k.target limit ${rowsPerSlice}
), gone as (
  delete from cutoff k using slice i
  where k.kind = i.kind and k.target = i.target
    and (k.created_at < ${long('$3')} or k.seq = 0 and k.created_at < ${long('$4')})
    and not (k.kind = 'subject' and (
      exists (select from session s where s.subject = k.target and s.login_born < k.seq)
      or exists (select from "grant" g where g.subject = k.target and g.login_born < k.seq)))
  returning k.target
)${counted(lastCutoff)}`,
};

/** Reads flow_reference by its expiry, so it walks over no row that stays. */
const flowReferences: Statement = {
  name: 'sweep_flow_reference',
  text: `
with slice as (
  select f.id from flow_reference f
  where f.expires_at < now() order by f.expires_at limit ${rowsPerSlice}
), gone as (
  delete from flow_reference f using slice s
  where f.id = s.id and f.expires_at < now()
  returning f.id
)${counted('(select s.id from slice s limit 1)')}`,
};

/** Reads key by id; a key expires when the last thing that it protects has. */
const keys: Statement = {
  name: 'sweep_key',
  text: overById('key', 'k', 'k.expires_at < now()'),
};

/** How one table is swept. */
export interface Sweep {
  readonly table: SweptTable;
  /** Removes what is over among the 500 rows after `from` ('': the start), in one statement. */
  readonly slice: (connection: SweepConnection, from: string, ages: SweepAges) => Promise<Slice>;
  /** The table whose sweep must have come to its end before. */
  readonly after?: SweptTable;
}

const zeroId = '00000000-0000-0000-0000-000000000000';

/**
 * The tables in the order in which they are swept: chains before the sessions that they keep,
 * grants before cutoffs, which are not swept when `after` has not come to its end.
 */
export const sweeps: readonly Sweep[] = [
  { table: 'chain', slice: (on, from) => slice(on, chains, [from || zeroId]) },
  {
    table: 'session',
    slice: (on, from, ages) => slice(on, sessions, [from || zeroId, ages.deadSeconds]),
  },
  {
    table: 'grant',
    slice: (on, from, ages) => slice(on, grants, [from || zeroId, ages.deadSeconds]),
  },
  {
    table: 'cutoff',
    slice: (on, from, ages) =>
      slice(on, cutoffs, [...kindAndTarget(from), ages.cutoffSeconds, ages.deadSeconds]),
    after: 'grant',
  },
  { table: 'fact', slice: (on, from) => slice(on, facts, [from || '0']) },
  { table: 'flow_reference', slice: (on) => slice(on, flowReferences, []) },
  { table: 'key', slice: (on, from) => slice(on, keys, [from || zeroId]) },
];

async function slice(
  connection: SweepConnection,
  statement: Statement,
  values: readonly unknown[],
): Promise<Slice> {
  const rows = await connection.query<{ last: string | null; seen: number; removed: number }>(
    statement,
    values,
  );
  const { last = null, seen = 0, removed = 0 } = rows[0] ?? {};
  return { next: seen < rowsPerSlice || last === null ? undefined : last, removed };
}

function kindAndTarget(after: string): [string, string] {
  const space = after.indexOf(' ');
  return space === -1 ? ['', ''] : [after.slice(0, space), after.slice(space + 1)];
}
