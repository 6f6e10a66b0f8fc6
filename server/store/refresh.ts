import type { Lost } from '#core/narrowing.ts';
import type { Database, Statement } from '#server/store/database.ts';

/** One presented refresh token whose MAC was right, and what its use asks for. */
export interface RefreshAttempt {
  readonly chainId: string;
  /** The generation in the presented token. */
  readonly generation: number;
  readonly attempt: string;
  readonly clientId: string;
  readonly cnf: Buffer | null;
  /** The kid that the successor is made with. */
  readonly macKid: string;
  /** What is asked for; null: what was granted. */
  readonly scope: readonly string[] | null;
  readonly resource: readonly string[] | null;
  readonly graceSeconds: number;
  readonly idleSeconds: number;
  readonly keepSeconds: number;
}

/** The chain after the statement, or as it stood when it refused. */
export interface ChainState {
  readonly generation: number;
  readonly macKid: string;
  readonly clientId: string;
  readonly subject: string;
  readonly grantId: string;
  readonly grantVersion: number;
  readonly grantScope: readonly string[];
  /** undefined: the grant was not narrowed since the consent. */
  readonly lost: Lost | undefined;
  readonly sessionId: string;
  readonly online: boolean;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  readonly loginBorn: number;
  readonly grantBorn: number;
  /** Seconds since the epoch. */
  readonly authenticatedAt: number;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly claims: string | null;
}

/**
 * `dead`: revoked, expired, or what it hangs from is. `foreign`: issued to another client, or bound
 * to another key. `reused`: a token spent before, outside its grace. `unsettled`: another transaction
 * changed the row meanwhile; ask again.
 */
export type RefreshOutcome =
  | { readonly kind: 'refreshed'; readonly chain: ChainState; readonly ahead: boolean }
  | {
      readonly kind:
        | 'unknown'
        | 'foreign'
        | 'dead'
        | 'reused'
        | 'scope_widened'
        | 'resource_widened';
    }
  | { readonly kind: 'unsettled' };

/**
 * Rotates refresh chains by compare-and-set on the generation (hot path 4). A retry inside
 * the grace writes the row as it is and so gets the same successor. Touches no indexed column: the
 * updates stay HOT (fillfactor 80: 100 %; at 100: 60 %). Probes chain, grant, session by id and
 * cutoff twice. The sweeper keeps a session's row while a chain refers to it. A statement that
 * waited for the row has an older now() than the rotation that it waited for, so without a grace no
 * time is compared at all.
 */
const rotate: Statement = {
  name: 'refresh',
  text: `
with input as (
  select
    i.id, i.generation, i.attempt, i.client_id, i.cnf, i.mac_kid, i.scope,
    i.resource, i.grace_seconds, i.idle_seconds, i.keep_seconds
  from unnest(
    $1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::text[],
    $8::text[], $9::int[], $10::int[], $11::int[]
  ) as i (
    id, generation, attempt, client_id, cnf, mac_kid, scope,
    resource, grace_seconds, idle_seconds, keep_seconds
  )
), prior as (
  select i.id, c.generation, c.client_id, c.cnf, c.attempt, c.scope, c.resource,
    i.grace_seconds > 0
      and c.rotated_at + make_interval(secs => i.grace_seconds) > now() as in_grace,
    c.revoked_at is null and c.refreshable and c.expires_at > now()
      and (c.absolute_expires_at is null or c.absolute_expires_at > now())
      and g.id is not null
      and s.revoked_at is null
      and (not c.online or s.ended_at is null and s.expires_at > now())
      and not exists (
        select from cutoff k
        where k.kind = 'subject' and k.target = c.subject and k.seq > c.login_born offset 0)
      and not exists (
        select from cutoff k
        where k.kind = 'client' and k.target = c.client_id and k.seq > c.grant_born offset 0) as alive,
    g.version as grant_version, g.scope as grant_scope,
    case when g.cut_seq > c.grant_born then g.lost end as lost,
    i.resource is null or g.cut_seq <= c.grant_born or not exists (
      select from jsonb_each_text(g.lost -> 'audience') as l (name, seq)
      where l.seq::bigint > c.grant_born and l.name = any(string_to_array(i.resource, ' '))
    ) as resource_kept,
    i.scope is null or g.cut_seq <= c.grant_born or exists (
      select from unnest(string_to_array(i.scope, ' ')) as a (name)
      where a.name = any(g.scope)
        and coalesce((g.lost -> 'scope' ->> a.name)::bigint, 0) <= c.grant_born
    ) as scope_kept
  from input i
  join chain c on c.id = i.id
  left join "grant" g on g.id = c.grant_id and g.revoked_at is null
  join session s on s.id = c.session_id
), rotated as (
  update chain as c set
    generation = greatest(c.generation, i.generation + 1),
    mac_kid = case when c.generation <= i.generation then i.mac_kid else c.mac_kid end,
    attempt = case when c.generation <= i.generation then i.attempt else c.attempt end,
    rotated_at = case when c.generation <= i.generation then now() else c.rotated_at end,
    expires_at = case when c.generation <= i.generation
      then now() + make_interval(secs => i.idle_seconds) else c.expires_at end,
    keep_until = greatest(c.keep_until, now() + make_interval(secs => i.keep_seconds))
  from input i join prior p on p.id = i.id
  where c.id = i.id and p.alive
    and c.client_id = i.client_id and c.cnf is not distinct from i.cnf
    and c.revoked_at is null
    and (c.generation <= i.generation
      or (c.generation = i.generation + 1
        and (i.grace_seconds > 0
            and c.rotated_at + make_interval(secs => i.grace_seconds) > now()
          or c.attempt = i.attempt)))
    and (i.scope is null or string_to_array(i.scope, ' ') <@ c.scope)
    and (i.resource is null or string_to_array(i.resource, ' ') <@ c.resource)
    and p.resource_kept and p.scope_kept
  returning c.id, c.generation, c.mac_kid, c.client_id, c.subject, c.grant_id, c.session_id,
    c.online, c.scope, c.audience, c.resource, c.login_born, c.grant_born,
    extract(epoch from c.authenticated_at)::bigint as authenticated_at, c.acr, c.amr, c.claims
)
select i.id, p.id is not null as known,
  p.client_id = i.client_id and p.cnf is not distinct from i.cnf as bound,
  p.alive, p.generation as prior_generation, p.in_grace, p.attempt = i.attempt as own,
  i.scope is null or string_to_array(i.scope, ' ') <@ p.scope and p.scope_kept as scope_held,
  i.resource is null or string_to_array(i.resource, ' ') <@ p.resource and p.resource_kept
    as resource_held,
  p.grant_version, p.grant_scope, p.lost,
  r.generation, r.mac_kid, r.client_id, r.subject, r.grant_id, r.session_id, r.online, r.scope,
  r.audience, r.resource, r.login_born, r.grant_born, r.authenticated_at, r.acr, r.amr, r.claims
from input i
left join prior p on p.id = i.id
left join rotated r on r.id = i.id`,
};

interface RefreshRow {
  id: string;
  known: boolean;
  bound: boolean | null;
  alive: boolean | null;
  prior_generation: number | null;
  in_grace: boolean | null;
  own: boolean | null;
  scope_held: boolean | null;
  resource_held: boolean | null;
  grant_version: number;
  grant_scope: string[];
  lost: Lost | null;
  generation: number | null;
  mac_kid: string;
  client_id: string;
  subject: string;
  grant_id: string;
  session_id: string;
  online: boolean;
  scope: string[];
  audience: string[];
  resource: string[];
  login_born: string;
  grant_born: string;
  authenticated_at: string;
  acr: string;
  amr: string[];
  claims: string | null;
}

/** Refreshes a batch of tokens of different chains, in one statement. */
export async function refreshChains(
  database: Database,
  attempts: readonly RefreshAttempt[],
): Promise<readonly RefreshOutcome[]> {
  const rows = await database.query<RefreshRow>(rotate, [
    attempts.map((a) => a.chainId),
    attempts.map((a) => a.generation),
    attempts.map((a) => a.attempt),
    attempts.map((a) => a.clientId),
    attempts.map((a) => a.cnf),
    attempts.map((a) => a.macKid),
    attempts.map((a) => a.scope?.join(' ') ?? null),
    attempts.map((a) => a.resource?.join(' ') ?? null),
    attempts.map((a) => a.graceSeconds),
    attempts.map((a) => a.idleSeconds),
    attempts.map((a) => a.keepSeconds),
  ]);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return attempts.map((attempt) => judge(attempt, byId.get(attempt.chainId)));
}

/**
 * Why the statement did or did not rotate. Client and binding are judged before reuse, so a
 * stranger with a spent token learns and revokes nothing (R5).
 */
function judge(attempt: RefreshAttempt, row: RefreshRow | undefined): RefreshOutcome {
  if (row === undefined) return { kind: 'unsettled' };
  if (row.generation !== null) {
    const ahead = row.prior_generation !== null && row.prior_generation < attempt.generation;
    return { kind: 'refreshed', chain: chainState(row), ahead };
  }
  if (!row.known) return { kind: 'unknown' };
  if (row.bound !== true) return { kind: 'foreign' };
  if (row.alive !== true) return { kind: 'dead' };
  const spent = (row.prior_generation ?? 0) - attempt.generation;
  const retry = spent === 1 && (row.in_grace === true || row.own === true);
  if (spent > 0 && !retry) return { kind: 'reused' };
  if (row.scope_held === false) return { kind: 'scope_widened' };
  if (row.resource_held === false) return { kind: 'resource_widened' };
  return { kind: 'unsettled' };
}

function chainState(row: RefreshRow): ChainState {
  return {
    generation: row.generation ?? 0,
    macKid: row.mac_kid,
    clientId: row.client_id,
    subject: row.subject,
    grantId: row.grant_id,
    grantVersion: row.grant_version,
    grantScope: row.grant_scope,
    lost: row.lost ?? undefined,
    sessionId: row.session_id,
    online: row.online,
    scope: row.scope,
    audience: row.audience,
    resource: row.resource,
    loginBorn: Number(row.login_born),
    grantBorn: Number(row.grant_born),
    authenticatedAt: Number(row.authenticated_at),
    acr: row.acr,
    amr: row.amr,
    claims: row.claims,
  };
}
