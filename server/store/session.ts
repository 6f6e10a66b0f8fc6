import type { Database, Statement } from '#server/store/database.ts';

/** A login that lives. */
export interface Session {
  /** The id of the flow that made it: a replayed verifier conflicts, and yields no second login. */
  readonly id: string;
  readonly subject: string;
  readonly loginBorn: number;
  /** Seconds since the epoch. */
  readonly authenticatedAt: number;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly remember: boolean;
}

/** A login as the flow that made it wants it written. */
export interface NewSession extends Session {
  readonly idpSessionId: string | null;
  readonly lifetimeSeconds: number;
  /** Whose remembered grant is read in the same statement. */
  readonly clientId: string;
}

/** What a subject allowed a client before and wants remembered; undefined: ask. */
export interface RememberedGrant {
  readonly grantBorn: number;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
}

/** `dead`: the subject was revoked since, or the session ended. `taken`: another login used the flow. */
export type SessionOutcome =
  | {
      readonly kind: 'live';
      readonly session: Session;
      readonly remembered: RememberedGrant | undefined;
    }
  | { readonly kind: 'dead' | 'taken' };

/** Whether a grant is to be remembered, and lives. */
const isRemembered = `g.remember and g.revoked_at is null
    and (g.remember_until is null or g.remember_until > now())
    and not exists (
      select from cutoff k
      where k.kind = 'subject' and k.target = g.subject and k.seq > g.login_born offset 0)
    and not exists (
      select from cutoff k
      where k.kind = 'client' and k.target = g.client_id and k.seq > g.grant_born offset 0)`;

/**
 * Inserts logins, one per flow, and reads what the subject remembered for the client: the first of
 * the three statements of a login. Probes cutoff, session by id, grant by (subject, client).
 */
const begin: Statement = {
  name: 'session_begin',
  text: `
with inserted as (
  insert into session as s (
    id, subject, login_born, authenticated_at, acr, amr, remember, idp_session_id, expires_at)
  select i.id, i.subject, i.login_born, to_timestamp(i.authenticated_at),
    i.acr, string_to_array(i.amr, ' '), i.remember, i.idp_session_id,
    now() + make_interval(secs => i.lifetime_seconds)
  from unnest(
    $1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[],
    $6::text[], $7::bool[], $8::text[], $9::int[]
  ) as i (
    id, subject, login_born, authenticated_at, acr,
    amr, remember, idp_session_id, lifetime_seconds
  )
  where not exists (
    select from cutoff k
    where k.kind = 'subject' and k.target = i.subject
      and greatest(k.seq, k.login_seq) > i.login_born offset 0)
  on conflict (id) do nothing
  returning s.id
)
select i.id, n.id is not null as inserted, g.grant_born, g.remembered_scope, g.remembered_audience
from unnest($1::uuid[], $2::text[], $10::text[]) as i (id, subject, client_id)
left join inserted n on n.id = i.id
left join lateral (
  select greatest(g.grant_born, g.cut_seq) as grant_born, g.remembered_scope, g.remembered_audience
  from "grant" g
  where g.subject = i.subject and g.client_id = i.client_id and ${isRemembered}
  limit 1
) g on true`,
};

/** The logins that were there already. Probes session by id, cutoff. */
const explain: Statement = {
  name: 'session_explain',
  text: `
select s.id, s.subject, s.login_born,
  extract(epoch from s.authenticated_at)::bigint as authenticated_at, s.acr, s.amr, s.remember,
  s.ended_at is null and s.revoked_at is null and not exists (
    select from cutoff k
    where k.kind = 'subject' and k.target = s.subject and k.seq > s.login_born offset 0) as lives
from session s
where s.id = any($1::uuid[])`,
};

interface BegunRow {
  id: string;
  inserted: boolean;
  grant_born: string | null;
  remembered_scope: string[];
  remembered_audience: string[];
}

interface SessionRow {
  id: string;
  subject: string;
  login_born: string;
  authenticated_at: string;
  acr: string;
  amr: string[];
  remember: boolean;
}

/** Begins a batch of logins of different flows: one statement, and one more where some were refused. */
export async function beginSessions(
  database: Database,
  sessions: readonly NewSession[],
): Promise<readonly SessionOutcome[]> {
  const rows = await database.query<BegunRow>(begin, [
    sessions.map((s) => s.id),
    sessions.map((s) => s.subject),
    sessions.map((s) => s.loginBorn),
    sessions.map((s) => s.authenticatedAt),
    sessions.map((s) => s.acr),
    sessions.map((s) => s.amr.join(' ')),
    sessions.map((s) => s.remember),
    sessions.map((s) => s.idpSessionId),
    sessions.map((s) => s.lifetimeSeconds),
    sessions.map((s) => s.clientId),
  ]);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const refused = rows.filter((row) => !row.inserted).map((row) => row.id);
  const existing = refused.length === 0 ? none : await readExisting(database, refused);
  return sessions.map((session): SessionOutcome => {
    const row = byId.get(session.id);
    const remembered = row && rememberedGrant(row);
    if (row?.inserted) return { kind: 'live', session, remembered };
    const found = existing.get(session.id);
    if (found === undefined || !found.lives) return { kind: 'dead' };
    // A verifier that is replayed gets the identity it had, and a second one for the flow none.
    if (found.subject !== session.subject) return { kind: 'taken' };
    return { kind: 'live', session: sessionOf(found), remembered };
  });
}

type ExistingRow = SessionRow & { lives: boolean };
const none: ReadonlyMap<string, ExistingRow> = new Map();

async function readExisting(
  database: Database,
  ids: readonly string[],
): Promise<ReadonlyMap<string, ExistingRow>> {
  const rows = await database.query<ExistingRow>(explain, [ids]);
  return new Map(rows.map((row) => [row.id, row]));
}

function rememberedGrant(
  row: Pick<BegunRow, 'grant_born' | 'remembered_scope' | 'remembered_audience'>,
): RememberedGrant | undefined {
  if (row.grant_born === null) return undefined;
  return {
    grantBorn: Number(row.grant_born),
    scope: row.remembered_scope,
    audience: row.remembered_audience,
  };
}

function sessionOf(row: SessionRow): Session {
  return {
    id: row.id,
    subject: row.subject,
    loginBorn: Number(row.login_born),
    authenticatedAt: Number(row.authenticated_at),
    acr: row.acr,
    amr: row.amr,
    remember: row.remember,
  };
}

/** Reads one login that lives, and what its subject remembered for a client. Probes as `begin`. */
const resume: Statement = {
  name: 'session_resume',
  text: `
select s.id, s.subject, s.login_born,
  extract(epoch from s.authenticated_at)::bigint as authenticated_at,
  s.acr, s.amr, s.remember,
  greatest(g.grant_born, g.cut_seq) as grant_born, g.remembered_scope, g.remembered_audience
from session s
left join "grant" g on g.subject = s.subject and g.client_id = $2 and ${isRemembered}
where s.id = $1 and s.ended_at is null and s.revoked_at is null and s.expires_at > now()
  and not exists (
    select from cutoff k
    where k.kind = 'subject' and k.target = s.subject and k.seq > s.login_born offset 0)`,
};

/** The login with this id if it lives; `remember_for` is enforced here, not by the cookie's age. */
export async function resumeSession(
  database: Database,
  sessionId: string,
  clientId: string,
): Promise<SessionOutcome> {
  const [row] = await database.query<SessionRow & BegunRow>(resume, [sessionId, clientId]);
  if (row === undefined) return { kind: 'dead' };
  return { kind: 'live', session: sessionOf(row), remembered: rememberedGrant(row) };
}

const extend: Statement = {
  name: 'session_extend',
  text: `
update session set expires_at = now() + make_interval(secs => $2)
where id = $1 and ended_at is null and revoked_at is null`,
};

/** Makes a remembered login last `lifetimeSeconds` from now (`extend_session_lifespan`). */
export async function extendSession(
  database: Database,
  sessionId: string,
  lifetimeSeconds: number,
): Promise<void> {
  await database.query(extend, [sessionId, lifetimeSeconds]);
}
