import type { Database, Statement } from '#server/store/database.ts';
import { nobody } from '#server/store/withdrawal.ts';

/** A grant as operators see it, dead or alive. Times are RFC 3339 in UTC. */
export interface StandingGrant {
  readonly id: string;
  readonly subject: string;
  readonly clientId: string;
  readonly version: number;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly sessionId: string;
  readonly remember: boolean;
  readonly createdAt: string;
  readonly handledAt: string;
  readonly state: 'live' | 'revoked';
}

const time = (column: string) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`;

const grantColumns = `g.id, g.subject, g.client_id, g.version, g.scope, g.audience, g.session_id,
  g.remember, ${time('g.created_at')} as created_at, ${time('g.handled_at')} as handled_at,
  case when g.revoked_at is not null
    or exists (
      select from cutoff k
      where k.kind = 'subject' and k.target = g.subject and k.seq > g.login_born offset 0)
    or exists (
      select from cutoff k
      where k.kind = 'client' and k.target = g.client_id and k.seq > g.grant_born offset 0)
  then 'revoked' else 'live' end as state`;

const grantsOf: Statement = {
  name: 'standing_grants',
  text: `
select ${grantColumns} from "grant" g
where g.subject = $1 and g.client_id > $2 and ($3::text is null or g.client_id = $3)
order by g.client_id
limit $4`,
};

const grantById: Statement = {
  name: 'standing_grant',
  text: `select ${grantColumns} from "grant" g where g.id = $1`,
};

interface GrantRow {
  id: string;
  subject: string;
  client_id: string;
  version: number;
  scope: string[];
  audience: string[];
  session_id: string;
  remember: boolean;
  created_at: string;
  handled_at: string;
  state: StandingGrant['state'];
}

/** A subject's grants after `afterClientId`, in the order of client ids. Walks the primary key. */
export async function standingGrants(
  database: Database,
  subject: string,
  clientId: string | null,
  afterClientId: string,
  limit: number,
): Promise<readonly StandingGrant[]> {
  const values = [subject, afterClientId, clientId, limit];
  return (await database.query<GrantRow>(grantsOf, values)).map(grantOf);
}

/** One grant, by the unique index of its id. */
export async function standingGrant(
  database: Database,
  id: string,
): Promise<StandingGrant | undefined> {
  const [row] = await database.query<GrantRow>(grantById, [id]);
  return row && grantOf(row);
}

function grantOf(row: GrantRow): StandingGrant {
  return {
    id: row.id,
    subject: row.subject,
    clientId: row.client_id,
    version: row.version,
    scope: row.scope,
    audience: row.audience,
    sessionId: row.session_id,
    remember: row.remember,
    createdAt: row.created_at,
    handledAt: row.handled_at,
    state: row.state,
  };
}

/** A login as operators see it. */
export interface StandingSession {
  readonly id: string;
  readonly subject: string;
  readonly authenticatedAt: string;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly remember: boolean;
  readonly expiresAt: string;
  /** `signed_out`: apps with offline_access stay connected. */
  readonly state: 'live' | 'signed_out' | 'revoked' | 'expired';
}

const sessionsOf: Statement = {
  name: 'standing_sessions',
  text: `
select s.id, s.subject, ${time('s.authenticated_at')} as authenticated_at, s.acr, s.amr,
  s.remember, ${time('s.expires_at')} as expires_at,
  case
    when s.revoked_at is not null or exists (
      select from cutoff k
      where k.kind = 'subject' and k.target = s.subject and k.seq > s.login_born offset 0)
    then 'revoked'
    when s.ended_at is not null then 'signed_out'
    when s.expires_at <= now() then 'expired'
    else 'live' end as state
from session s
where s.subject = $1 and ($2::uuid is null or s.id < $2)
order by s.id desc
limit $3`,
};

interface SessionRow {
  id: string;
  subject: string;
  authenticated_at: string;
  acr: string;
  amr: string[];
  remember: boolean;
  expires_at: string;
  state: StandingSession['state'];
}

/**
 * A subject's logins before `beforeId`, the newest first: their ids begin with the time. By the
 * index on subject; all of them are sorted, and one subject has few.
 */
export async function standingSessions(
  database: Database,
  subject: string,
  beforeId: string | null,
  limit: number,
): Promise<readonly StandingSession[]> {
  const rows = await database.query<SessionRow>(sessionsOf, [subject, beforeId, limit]);
  return rows.map((row) => ({
    id: row.id,
    subject: row.subject,
    authenticatedAt: row.authenticated_at,
    acr: row.acr,
    amr: row.amr,
    remember: row.remember,
    expiresAt: row.expires_at,
    state: row.state,
  }));
}

/** Probes by primary key, or by the indexes on subject of grant and session. */
const known: Statement = {
  name: 'standing_known',
  text: `
select case $1
  when 'subject' then exists (select from "grant" g where g.subject = $2)
    or exists (select from session s where s.subject = $2)
  when 'client' then exists (select from client c where c.client_id = $2)
  when 'grant' then exists (select from "grant" g where g.id = $3)
  when 'session' then exists (
    select from session s where s.id = $3 and s.subject <> '${nobody}')
  when 'chain' then exists (
    select from chain c where c.id = $3 and c.subject <> '${nobody}')
  else true end as known`,
};

/**
 * False where a revocation of this target can have killed nothing but what is under way: nobody has
 * signed in by this subject, there is no such client, grant, session or chain.
 */
export async function isKnown(database: Database, kind: string, target: string): Promise<boolean> {
  const id = kind === 'subject' || kind === 'client' ? null : target;
  const [row] = await database.query<{ known: boolean }>(known, [
    kind,
    target,
    kind === 'token' ? null : id,
  ]);
  return row?.known === true;
}

/** A key as operators see it: no part of it. */
export interface StandingKey {
  readonly setName: string;
  readonly kid: string;
  readonly alg: string;
  readonly use: string;
  readonly activeAt: string;
  readonly retiredAt: string | null;
  /** `waiting`: published, and not used before `activeAt`. `retired`: only opens or verifies. */
  readonly state: 'waiting' | 'active' | 'retired';
}

const keys: Statement = {
  name: 'standing_keys',
  text: `
select k.set_name, k.kid, k.alg, k.use, ${time('k.active_at')} as active_at,
  ${time('k.retired_at')} as retired_at,
  case when k.active_at > now() then 'waiting'
    when k.retired_at <= now() then 'retired'
    else 'active' end as state
from key k
where k.expires_at is null or k.expires_at > now()
order by k.set_name, k.alg, k.active_at desc, k.kid
limit 5000`,
};

interface KeyRow {
  set_name: string;
  kid: string;
  alg: string;
  use: string;
  active_at: string;
  retired_at: string | null;
  state: StandingKey['state'];
}

/** Every key that has not expired. Reads the table whole, which is small. */
export async function standingKeys(database: Database): Promise<readonly StandingKey[]> {
  return (await database.query<KeyRow>(keys, [])).map((row) => ({
    setName: row.set_name,
    kid: row.kid,
    alg: row.alg,
    use: row.use,
    activeAt: row.active_at,
    retiredAt: row.retired_at,
    state: row.state,
  }));
}
