import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { quoted } from '../blockers.ts';
import type { Form } from '../form.ts';
import { type LockMode, modeOfPgLocks, stronger } from '../lock.ts';
import { readScript } from '../script.ts';
import type { Load } from './load.ts';

/** What was seen of a form that was run while its table was in use. */
export interface Trial {
  /** The strongest lock that it took, or waited for, on the table. */
  readonly lock: LockMode;
  /** The same on the second relation of the form. */
  readonly also: LockMode;
  /** The longest that a user of the table waited for our session, as PostgreSQL saw it. */
  readonly lockWaitMs: number;
  /** The longest statement of a user, as they saw it. */
  readonly longestMs: number;
  /** What PostgreSQL refused. */
  readonly error: string | undefined;
  /** What the release before was told afterwards; undefined: its statement worked. */
  readonly former: string | undefined;
}

/** Sessions of a trial. */
export interface Stage {
  /** Runs the form. */
  readonly actor: pg.Client;
  /** Looks at the locks. */
  readonly observer: pg.Client;
  /** Has a transaction that is older than what runs outside of one, which waits for it. */
  readonly elder: pg.Client;
  readonly load: Load;
  /** How long a lock is waited for, and how long others may wait at most. */
  readonly lockMsMax: number;
}

/** Runs statements of an example one by one, as a migration's steps are. */
export async function runScript(client: pg.Client, sql: string): Promise<void> {
  for (const { text, batch } of readScript(sql).statements) {
    await client.query(text, batch === undefined ? [] : ['1', '500']);
  }
}

/** Long enough to be seen waiting. */
const elderMs = 80;

const places: Readonly<Record<string, string>> = { parent: 'root', default: 'busy' };
const relationsOf = ({ example, also }: Form) => ({
  main: example.on ?? 'busy',
  second: example.second ?? places[also?.on ?? ''] ?? 'other',
});

/** Runs a form once, in a transaction that is rolled back where PostgreSQL lets it be in one. */
export async function tryForm(stage: Stage, form: Form): Promise<Trial> {
  const { actor, observer, elder, load } = stage;
  const { main, second } = relationsOf(form);
  const { example } = form;
  const { rows } = await actor.query<{ pid: number }>('select pg_backend_pid() as pid');
  const pid = rows[0]?.pid ?? 0;
  const seen = { over: false, lock: 'NONE' as LockMode, also: 'NONE' as LockMode, lockWaitMs: 0 };
  load.reset();
  const look = async () => {
    seen.lock = stronger(seen.lock, await lockOf(observer, pid, main));
    seen.also = stronger(seen.also, await lockOf(observer, pid, second));
  };
  const watching = (async () => {
    while (!seen.over) {
      seen.lockWaitMs = Math.max(seen.lockWaitMs, await waitFor(observer, load.pids, pid));
      if (form.alone === true) await look();
      await sleep(3);
    }
  })();
  let error: string | undefined;
  let former: string | undefined;
  const delays = form.alone === true && form.hold !== 'rewrite';
  if (delays) await elder.query('begin; update busy set n = n where id = 100000');
  const ended = delays ? sleep(elderMs).then(() => elder.query('commit')) : undefined;
  if (form.alone !== true) await actor.query('begin');
  // As the runner does; what is refused shows what it does when it is let.
  if (form.alone !== true && form.verdict !== 'refused') {
    await actor.query(`set local lock_timeout = ${stage.lockMsMax}`);
  }
  try {
    await runScript(actor, example.sql);
    if (form.alone !== true) await look();
    if (form.hold === 'until commit') await sleep(stage.lockMsMax * 4);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : 'unknown';
  }
  await ended;
  const longestMs = load.longestMs();
  if (example.former !== undefined && error === undefined) {
    former = await actor.query(example.former).then(
      () => undefined,
      (thrown: unknown) => (thrown instanceof Error ? thrown.message : 'unknown'),
    );
  }
  if (form.alone !== true) await actor.query('rollback');
  seen.over = true;
  await watching;
  return {
    lock: seen.lock,
    also: seen.also,
    lockWaitMs: seen.lockWaitMs,
    longestMs,
    error,
    former,
  };
}

/** The strongest lock that a session has on a relation, or waits for. */
async function lockOf(client: pg.Client, pid: number, relation: string): Promise<LockMode> {
  const { rows } = await client.query<{ mode: string }>(
    `select l.mode from pg_locks l
     where l.locktype = 'relation' and l.pid = $1
       and l.database = (select oid from pg_database where datname = current_database())
       and l.relation = to_regclass($2)`,
    [pid, quoted(relation)],
  );
  return rows.map(({ mode }) => modeOfPgLocks(mode)).reduce(stronger, 'NONE' as LockMode);
}

/** How long one of the users has waited for the session by now. */
async function waitFor(client: pg.Client, users: readonly number[], pid: number): Promise<number> {
  const { rows } = await client.query<{ ms: number | null }>(
    `select max(extract(epoch from clock_timestamp() - l.waitstart) * 1000)::float as ms
     from pg_locks l
     where not l.granted and l.pid = any($1) and $2 = any(pg_blocking_pids(l.pid))`,
    [users, pid],
  );
  return rows[0]?.ms ?? 0;
}
