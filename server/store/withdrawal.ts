import { newId } from '#server/identifiers.ts';
import { lifetime } from '#server/store/control.ts';
import { type Database, DatabaseUnavailable, type Statement } from '#server/store/database.ts';
import { locked } from '#server/store/fact-lock.ts';

// A consent or a login that was accepted is no row yet while the browser is on its way back with it.
// What is withdrawn meanwhile must not begin afterwards (hot path 6): so a withdrawal leaves
// something for it to meet, in a row that the hot path reads anyhow.

/** Id of what a row that stands in for something withdrawn hangs from. */
export const nothing = '00000000-0000-0000-0000-000000000000';
/** Whose row stands where a withdrawal keeps a session or a chain from beginning. */
export const nobody = '(nobody)';

/** Whether the subject $1 is. */
const isSignedIn = `exists (
    select from session s
    where s.subject = $1 and s.ended_at is null and s.revoked_at is null offset 0)`;

/**
 * Kills the grant of a subject and a client, or leaves a dead one where there is none and a consent
 * may be under way: the subject is signed in and the client exists, which bounds such rows. Either
 * way the row is cut at a fact of now. Probes grant by (subject, client), client, session by subject.
 */
const withdraw: Statement = {
  name: 'consent_withdraw',
  text: `
with ${locked}, ${lifetime}, numbered as materialized (
  select nextval('fact_seq') as seq
  from locked l
  where l.held and (
    exists (
      select from "grant" g
      where g.subject = $1 and g.client_id = $2 and g.revoked_at is null offset 0)
    or exists (select from client c where c.client_id = $2 offset 0)
      and ${isSignedIn})
), dead as (
  insert into "grant" as g (
    subject, client_id, id, scope, audience, login_born, grant_born, cut_seq, last_flow_id,
    session_id, revoked_at)
  select $1, $2, $3, '{}', '{}', 0, 0, n.seq, '${nothing}', '${nothing}', now()
  from numbered n
  on conflict (subject, client_id) do update
    set revoked_at = now(), cut_seq = excluded.cut_seq
  returning g.id, g.cut_seq
)
insert into fact (seq, kind, target, reason, expires_at)
select d.cut_seq, 'grant', d.id::text, $4, e.ends_at
from dead d, lifetime e`,
};

/**
 * What a subject has allowed a client, or is about to, is dead. Committed when it resolves; whoever
 * reports it waits for {@link Feed.acknowledged} first. Repeating it is harmless.
 */
export async function withdrawConsent(
  database: Database,
  subject: string,
  clientId: string,
  reason: string,
): Promise<void> {
  await database.query(withdraw, [subject, clientId, newId(), reason]);
}

/**
 * Raises a cutoff of the subject's to a fact of now, which names nobody: it is there for what is
 * accepted from now on to be born after.
 */
const cutUnderWay = (
  name: string,
  column: 'consent_seq' | 'login_seq',
  kind: 'grant' | 'sign_out',
  only: string,
): Statement => ({
  name,
  text: `
with ${locked}, ${lifetime}, numbered as materialized (
  select nextval('fact_seq') as seq from locked l where l.held and ${only}
), cut as (
  insert into cutoff as k (kind, target, seq, ${column})
  select 'subject', $1, 0, n.seq from numbered n
  on conflict (kind, target) do update set ${column} = excluded.${column}, created_at = now()
)
insert into fact (seq, kind, target, reason, expires_at)
select n.seq, '${kind}', $2, $3, e.ends_at from numbered n, lifetime e`,
});

/** Only for somebody who is signed in, since a consent has a session. */
const cutConsents = cutUnderWay('cut_consents', 'consent_seq', 'grant', isSignedIn);
/** For anybody: of a login nothing is there yet that could tell whether one is under way. */
const cutLogins = cutUnderWay('cut_logins', 'login_seq', 'sign_out', 'true');

/** No consent of this subject that was accepted before this becomes a grant after it. */
export async function withdrawConsentsUnderWay(
  database: Database,
  subject: string,
  reason: string,
): Promise<void> {
  await database.query(cutConsents, [subject, newId(), reason]);
  await outlastWriters(database, 'grant');
}

/** No login of this subject that was accepted before this becomes a session after it. */
export async function endLoginsUnderWay(
  database: Database,
  subject: string,
  reason: string,
): Promise<void> {
  await database.query(cutLogins, [subject, newId(), reason]);
  await outlastWriters(database, 'session');
}

const forestallChain: Statement = {
  name: 'chain_forestall',
  text: `
insert into chain (
  id, client_id, subject, grant_id, session_id, online, refreshable, attempt, mac_kid, scope,
  audience, login_born, grant_born, authenticated_at, expires_at, keep_until, revoked_at)
values (
  $1, '${nobody}', '${nobody}', '${nothing}', '${nothing}', true, false, '${nothing}', '-', '{}',
  '{}', 0, 0, now(), now() + interval '1 second', now() + interval '2 days', now())
on conflict (id) do nothing`,
};

/**
 * Puts a dead chain where none is: neither does the consent of this flow become a grant, nor is its
 * code redeemed. It is swept when flow and code are over: after two days. One that lives stays.
 */
export async function endFlow(database: Database, flowId: string): Promise<void> {
  await database.query(forestallChain, [flowId]);
  await outlastWriters(database, 'grant');
}

const forestallSession: Statement = {
  name: 'session_forestall',
  text: `
insert into session (
  id, subject, login_born, authenticated_at, remember, expires_at, ended_at, revoked_at)
values ($1, '${nobody}', 0, now(), false, now() + interval '1 second', now(), now())
on conflict (id) do nothing`,
};

/**
 * Puts a dead session where none is, so that a login under way does not begin it: a login app knows
 * the id before. One that lives stays.
 */
export async function forestall(
  database: Database,
  kind: 'chain' | 'session',
  id: string,
): Promise<void> {
  await database.query(kind === 'chain' ? forestallChain : forestallSession, [id]);
}

const writersMsMax = 10_000;
const askAgainMs = 5;

const writers: Statement = {
  name: 'table_writers',
  text: `
select l.virtualtransaction as writer
from pg_locks l
join pg_stat_activity a on a.pid = l.pid and a.usename = current_user
where l.locktype = 'relation' and l.relation = $1::text::regclass
  and l.database = (select d.oid from pg_database d where d.datname = current_database())
  and l.mode = 'RowExclusiveLock' and l.pid <> pg_backend_pid()`,
};

/**
 * Waits until every statement that was writing to the table has ended. Those that begin after this
 * call see what was committed before it, and what the others wrote is seen by the next statement:
 * so between them nothing is overlooked, whatever the clocks. Refuses with
 * {@link DatabaseUnavailable} where one writes for longer than ten seconds.
 */
async function outlastWriters(database: Database, table: 'grant' | 'session'): Promise<void> {
  const ask = async () =>
    (await database.query<{ writer: string }>(writers, [`"${table}"`])).map((row) => row.writer);
  let left = await ask();
  for (let waitedMs = 0; left.length > 0; waitedMs += askAgainMs) {
    if (waitedMs >= writersMsMax) {
      throw new DatabaseUnavailable(`table ${table} is being written to for over ten seconds`);
    }
    await new Promise((resolve) => setTimeout(resolve, askAgainMs));
    const now = new Set(await ask());
    left = left.filter((one) => now.has(one));
  }
}
