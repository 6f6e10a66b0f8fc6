import type { RevocationTrail } from '#server/audit/entry.ts';
import { newId } from '#server/identifiers.ts';
import { lifetime } from '#server/store/control.ts';
import type { Database, Statement } from '#server/store/database.ts';
import { locked } from '#server/store/fact-lock.ts';
import type { RevocationKind } from '#server/store/feed.ts';
import { nothing } from '#server/store/withdrawal.ts';

/** Something to be dead from now on. */
export interface NewRevocation {
  readonly kind: RevocationKind;
  /** A UUID for token, chain, grant, session and sign_out; else the subject or client id. */
  readonly target: string;
  readonly reason: string;
  /** For a token: seconds since the epoch when it ends by itself; null: not known. */
  readonly expiresAt: number | null;
  /**
   * Who caused it: an entry of the audit log comes with the revocation, if it kills anything.
   * Absent: none, or the caller writes it (server/http/admin/audited.ts).
   */
  readonly trail?: RevocationTrail;
}

/**
 * Makes revocations true in their rows and tells the feed, in one statement, under the lock of the
 * facts.
 */
const revoke: Statement = {
  name: 'revoke',
  text: `
with ${locked}, ${lifetime}, input as materialized (
  select i.kind, i.target, i.reason, i.expires_at,
    case when i.kind in ('chain', 'grant', 'session', 'sign_out') then i.target::uuid end as id,
    i.entry_id, i.action, i.actor_kind, i.actor, i.request_id, i.address
  from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::uuid[], $6::text[],
    $7::text[], $8::text[], $9::uuid[], $10::text[])
    as i (kind, target, reason, expires_at, entry_id, action, actor_kind, actor, request_id, address)
), due as materialized (
  select i.kind, i.target, i.reason, i.expires_at, i.id
  from input i
  left join chain c on i.kind = 'chain' and c.id = i.id
  left join "grant" g on i.kind = 'grant' and g.id = i.id
  left join session s on i.kind in ('session', 'sign_out') and s.id = i.id
  where i.kind in ('subject', 'client')
    or (i.kind = 'token'
      and (i.expires_at is null or i.expires_at > extract(epoch from now()))
      and not exists (
      select from fact f where f.target = i.target and f.kind = 'token'))
    or (i.kind = 'chain' and c.revoked_at is null and c.id is not null)
    or (i.kind = 'grant' and g.revoked_at is null and g.id is not null)
    or (i.kind = 'session' and s.revoked_at is null and s.id is not null)
    or (i.kind = 'sign_out' and s.ended_at is null and s.id is not null)
), numbered as materialized (
  select nextval('fact_seq') as seq, d.kind, d.target, d.reason, d.expires_at, d.id
  from locked l, due d
  where l.held
), chains as (
  update chain c set revoked_at = now()
  from numbered n where n.kind = 'chain' and c.id = n.id
), grants as (
  update "grant" g set revoked_at = now(), cut_seq = n.seq
  from numbered n where n.kind = 'grant' and g.id = n.id
), sessions as (
  update session s set revoked_at = now(), ended_at = coalesce(s.ended_at, now())
  from numbered n where n.kind = 'session' and s.id = n.id
), signed_out as (
  update session s set ended_at = now()
  from numbered n where n.kind = 'sign_out' and s.id = n.id
), cutoffs as (
  insert into cutoff as k (kind, target, seq)
  select n.kind, n.target, n.seq from numbered n where n.kind in ('subject', 'client')
  on conflict (kind, target) do update set seq = excluded.seq, created_at = now()
), trail as (
  insert into audit (
    id, action, outcome, actor_kind, actor, target_kind, target, reason, request_id, address)
  select i.entry_id, i.action, 'done', i.actor_kind, i.actor, n.kind, n.target, n.reason,
    i.request_id, i.address
  from numbered n, input i
  where i.entry_id is not null and i.kind = n.kind and i.target = n.target
)
insert into fact (seq, kind, target, reason, expires_at)
select n.seq, n.kind, n.target, n.reason,
  case when n.kind = 'token' and n.expires_at is not null
    then to_timestamp(n.expires_at) + interval '10 minutes'
    else e.ends_at end
from numbered n, lifetime e`,
};

/**
 * Revokes a batch of different targets, where a session and its signing out are one. Committed when
 * it resolves; whoever reports it to a caller waits for {@link Feed.acknowledged} first. Repeating it
 * is harmless.
 */
export async function revokeAll(
  database: Database,
  revocations: readonly NewRevocation[],
): Promise<readonly true[]> {
  await database.query(revoke, [
    revocations.map((r) => r.kind),
    revocations.map((r) => r.target),
    revocations.map((r) => r.reason),
    revocations.map((r) => r.expiresAt),
    revocations.map((r) => (r.trail === undefined ? null : newId())),
    revocations.map((r) => r.trail?.action ?? null),
    revocations.map((r) => r.trail?.actor.kind ?? null),
    revocations.map((r) => r.trail?.actor.id ?? null),
    revocations.map((r) => r.trail?.requestId ?? null),
    revocations.map((r) => r.trail?.address ?? null),
  ]);
  return revocations.map(() => true);
}

/** How many ids the next two give at most; after those are dead, there may be more. */
export const idsPerRead = 10_000;

const grantsOf: Statement = {
  name: 'grants_of',
  text: `
select g.id, g.client_id from "grant" g
where g.subject = $1 and g.revoked_at is null
  and ($2::text is null or g.client_id = $2)
  and ($3::uuid is null or g.last_flow_id = $3)
order by g.client_id
limit ${idsPerRead}`,
};

/** The ids of a subject's living grants, of one client or one consent where these are named. */
export async function grantIdsOf(
  database: Database,
  subject: string,
  clientId: string | null,
  consentRequestId: string | null,
): Promise<readonly string[]> {
  const rows = await database.query<{ id: string }>(grantsOf, [
    subject,
    clientId,
    consentRequestId,
  ]);
  return rows.map((row) => row.id);
}

/**
 * Whose consent a flow asked for: the flow's id is that of the chain and, where the person signed in
 * for it, of the login. Probes chain and session by id, grant by (subject, client).
 */
const grantOfFlow: Statement = {
  name: 'grant_of_flow',
  text: `
select g.id
from (
  select c.subject, c.client_id from chain c where c.id = $1 and c.grant_id <> '${nothing}'
  union all
  select s.subject, null from session s where s.id = $1
) w
left join "grant" g on g.subject = w.subject
  and (w.client_id is null or g.client_id = w.client_id)
  and g.last_flow_id = $1 and g.revoked_at is null`,
};

/** Reads grant by id, 2000 rows at a time. */
const grantsByFlow: Statement = {
  name: 'grants_by_flow',
  text: `
with slice as (
  select g.id, g.last_flow_id, g.revoked_at from "grant" g where g.id > $1 order by g.id limit 2000
)
select s.id, s.last_flow_id = $2 and s.revoked_at is null as found
from slice s
where s.last_flow_id = $2
  or s.id = (select l.id from slice l order by l.id desc limit 1)
order by s.id`,
};

/**
 * The ids of living grants whose last consent had this id. As a rule two probes. Where the person had
 * signed in before, and the code was never redeemed or its chain has been swept, nothing else knows
 * the flow, and the grants are walked in slices: about 1 us a grant, for an administrator's rare
 * request. An index would cost every consent (docs/growth.md).
 */
export async function grantIdsOfConsent(
  database: Database,
  consentRequestId: string,
): Promise<readonly string[]> {
  const known = await database.query<{ id: string | null }>(grantOfFlow, [consentRequestId]);
  if (known.length > 0) {
    const ids = known.flatMap(({ id }) => (id === null ? [] : [id]));
    return [...new Set(ids)];
  }
  const found: string[] = [];
  for (let after: string | undefined = nothing; after !== undefined; ) {
    const rows: { id: string; found: boolean }[] = await database.query(grantsByFlow, [
      after,
      consentRequestId,
    ]);
    found.push(...rows.filter((row) => row.found).map((row) => row.id));
    after = rows.at(-1)?.id;
  }
  return found;
}

const sessionsOf: Statement = {
  name: 'sessions_of',
  text: `
select s.id from session s
where s.subject = $1 and s.ended_at is null and s.revoked_at is null
order by s.id
limit ${idsPerRead}`,
};

/** The ids of a subject's living logins. */
export async function sessionIdsOf(
  database: Database,
  subject: string,
): Promise<readonly string[]> {
  const rows = await database.query<{ id: string }>(sessionsOf, [subject]);
  return rows.map((row) => row.id);
}
