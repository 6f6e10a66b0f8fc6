import type pg from 'pg';
import { accessTokenSecondsMax } from '#core/client-field.ts';
import type { AuditDetail, AuditOutcome } from '#server/audit/entry.ts';
import { operator } from '#server/audit/operator.ts';
import type { Failpoints } from '#server/failpoints.ts';
import { newId } from '#server/identifiers.ts';
import { refreshMacSet, sealSets } from '#server/keys/slots.ts';
import { withClient } from '#server/postgres/cluster.ts';
import { insertEntries } from '#server/store/audit.ts';
import { factLock } from '#server/store/fact-lock.ts';

/** So far the counter of facts moves: past whatever was numbered in the writes that were lost. */
export const seqJump = 2 ** 40;
/** Tokens carry fact numbers in 48 bits; the last number of all stands for "after every fact". */
const seqMax = 2 ** 48 - 2 ** 41;
const rowsPerSlice = 5000;
const nodeNames = ['gatehouse-pool', 'gatehouse-feed', 'gatehouse-sweeper'];
/** Nodes that have just been stopped are waited for. */
const nodesMsMax = 5000;
/** Access tokens live so long at most, of any client, whatever the lost writes had allowed. */
const accessDaysMax = accessTokenSecondsMax / 86_400;
/** One recovery at a time. */
const advisoryLock = 4_744_003;
/** The target of the fact that a recovery ends with. */
const recoveryTarget = 'recovery';
/** The keys of all that is sealed or carries a MAC, and so of all that was handed out. */
const sealedSets = [...Object.values(sealSets), refreshMacSet];

/** The recovery cannot be done as things are. The message says what to do. */
export class RecoveryRefused extends Error {
  override readonly name = 'RecoveryRefused';
}

/** What a recovery would find. */
export interface RecoverySight {
  /** `rest`: one was begun here, and is not finished. */
  readonly due: 'whole' | 'rest';
  readonly newestSeq: number;
  readonly grants: number;
  readonly sessions: number;
  readonly clients: number;
  readonly credentials: readonly { readonly name: string; readonly role: string }[];
}

export interface RecoveryOptions {
  /** The owner's URL, without a pooler between. */
  readonly ownerUrl: string;
  readonly keepCredentials: boolean;
  /** Moves the counter only: for losses so small that killing everything would be worse. */
  readonly counterOnly: boolean;
  readonly log: (sentence: string) => void;
  readonly failpoints: Failpoints | undefined;
}

/** Looks, and changes nothing. */
export function lookAtRecovery(ownerUrl: string): Promise<RecoverySight> {
  return withOwner(ownerUrl, look);
}

/**
 * Makes a database that was restored to an earlier moment safe to serve from: whatever was handed
 * out before is dead, and numbers of new facts lie beyond all that were lost. Refuses with
 * {@link RecoveryRefused}. Killed at any point it leaves a fenced database; run again it goes on
 * from there. Run after its end it does all of it again: what a database remembers does not say
 * whether it was restored, to the very end of an earlier recovery for instance.
 */
export function recover(options: RecoveryOptions): Promise<void> {
  const { log, failpoints } = options;
  const reach = async (name: string) => failpoints?.reach(name, true);
  return withOwner(options.ownerUrl, async (client) => {
    const held = await client.query('select pg_try_advisory_lock($1) as held', [advisoryLock]);
    if (held.rows[0]?.held !== true) throw new RecoveryRefused('Another recovery is under way.');
    const { due } = await look(client);
    await ensureNoNodes(client);
    const note = noteOf(client, options);
    const seq = await begin(client, () => note('begun', { resumed: due === 'rest' }));
    log(
      due === 'rest' ? 'going on with a recovery that was interrupted' : 'the database is fenced',
    );
    await reach('recover.begun');
    await ensureNoNodes(client);
    const done: Record<string, number> = {};
    if (!options.counterOnly) {
      const keys = await count(client, 'delete from key where set_name = any($1)', [sealedSets]);
      log(`${keys} keys are deleted: nothing that was sealed or signed for refresh opens any more`);
      await reach('recover.keys');
      const grants = await inSlices(client, revokeGrants, seq, () => reach('recover.slice'));
      log(`${grants} grants are revoked`);
      const sessions = await inSlices(client, endSessions, seq, () => reach('recover.slice'));
      log(`${sessions} sessions are ended`);
      Object.assign(done, { keys, grants, sessions });
      if (!options.keepCredentials) {
        const credentials = await count(client, 'delete from admin_credential', []);
        log(`${credentials} admin credentials are deleted`);
        Object.assign(done, { credentials });
      }
    }
    await end(client, options.counterOnly, () => note('done', done));
    await reach('recover.ended');
  });
}

async function look(client: pg.Client): Promise<RecoverySight> {
  const { rows } = await client.query<{
    state: string;
    recovery_seq: string | null;
    newest: string | null;
    grants: number;
    sessions: number;
    clients: number;
    credentials: { name: string; role: string }[];
  }>(`
select o.state, o.recovery_seq, (select max(f.seq) from fact f) as newest,
  (select count(*)::int from "grant" g where g.revoked_at is null) as grants,
  (select count(*)::int from session s where s.revoked_at is null) as sessions,
  (select count(*)::int from client) as clients,
  (select coalesce(json_agg(json_build_object('name', a.name, 'role', a.role) order by a.name), '[]')
    from admin_credential a) as credentials
from control o`);
  const [row] = rows;
  if (row === undefined) throw new RecoveryRefused('Table control has no row: run `schema up`.');
  if (row.recovery_seq === null && row.state !== 'live') {
    throw new RecoveryRefused(
      `This database is not the live one (control.state is "${row.state}"): a switch between ` +
        'databases is under way. Finish it or roll it back first.',
    );
  }
  const { newest, grants, sessions, clients, credentials } = row;
  const due = row.recovery_seq === null ? 'whole' : 'rest';
  return { due, newestSeq: Number(newest ?? 0), grants, sessions, clients, credentials };
}

/** A node that runs would go on, for a moment, with keys and rows of before. */
async function ensureNoNodes(client: pg.Client): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += 200) {
    const { rows } = await client.query<{ pid: number; application_name: string }>(
      `select a.pid, a.application_name from pg_stat_activity a
       where a.datname = current_database() and a.application_name = any($1) order by a.pid`,
      [nodeNames],
    );
    if (rows.length === 0) return;
    if (waitedMs >= nodesMsMax) {
      const found = rows.map((row) => `${row.application_name} (backend ${row.pid})`).join(', ');
      throw new RecoveryRefused(
        `Nodes are connected to this database: ${found}. Stop every node, then run it again.`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/**
 * How this recovery is written into the audit log: in the transactions that begin and end it, so that
 * there is no step without its entry. One that was interrupted has a `begun` for each attempt.
 */
function noteOf(
  client: pg.Client,
  { counterOnly, keepCredentials }: RecoveryOptions,
): (outcome: AuditOutcome, detail: AuditDetail) => Promise<void> {
  const [actor, requestId, action] = [operator(), newId(), 'database.recover'] as const;
  const target = { kind: 'deployment', id: '' };
  const how = { counter_only: counterOnly, keep_credentials: keepCredentials };
  const connection = {
    query: async <Row extends pg.QueryResultRow>(
      { text }: { readonly text: string },
      values: readonly unknown[],
    ) => (await client.query<Row>(text, [...values])).rows,
  };
  return (outcome, detail) =>
    insertEntries(connection, [
      { action, outcome, actor, target, requestId, detail: { ...how, ...detail } },
    ]);
}

/** Fences the database and moves the counter, once; gives where the counter stood then. */
async function begin(client: pg.Client, note: () => Promise<void>): Promise<number> {
  return inTransaction(client, async () => {
    await note();
    await client.query('select pg_advisory_xact_lock($1)', [factLock]);
    const under = await client.query<{ seq: string | null }>(
      'select recovery_seq as seq from control for update',
    );
    const found = under.rows[0]?.seq;
    if (found !== null && found !== undefined) return Number(found);
    const { rows } = await client.query<{ seq: string }>(`
select greatest(s.last_value, (select max(f.seq) from fact f), o.floor_seq) as seq
from fact_seq s, control o`);
    const seq = Number(rows[0]?.seq) + seqJump;
    if (seq > seqMax) {
      throw new RecoveryRefused(
        `The counter of facts stands at ${seq - seqJump} and has no room for another recovery ` +
          'below 2^48.',
      );
    }
    // Not transactional, so it comes last: at worst it moves again in the next attempt.
    await client.query(`update control set state = 'fenced', recovery_seq = $1`, [seq]);
    await client.query(`select setval('fact_seq', $1)`, [seq]);
    return seq;
  });
}

const revokeGrants = `
with slice as (
  select g.id from "grant" g where g.id > $1 order by g.id limit ${rowsPerSlice}
), dead as (
  update "grant" g set revoked_at = now(), cut_seq = $2
  from slice s where g.id = s.id and g.revoked_at is null
  returning g.id
)
select (select s.id from slice s order by s.id desc limit 1) as last,
  (select count(*)::int from dead) as changed`;

const endSessions = `
with slice as (
  select s.id from session s where s.id > $1 order by s.id limit ${rowsPerSlice}
), dead as (
  update session s set revoked_at = now(), ended_at = coalesce(s.ended_at, now())
  from slice i where s.id = i.id and s.revoked_at is null and $2::bigint > 0
  returning s.id
)
select (select i.id from slice i order by i.id desc limit 1) as last,
  (select count(*)::int from dead) as changed`;

/** Walks a table along its ids, a transaction a slice: killed in the middle it starts over. */
async function inSlices(
  client: pg.Client,
  statement: string,
  seq: number,
  afterSlice: () => Promise<void>,
): Promise<number> {
  let from: string | null = '00000000-0000-0000-0000-000000000000';
  let changed = 0;
  while (from !== null) {
    const result: pg.QueryResult<{ last: string | null; changed: number }> = await client.query(
      statement,
      [from, seq],
    );
    from = result.rows[0]?.last ?? null;
    changed += result.rows[0]?.changed ?? 0;
    await afterSlice();
  }
  return changed;
}

/**
 * The fact that everything new is born after, and the floor that everything old lies below. It is
 * numbered only now: a node that was started meanwhile, in vain, may have made keys and facts.
 */
function end(client: pg.Client, counterOnly: boolean, note: () => Promise<void>): Promise<void> {
  return inTransaction(client, async () => {
    await note();
    await client.query('select pg_advisory_xact_lock($1)', [factLock]);
    const { rows } = await client.query<{ seq: string }>(
      `insert into fact (seq, kind, target, reason, expires_at)
       values (nextval('fact_seq'), 'keys_changed', $1, 'recovered', now() + interval '1 day')
       returning seq`,
      [recoveryTarget],
    );
    const seq = rows[0]?.seq;
    await client.query(
      `update control set state = 'live', recovery_seq = null, history = gen_random_uuid(),
         floor_seq = case when $2 then floor_seq else $1 end,
         access_expiry_high_water = case when $2
           then greatest(access_expiry_high_water, now() + make_interval(days => $3))
           else access_expiry_high_water end`,
      [seq, counterOnly, accessDaysMax],
    );
  });
}

async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

async function count(client: pg.Client, text: string, values: unknown[]): Promise<number> {
  return (await client.query(text, values)).rowCount ?? 0;
}

const withOwner = <T>(url: string, work: (client: pg.Client) => Promise<T>) =>
  withClient(url, work, 'gatehouse-recover');
