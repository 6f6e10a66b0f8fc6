import { lifetime } from '#server/store/control.ts';
import type { Database, Statement } from '#server/store/database.ts';
import { locked } from '#server/store/fact-lock.ts';

/** A living grant as an administrator is about to narrow it. */
export interface NarrowableGrant {
  readonly version: number;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  /** How many names it has lost so far. */
  readonly lostCount: number;
}

const read: Statement = {
  name: 'grant_read',
  text: `
select g.version, g.scope, g.audience,
  (select count(*)::int from jsonb_each(g.lost) l, jsonb_each(l.value)) as lost_count
from "grant" g
where g.id = $1 and g.revoked_at is null
  and not exists (
    select from cutoff k
    where k.kind = 'subject' and k.target = g.subject and k.seq > g.login_born offset 0)
  and not exists (
    select from cutoff k
    where k.kind = 'client' and k.target = g.client_id and k.seq > g.grant_born offset 0)`,
};

/** The grant with this id if it lives. Probes grant by id, cutoff twice. */
export async function readGrant(
  database: Database,
  id: string,
): Promise<NarrowableGrant | undefined> {
  const [row] = await database.query<{
    version: number;
    scope: string[];
    audience: string[];
    lost_count: number;
  }>(read, [id]);
  if (row === undefined) return undefined;
  const { version, scope, audience } = row;
  return { version, scope, audience, lostCount: row.lost_count };
}

/**
 * Takes from a grant whatever is not among what remains, raises its version and tells the feed, in
 * one statement under the lock of the facts. The grant keeps the fact's
 * number twice: as its cut, so that flows and codes born before change nothing, and with each name
 * that it lost, so that a chain born before does not get it back by a later consent. The row is
 * judged as it is when its lock is held: a consent that added something meanwhile loses it again.
 */
const narrow: Statement = {
  name: 'grant_narrow',
  text: `
with ${locked}, ${lifetime}, numbered as materialized (
  select nextval('fact_seq') as seq
  from locked l
  where l.held and exists (select from "grant" g where g.id = $1 and g.revoked_at is null)
), narrowed as (
  update "grant" g set (
    scope, audience, remembered_scope, remembered_audience, version, cut_seq, lost
  ) = (
    select
      array(select u.one from unnest(g.scope) with ordinality as u (one, place)
        where $2::text[] is null or u.one = any($2) order by u.place),
      array(select u.one from unnest(g.audience) with ordinality as u (one, place)
        where $3::text[] is null or u.one = any($3) order by u.place),
      array(select u.one from unnest(g.remembered_scope) with ordinality as u (one, place)
        where $2::text[] is null or u.one = any($2) order by u.place),
      array(select u.one from unnest(g.remembered_audience) with ordinality as u (one, place)
        where $3::text[] is null or u.one = any($3) order by u.place),
      g.version + 1, n.seq,
      jsonb_build_object(
        'scope', case when g.version > 1 then coalesce(g.lost -> 'scope', '{}') else '{}' end
          || coalesce((select jsonb_object_agg(u.one, n.seq) from unnest(g.scope) as u (one)
            where not (u.one = any($2))), '{}'),
        'audience', case when g.version > 1 then coalesce(g.lost -> 'audience', '{}') else '{}' end
          || coalesce((select jsonb_object_agg(u.one, n.seq) from unnest(g.audience) as u (one)
            where not (u.one = any($3))), '{}'))
  )
  from numbered n
  where g.id = $1 and g.revoked_at is null
  returning g.id, g.version, g.scope, g.audience, g.cut_seq
), told as (
  insert into fact (seq, kind, target, version, reason, expires_at)
  select w.cut_seq, 'narrow', w.id::text, w.version, $4, e.ends_at
  from narrowed w, lifetime e
)
select w.version, w.scope, w.audience from narrowed w`,
};

/** What was left of a grant. */
export interface NarrowedGrant {
  readonly version: number;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
}

/**
 * Narrows a living grant; null leaves scope or audience as they are. Undefined: it is not there, or
 * was revoked meanwhile. Committed when it resolves; whoever reports it waits for
 * {@link Feed.acknowledged} first.
 */
export async function narrowGrant(
  database: Database,
  id: string,
  remains: {
    readonly scope: readonly string[] | null;
    readonly audience: readonly string[] | null;
    readonly reason: string;
  },
): Promise<NarrowedGrant | undefined> {
  const [row] = await database.query<{ version: number; scope: string[]; audience: string[] }>(
    narrow,
    [id, remains.scope, remains.audience, remains.reason],
  );
  return row;
}
