import type { Database, Statement } from '#server/store/database.ts';
import { nothing } from '#server/store/withdrawal.ts';

/** What one consent adds to the grant of its subject and client. */
export interface NewGrant {
  /** The id the row gets if it is new, or if what was there is dead. */
  readonly id: string;
  readonly flowId: string;
  readonly subject: string;
  readonly clientId: string;
  readonly sessionId: string;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly loginBorn: number;
  readonly grantBorn: number;
  readonly remember: boolean;
  /** 0: for ever. */
  readonly rememberSeconds: number;
  readonly skipped: boolean;
  /** What the consent listing shows of the last consent. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/**
 * `granted`: the row holds the consent. `redeemed`: the flow's code was used before. `dead`: the
 * session ended, or subject, client or grant were revoked since the flow was born.
 */
export type GrantOutcome =
  | { readonly kind: 'granted'; readonly id: string; readonly version: number }
  | { readonly kind: 'redeemed' | 'dead' };

/**
 * One row per subject and client; consent adds scopes. A dead row gets a new id, version 1 and only
 * the new scopes; a flow born before the row's last cut changes nothing (hot path 6). What a
 * row holds is bounded: beyond 100 scopes or audiences the oldest make room for what is asked now.
 * Probes session and chain by id, cutoff, grant by (subject, client).
 */
const give: Statement = {
  name: 'grant_give',
  text: `
insert into "grant" as g (
  subject, client_id, id, scope, audience, login_born, grant_born, last_flow_id,
  session_id, remembered_scope, remembered_audience, remember,
  remember_seconds, remember_until, skipped, detail)
select i.subject, i.client_id, i.id, string_to_array(i.scope, ' '),
  string_to_array(i.audience, ' '), i.login_born, i.grant_born, i.flow_id, i.session_id,
  case when i.remember then string_to_array(i.scope, ' ') else '{}' end,
  case when i.remember then string_to_array(i.audience, ' ') else '{}' end,
  i.remember, i.remember_seconds,
  case when i.remember_seconds > 0 then now() + make_interval(secs => i.remember_seconds) end,
  i.skipped, i.detail
from unnest(
  $1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
  $7::text[], $8::bigint[], $9::bigint[], $10::bool[], $11::int[], $12::bool[], $13::jsonb[]
) as i (
  subject, client_id, id, flow_id, session_id, scope,
  audience, login_born, grant_born, remember, remember_seconds, skipped, detail
)
where not exists (select from chain c where c.id = i.flow_id)
  and exists (
    select from session s
    where s.id = i.session_id and s.subject = i.subject
      and s.ended_at is null and s.revoked_at is null)
  and not exists (
    select from cutoff k
    where k.kind = 'subject' and k.target = i.subject
      and (k.seq > i.login_born or k.consent_seq > i.grant_born) offset 0)
  and not exists (
    select from cutoff k
    where k.kind = 'client' and k.target = i.client_id and k.seq > i.grant_born offset 0)
on conflict (subject, client_id) do update set (
  id, version, scope, audience, login_born, grant_born, last_flow_id,
  session_id, remembered_scope, remembered_audience, remember, remember_seconds,
  remember_until, skipped, detail, created_at, handled_at, revoked_at
) = (
  select
    case when d.dead then excluded.id else g.id end,
    case when d.dead then 1 else g.version end,
    case when d.dead or g.scope @> excluded.scope and g.scope <@ excluded.scope
      then excluded.scope
      else array(
        select u.one from unnest(excluded.scope || g.scope) with ordinality as u (one, place)
        group by u.one order by min(u.place) limit 100) end,
    case when d.dead then excluded.audience
      else array(
        select u.one from unnest(excluded.audience || g.audience) with ordinality as u (one, place)
        group by u.one order by min(u.place) limit 100) end,
    case when d.dead then excluded.login_born
      else greatest(g.login_born, excluded.login_born) end,
    case when d.dead then excluded.grant_born
      else greatest(g.grant_born, excluded.grant_born) end,
    excluded.last_flow_id, excluded.session_id,
    case when d.dead then excluded.remembered_scope
      when d.adds then array(
        select u.one
        from unnest(excluded.remembered_scope || g.remembered_scope) with ordinality as u (one, place)
        group by u.one order by min(u.place) limit 100)
      when excluded.remember then excluded.remembered_scope
      else g.remembered_scope end,
    case when d.dead then excluded.remembered_audience
      when d.adds then array(
        select u.one
        from unnest(excluded.remembered_audience || g.remembered_audience)
          with ordinality as u (one, place)
        group by u.one order by min(u.place) limit 100)
      when excluded.remember then excluded.remembered_audience
      else g.remembered_audience end,
    case when d.dead then excluded.remember else g.remember or excluded.remember end,
    case when d.dead or excluded.remember then excluded.remember_seconds
      else g.remember_seconds end,
    case when d.dead or excluded.remember then excluded.remember_until
      else g.remember_until end,
    excluded.skipped,
    -- a skipped consent shows what the person last saw
    case when excluded.skipped and not d.dead then g.detail else excluded.detail end,
    case when d.dead then now() else g.created_at end,
    now(), null::timestamptz
  from (
    select g.revoked_at is not null
      or exists (
        select from cutoff k
        where k.kind = 'subject' and k.target = g.subject and k.seq > g.login_born offset 0)
      or exists (
        select from cutoff k
        where k.kind = 'client' and k.target = g.client_id and k.seq > g.grant_born offset 0) as dead,
      -- two consents remembered for ever add up; one with an end takes the other's place
      g.remember and excluded.remember
        and g.remember_until is null and excluded.remember_until is null as adds
    -- or each case above would probe the cutoffs anew: 31 probes and 65 buffers, not 9 and 21
    offset 0
  ) d
)
where g.cut_seq <= excluded.grant_born
returning g.last_flow_id, g.id, g.version`,
};

/** Which of these flows got their code redeemed before. Probes chain by id. */
const explain: Statement = {
  name: 'grant_explain',
  text: `
select c.id from chain c where c.id = any($1::uuid[]) and c.grant_id <> '${nothing}'`,
};

interface GrantRow {
  last_flow_id: string;
  id: string;
  version: number;
}

/**
 * Writes a batch of consents of different (subject, client) pairs: one statement, and one more where
 * some were refused.
 */
export async function giveGrants(
  database: Database,
  grants: readonly NewGrant[],
): Promise<readonly GrantOutcome[]> {
  const rows = await database.query<GrantRow>(give, [
    grants.map((g) => g.subject),
    grants.map((g) => g.clientId),
    grants.map((g) => g.id),
    grants.map((g) => g.flowId),
    grants.map((g) => g.sessionId),
    grants.map((g) => g.scope.join(' ')),
    grants.map((g) => g.audience.join(' ')),
    grants.map((g) => g.loginBorn),
    grants.map((g) => g.grantBorn),
    grants.map((g) => g.remember),
    grants.map((g) => g.rememberSeconds),
    grants.map((g) => g.skipped),
    grants.map((g) => JSON.stringify(g.detail)),
  ]);
  const byFlow = new Map(rows.map((row) => [row.last_flow_id, row]));
  const refused = grants.map((grant) => grant.flowId).filter((id) => !byFlow.has(id));
  const redeemed = refused.length === 0 ? none : await readRedeemed(database, refused);
  return grants.map((grant): GrantOutcome => {
    const row = byFlow.get(grant.flowId);
    if (row !== undefined) return { kind: 'granted', id: row.id, version: row.version };
    return { kind: redeemed.has(grant.flowId) ? 'redeemed' : 'dead' };
  });
}

const none: ReadonlySet<string> = new Set();

async function readRedeemed(
  database: Database,
  flowIds: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await database.query<{ id: string }>(explain, [flowIds]);
  return new Set(rows.map((row) => row.id));
}
