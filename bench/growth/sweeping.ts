import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { startSweeper } from '#server/operation/sweeper.ts';
import type { OwnPostgres } from '#server/testing/own-postgres.ts';
import { connect, refresh, tokensOf } from '../../e2e/login-app.ts';
import { openSubject, type Subject } from './subject.ts';

/** Tables that the sweeper keeps small, less `key`, which grows by one row in ninety days. */
export const sweptTables = [
  'session',
  'grant',
  'chain',
  'fact',
  'cutoff',
  'flow_reference',
] as const;
export type SweptName = (typeof sweptTables)[number];

export interface SweepingPlan {
  readonly postgres: OwnPostgres;
  readonly seconds: number;
  /** Logins a second that a statement writes, beside those that go through the server. */
  readonly loginsPerSecond: number;
  /** Dead chains that lie there in the end, to be worked off while traffic goes on; 0: none. */
  readonly backlog: number;
  /** False: nobody sweeps, which is the control. */
  readonly swept: boolean;
  readonly say?: (sentence: string) => void;
}

/** One table at one moment. */
export interface Sample {
  readonly seconds: number;
  readonly rows: number;
  readonly dead: number;
  readonly tableBytes: number;
  readonly indexBytes: number;
}

export interface Sweeping {
  readonly samples: Readonly<Record<SweptName, readonly Sample[]>>;
  /** Updates of chains that touched no index. */
  readonly hotShare: number;
  /** Rows that the sweeper removed. */
  readonly removed: Readonly<Record<SweptName, number>>;
  /** The sweeper's part of the time that PostgreSQL spent in statements of ours. */
  readonly sweeperShare: number;
  /** Journeys through the server: login, two refreshes, a revocation. None may fail. */
  readonly journeys: number;
  readonly backlog: Backlog | undefined;
}

export interface Backlog {
  readonly rows: number;
  readonly seconds: number;
  /** The longest and the average slice, as PostgreSQL timed them. */
  readonly sliceMsMax: number;
  readonly sliceMs: number;
}

/** What lives for days lives for seconds. Triggers shorten what the statements write; none is changed. */
const livesSeconds = 3;
const settings = {
  GATEHOUSE_ACCESS_TOKEN_SECONDS: '5s',
  GATEHOUSE_FLOW_SECONDS: '60s',
  GATEHOUSE_REFRESH_GRACE_SECONDS: '0',
};

const shorten = (table: string, columns: readonly string[]) => `
create function shorten_${table}() returns trigger language plpgsql as $$ begin
  ${columns
    .map((one) => `new.${one} := least(new.${one}, now() + interval '${livesSeconds} s');`)
    .join(' ')}
  return new;
end $$;
create trigger shorten before insert or update on ${table}
  for each row execute function shorten_${table}();`;

const triggers = [
  shorten('session', ['expires_at']),
  shorten('chain', ['expires_at', 'keep_until']),
  shorten('fact', ['expires_at']),
  shorten('flow_reference', ['expires_at']),
].join('\n');

/** A crowd that needs no server: logins, consents taken back, revocations, oversized requests. */
const crowd = `
with login as (
  select uuidv7() as id, 'crowd-' || gen_random_uuid() as subject, n
  from generate_series(1, $1::int) n
), sessions as (
  insert into session (id, subject, login_born, authenticated_at, remember, expires_at)
  select l.id, l.subject, 0, now(), false, now() + interval '30 days' from login l
), grants as (
  insert into "grant" (subject, client_id, id, scope, audience, login_born, grant_born, last_flow_id,
    session_id, revoked_at)
  select l.subject, 'crowd', uuidv7(), '{openid}', '{}', 0, 0, l.id, l.id, now() from login l
), chains as (
  insert into chain (id, client_id, subject, grant_id, session_id, online, refreshable, attempt,
    mac_kid, scope, audience, login_born, grant_born, authenticated_at, expires_at, keep_until)
  select l.id, 'crowd', l.subject, l.id, l.id, false, n % 2 = 0, l.id, 'crowd', '{openid}', '{}',
    0, 0, now(), now() + interval '30 days', now() + interval '1 hour' from login l
), facts as (
  insert into fact (seq, kind, target, expires_at)
  select nextval('fact_seq'), 'token', gen_random_uuid()::text, now() + interval '1 hour' from login
), cutoffs as (
  insert into cutoff (kind, target, seq)
  select 'subject', 'gone-' || l.subject, 1 from login l where n % 2 = 0
)
insert into flow_reference (id, sealed, expires_at)
select l.id, decode(repeat('ab', 500), 'hex'), now() + interval '10 minutes'
from login l where n % 2 = 0`;

/** Runs traffic and the sweeper side by side, and watches what becomes of the tables. */
export async function measureSweeping(plan: SweepingPlan): Promise<Sweeping> {
  const subject = await openSubject({ ...plan, rows: 0, analyze: false, env: settings });
  const metrics = createMetrics();
  const removed = new Map<string, number>();
  try {
    await subject.superuser.query(triggers);
    if (plan.swept) await subject.freeSweep();
    const sweeper = startSweeper({
      url: subject.urls.server,
      log: createLog({ level: 'silent', write: () => {} }),
      metrics: {
        ...metrics,
        swept: (table, rows) => removed.set(table, (removed.get(table) ?? 0) + rows),
      },
      intervalSeconds: 0.5,
      ages: { deadSeconds: livesSeconds, cutoffSeconds: livesSeconds },
    });
    const traffic = startTraffic(subject, plan.loginsPerSecond);
    const samples = await watch(subject.superuser, plan.seconds);
    const numbers = await numbersOf(subject.superuser);
    const backlog = plan.backlog === 0 ? undefined : await workOff(subject, plan.backlog);
    const journeys = await traffic.stop();
    await sweeper.stop();
    return {
      samples,
      ...numbers,
      removed: byTable((table) => removed.get(table) ?? 0),
      journeys,
      backlog,
    };
  } finally {
    await subject.close();
  }
}

/** The same people come again: a living consent stays, one for each of them and each app. */
const peoplePerLane = 50;

function startTraffic(subject: Subject, loginsPerSecond: number) {
  const traffic = { stopped: false, journeys: 0 };
  const journeys = async (lane: number) => {
    for (let turn = 0; !traffic.stopped; turn++) {
      await journey(subject, turn, `person-${lane}-${turn % peoplePerLane}`);
      traffic.journeys++;
    }
  };
  const crowds = async () => {
    while (!traffic.stopped) {
      await subject.superuser.query(crowd, [Math.ceil(loginsPerSecond / 5)]);
      await sleep(200);
    }
  };
  const work = Promise.all([journeys(1), journeys(2), crowds()]);
  // Told by stop(); meanwhile it must not end the process.
  work.catch(() => {});
  return {
    async stop(): Promise<number> {
      traffic.stopped = true;
      await work;
      return traffic.journeys;
    },
  };
}

/** Somebody signs in, the app refreshes twice, and one in three is revoked, each time otherwise. */
async function journey(subject: Subject, turn: number, person: string): Promise<void> {
  const { deployment } = subject;
  const client = subject.client();
  const signedIn = await connect(deployment, client, { login: { subject: person } });
  const second = tokensOf(await refresh(deployment, client, signedIn.refresh));
  const third = tokensOf(await refresh(deployment, client, second.refresh));
  if (turn % 3 === 0) {
    await deployment.postAs(client, '/oauth2/revoke', { token: third.refresh });
  } else if (turn % 3 === 1) {
    await deployment.admin('POST', '/admin/revocations', { subject: person });
  }
}

async function watch(
  client: pg.Client,
  seconds: number,
): Promise<Readonly<Record<SweptName, readonly Sample[]>>> {
  const samples = byTable((): Sample[] => []);
  const began = performance.now();
  for (let at = 0; at < seconds; at = (performance.now() - began) / 1000) {
    for (const table of sweptTables) samples[table].push(await sampleOf(client, table, at));
    await sleep(Math.max(500, (seconds * 1000) / 120));
  }
  return samples;
}

async function sampleOf(client: pg.Client, table: SweptName, seconds: number): Promise<Sample> {
  const { rows } = await client.query<Record<keyof Sample, string>>(
    `select (select count(*) from "${table}") as rows, s.n_dead_tup as dead,
       pg_table_size(s.relid) as "tableBytes", pg_indexes_size(s.relid) as "indexBytes"
     from pg_stat_user_tables s where s.relname = $1`,
    [table],
  );
  const read = (name: keyof Sample) => Number(rows[0]?.[name] ?? 0);
  return {
    seconds: Math.round(seconds * 10) / 10,
    rows: read('rows'),
    dead: read('dead'),
    tableBytes: read('tableBytes'),
    indexBytes: read('indexBytes'),
  };
}

async function numbersOf(client: pg.Client) {
  const { rows: updates } = await client.query<{ share: number }>(
    `select (s.n_tup_hot_upd::float8 / greatest(s.n_tup_upd, 1)) as share
     from pg_stat_user_tables s where s.relname = 'chain'`,
  );
  const { rows: times } = await client.query<{ share: number }>(
    `select coalesce(sum(s.total_exec_time) filter (where s.query like '%as removed%'), 0)
       / greatest(sum(s.total_exec_time), 1) as share
     from pg_stat_statements s
     join pg_database d on d.oid = s.dbid and d.datname = current_database()
     join pg_roles r on r.oid = s.userid and r.rolname <> current_user`,
  );
  return { hotShare: updates[0]?.share ?? 0, sweeperShare: times[0]?.share ?? 0 };
}

/** Puts dead chains before everything else, and waits until they are gone. */
async function workOff(subject: Subject, rows: number): Promise<Backlog> {
  const { superuser } = subject;
  await superuser.query(
    `insert into chain (id, client_id, subject, grant_id, session_id, online, refreshable, attempt,
       mac_kid, scope, audience, login_born, grant_born, authenticated_at, created_at, expires_at,
       keep_until)
     select i.id, 'backlog', 'backlog', i.id, i.id, false, true, i.id, 'backlog', '{openid}', '{}',
       0, 0, now(), now() - interval '9 days', now() - interval '1 day', now() - interval '8 days'
     from (select uuidv7(interval '-9 days') as id from generate_series(1, $1::int)) i`,
    [rows],
  );
  await superuser.query('select pg_stat_statements_reset()');
  const began = performance.now();
  for (;;) {
    const { rows: left } = await superuser.query(
      `select c.id from chain c where c.client_id = 'backlog' limit 1`,
    );
    if (left.length === 0) break;
    await sleep(500);
  }
  const seconds = Math.round((performance.now() - began) / 100) / 10;
  const { rows: slices } = await superuser.query<{ longest: number; average: number }>(
    `select max(s.max_exec_time) as longest, sum(s.total_exec_time) / sum(s.calls) as average
     from pg_stat_statements s
     join pg_database d on d.oid = s.dbid and d.datname = current_database()
     where s.query like '%delete from chain c%'`,
  );
  const [of] = slices;
  return { rows, seconds, sliceMsMax: of?.longest ?? 0, sliceMs: of?.average ?? 0 };
}

function byTable<T>(make: (table: SweptName) => T): Record<SweptName, T> {
  return {
    session: make('session'),
    grant: make('grant'),
    chain: make('chain'),
    fact: make('fact'),
    cutoff: make('cutoff'),
    flow_reference: make('flow_reference'),
  };
}
