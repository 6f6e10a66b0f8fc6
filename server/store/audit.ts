import type { AuditEntry } from '#server/audit/entry.ts';
import { newId } from '#server/identifiers.ts';
import type { Database, Statement } from '#server/store/database.ts';

const insert: Statement = {
  name: 'audit_insert',
  text: `
insert into audit (
  id, action, outcome, actor_kind, actor, actor_name, target_kind, target, reason,
  request_id, address, count, detail)
select i.id, i.action, i.outcome, i.actor_kind, i.actor, i.actor_name, i.target_kind, i.target,
  i.reason, i.request_id, i.address, i.count, i.detail
from unnest(
  $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
  $8::text[], $9::text[], $10::uuid[], $11::text[], $12::int[], $13::jsonb[]
) as i (
  id, action, outcome, actor_kind, actor, actor_name, target_kind, target,
  reason, request_id, address, count, detail
)`,
};

const idCharsMax = 255;
const reasonCharsMax = 500;
const detailBytesMax = 4096;

/** Adds entries to the audit log. What is too long is cut, so that no entry is ever refused. */
export async function insertEntries(
  database: Pick<Database, 'query'>,
  entries: readonly AuditEntry[],
): Promise<void> {
  await database.query(insert, [
    entries.map(() => newId()),
    entries.map((e) => e.action),
    entries.map((e) => e.outcome),
    entries.map((e) => e.actor.kind),
    entries.map((e) => storable(e.actor.id, idCharsMax)),
    entries.map((e) => storable(e.actor.name ?? '', idCharsMax)),
    entries.map((e) => e.target.kind),
    entries.map((e) => storable(e.target.id, idCharsMax)),
    entries.map((e) => storable(e.reason ?? '', reasonCharsMax)),
    entries.map((e) => e.requestId ?? null),
    entries.map((e) => storable(e.address ?? '', 64)),
    entries.map((e) => e.count ?? 1),
    entries.map((e) => detailOf(e)),
  ]);
}

/** PostgreSQL cannot hold U+0000 or half a surrogate pair, and strangers choose some of these. */
function storable(text: string, charsMax: number): string {
  return text.slice(0, charsMax).replaceAll('\0', '?').toWellFormed();
}

function detailOf({ detail = {} }: AuditEntry): string {
  // Cleaned before it is JSON, in which a text may look like an escape and be none.
  const text = JSON.stringify(detail, (_, value: unknown) =>
    typeof value === 'string' ? storable(value, detailBytesMax) : value,
  );
  return Buffer.byteLength(text) <= detailBytesMax ? text : '{"left_out":"too long"}';
}

/** An entry as it is read. */
export interface ListedEntry {
  readonly id: string;
  /** RFC 3339 in UTC, with microseconds. */
  readonly at: string;
  readonly action: string;
  readonly outcome: string;
  readonly actorKind: string;
  readonly actor: string;
  readonly actorName: string;
  readonly targetKind: string;
  readonly target: string;
  readonly reason: string;
  readonly requestId: string | null;
  readonly address: string;
  readonly count: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Which entries are wanted; null: any. */
export interface AuditFilter {
  /** RFC 3339; the earliest moment that is wanted. */
  readonly from: string | null;
  /** RFC 3339; what happened then is not wanted any more. */
  readonly to: string | null;
  /** Id or name of an actor, or its kind. */
  readonly actor: string | null;
  /** A name of an action, or its first word with a dot and a star: `client.*`. */
  readonly action: string | null;
  readonly target: string | null;
  readonly requestId: string | null;
}

/** Where a page begins: after this entry, in the order newest first. */
export interface AuditPlace {
  readonly at: string;
  readonly id: string;
}

/** Entries that one page may look at, so that a filter that fits nothing costs no more. */
const seenPerPage = 20_000;

/**
 * The newest first. Walks the primary key (or an index, where target or request is named) over at
 * most 20,000 entries. `begun` is left out where the same request says how it ended.
 */
const list = (path: 'time' | 'target' | 'request'): Statement => ({
  name: `audit_list_by_${path}`,
  text: `
with seen as (
  select a.at, a.id, a.action, a.outcome, a.actor_kind, a.actor, a.actor_name, a.target_kind,
    a.target, a.reason, a.request_id, a.address, a.count, a.detail
  from audit a
  where a.at >= coalesce($1::timestamptz, '-infinity')
    and a.at <= coalesce($3::timestamptz, $2::timestamptz, 'infinity')
    and ($2::timestamptz is null or a.at < $2::timestamptz)
    and ($3::timestamptz is null or (a.at, a.id) < ($3::timestamptz, $4::uuid))
    ${path === 'target' ? 'and a.target = $7' : ''}
    ${path === 'request' ? 'and a.request_id = $8::uuid' : ''}
  order by a.at desc, a.id desc
  limit ${seenPerPage}
), fitting as (
  select s.at, s.id, s.action, s.outcome, s.actor_kind, s.actor, s.actor_name, s.target_kind,
    s.target, s.reason, s.request_id, s.address, s.count, s.detail
  from seen s
  where ($5::text is null or s.actor = $5 or s.actor_name = $5 or s.actor_kind = $5)
    and ($6::text is null or s.action = $6
      or ($6 like '%.*' and starts_with(s.action, left($6, -1))))
    and ($7::text is null or s.target = $7)
    and ($8::uuid is null or s.request_id = $8)
    and (s.outcome <> 'begun' or not exists (
      select from audit d
      where d.request_id = s.request_id and d.action = s.action and d.outcome <> 'begun'))
  order by s.at desc, s.id desc
  limit $9
)
select f.id, to_char(f.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at,
  f.action, f.outcome, f.actor_kind, f.actor, f.actor_name, f.target_kind, f.target, f.reason,
  f.request_id, f.address, f.count, f.detail, null::integer as seen
from fitting f
union all
select l.id, to_char(l.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  null, null, null, null, null, null, null, null, null, null, null, null, n.seen
from (select s.at, s.id from seen s order by s.at, s.id limit 1) l,
  (select count(*)::int as seen from seen) n`,
});
const byTime = list('time');
const byTarget = list('target');
const byRequest = list('request');

interface Row {
  id: string;
  at: string;
  action: string;
  outcome: string;
  actor_kind: string;
  actor: string;
  actor_name: string;
  target_kind: string;
  target: string;
  reason: string;
  request_id: string | null;
  address: string;
  count: number;
  detail: Record<string, unknown>;
  seen: number | null;
}

export interface AuditPage {
  readonly entries: readonly ListedEntry[];
  /** Where the next page begins; undefined: there is none. A page may be short, and not the last. */
  readonly next: AuditPlace | undefined;
}

/** Entries that fit, the newest first, at most `limit` of them. */
export async function listEntries(
  database: Database,
  filter: AuditFilter,
  after: AuditPlace | undefined,
  limit: number,
): Promise<AuditPage> {
  const path = filter.requestId !== null ? byRequest : filter.target !== null ? byTarget : byTime;
  const rows = await database.query<Row>(path, [
    filter.from,
    filter.to,
    after?.at ?? null,
    after?.id ?? null,
    filter.actor,
    filter.action,
    filter.target,
    filter.requestId,
    limit + 1,
  ]);
  const fitting = rows.filter((row) => row.seen === null);
  const last = rows.find((row) => row.seen !== null);
  const entries = fitting.slice(0, limit).map(entryOf);
  if (fitting.length > limit) return { entries, next: entries.at(-1) };
  const isCut = last !== undefined && last.seen === seenPerPage;
  return { entries, next: isCut ? { at: last.at, id: last.id } : undefined };
}

function entryOf(row: Row): ListedEntry {
  return {
    id: row.id,
    at: row.at,
    action: row.action,
    outcome: row.outcome,
    actorKind: row.actor_kind,
    actor: row.actor,
    actorName: row.actor_name,
    targetKind: row.target_kind,
    target: row.target,
    reason: row.reason,
    requestId: row.request_id,
    address: row.address,
    count: row.count,
    detail: row.detail,
  };
}

const keep: Statement = { name: 'audit_keep', text: 'select audit_keep($1) as dropped' };

/** Makes the months to come and drops those older than so many days (30 at least). */
export async function keepAudit(
  database: Pick<Database, 'query'>,
  retentionDays: number,
): Promise<number> {
  const [row] = await database.query<{ dropped: number }>(keep, [retentionDays]);
  return row?.dropped ?? 0;
}
