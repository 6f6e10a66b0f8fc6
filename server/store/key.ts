import type { Database, Statement } from '#server/store/database.ts';
import { locked } from '#server/store/fact-lock.ts';

/** One row of table `key`; times in milliseconds of the database's clock. */
export interface KeyRow {
  readonly id: string;
  readonly setName: string;
  readonly kid: string;
  readonly alg: string;
  readonly use: 'sig' | 'enc' | 'seal' | 'mac';
  readonly publicJwk: Readonly<Record<string, unknown>> | undefined;
  /** The secret part under a master key (server/keys/master.ts). */
  readonly wrapped: Buffer;
  readonly activeAtMs: number;
  readonly expiresAtMs: number | undefined;
}

/** A key to be stored. */
export interface NewKey {
  readonly id: string;
  readonly setName: string;
  readonly kid: string;
  readonly alg: string;
  readonly use: KeyRow['use'];
  readonly publicJwk: Readonly<Record<string, unknown>> | undefined;
  readonly wrapped: Buffer;
  /** Seconds from now until it is used; fractions and negatives order keys that come together. */
  readonly activeInSeconds: number;
}

interface LoadedRow {
  id: string;
  set_name: string;
  kid: string;
  alg: string;
  use: KeyRow['use'];
  public_jwk: Record<string, unknown> | null;
  wrapped: Buffer;
  active_ms: number;
  expires_ms: number | null;
}

const columns = `k.id, k.set_name, k.kid, k.alg, k.use, k.public_jwk, k.wrapped,
  extract(epoch from k.active_at)::float8 * 1000 as active_ms,
  extract(epoch from k.expires_at)::float8 * 1000 as expires_ms`;

const clockMs = 'extract(epoch from clock_timestamp())::float8 * 1000 as now_ms';

const loadKeys: Statement = {
  name: 'load_keys',
  text: `
select c.now_ms, ${columns}
from (select ${clockMs}) c
left join key k on k.expires_at is null or k.expires_at > now()
order by k.set_name, k.active_at desc, k.kid`,
};

/** Every key that has not expired, and the database's time. Read at start and at each rotation. */
export async function readKeys(
  database: Database,
): Promise<{ readonly nowMs: number; readonly rows: readonly KeyRow[] }> {
  const rows = await database.query<Omit<LoadedRow, 'id'> & { id: string | null; now_ms: number }>(
    loadKeys,
    [],
  );
  const [first] = rows;
  if (first === undefined) throw new Error('the query for keys gave no row');
  // the one row of an empty table has no id
  const present = rows.flatMap(({ id, ...row }) => (id === null ? [] : [rowOf({ ...row, id })]));
  return { nowMs: first.now_ms, rows: present };
}

const keysOfSet: Statement = {
  name: 'keys_of_set',
  text: `
select ${columns} from key k
where k.set_name = $1 and k.use in ('sig', 'enc')
  and (k.expires_at is null or k.expires_at > now())
order by k.active_at desc, k.kid
limit 1000`,
};

/** The asymmetric keys of one set, the newest first; uses the unique index (set_name, kid). */
export async function readSet(database: Database, setName: string): Promise<readonly KeyRow[]> {
  return (await database.query<LoadedRow>(keysOfSet, [setName])).map(rowOf);
}

// Every change of keys tells the feed in the same statement, under the lock of the facts. Nodes need
// the fact only until they next read the table.
const tell = (changed: string) => `told as (
  insert into fact (seq, kind, target, expires_at)
  select nextval('fact_seq'), 'keys_changed', c.set_name, now() + interval '1 day'
  from locked l, (select distinct set_name from ${changed}) c
  where l.held
)`;

const input = `input as (
  select i.id, i.set_name, i.kid, i.alg, i.use, i.public_jwk, i.wrapped,
    now() + make_interval(secs => i.active_in_seconds) as active_at
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bytea[], $8::float8[])
    as i (id, set_name, kid, alg, use, public_jwk, wrapped, active_in_seconds)
)`;

const insertKeys: Statement = {
  name: 'insert_keys',
  text: `
with ${locked}, ${input}, made as (
  insert into key (id, set_name, kid, alg, use, public_jwk, wrapped, active_at)
  select i.id, i.set_name, i.kid, i.alg, i.use, i.public_jwk::jsonb, i.wrapped, i.active_at
  from locked l, input i where l.held
  on conflict do nothing
  returning id, set_name, alg, use, active_at
), retired as (
  update key k set retired_at = greatest(m.active_at, k.active_at)
  from made m
  where k.set_name = m.set_name and k.alg = m.alg and k.use = m.use
    and k.retired_at is null and k.active_at <= m.active_at
), ${tell('made')}
select m.id from made m`,
};

/**
 * Stores keys and retires the earlier ones of the same set, algorithm and use from the moment the
 * new ones are used. A key whose id, or whose kid within the set, is there already is left out:
 * ids made from what they succeed (server/keys/rotation.ts) thus let one of several nodes win.
 * Resolves to the ids that were stored.
 */
export async function storeKeys(
  database: Database,
  keys: readonly NewKey[],
): Promise<ReadonlySet<string>> {
  const rows = await database.query<{ id: string }>(insertKeys, valuesOf(keys));
  return new Set(rows.map((row) => row.id));
}

const replaceKeys: Statement = {
  name: 'replace_keys',
  text: `
with ${locked}, ${input}, gone as (
  delete from key k using locked l
  where l.held and $10 and k.set_name = $9 and k.use in ('sig', 'enc')
    and not exists (select 1 from input i where i.kid = k.kid)
), made as (
  insert into key as k (id, set_name, kid, alg, use, public_jwk, wrapped, active_at)
  select i.id, i.set_name, i.kid, i.alg, i.use, i.public_jwk::jsonb, i.wrapped, i.active_at
  from locked l, input i where l.held
  on conflict (set_name, kid) do update set id = excluded.id, alg = excluded.alg,
    use = excluded.use, public_jwk = excluded.public_jwk, wrapped = excluded.wrapped,
    created_at = now(), active_at = excluded.active_at, retired_at = null, expires_at = null
  returning k.set_name
), ${tell('made')}
select m.set_name from made m`,
};

/**
 * Stores keys of one set, in place of those with the same kid; `others` says what becomes of the
 * set's other asymmetric keys. At least one key.
 */
export async function replaceInSet(
  database: Database,
  setName: string,
  keys: readonly NewKey[],
  others: 'keep' | 'delete',
): Promise<void> {
  await database.query(replaceKeys, [...valuesOf(keys), setName, others === 'delete']);
}

const deleteKeys: Statement = {
  name: 'delete_keys',
  text: `
with ${locked}, doomed as (
  select k.id, k.alg, k.use, k.active_at from key k
  where k.set_name = $1 and ($2::text is null or k.kid = $2)
    and (k.use in ('sig', 'enc') or $2 is not null)
), orphaned as (
  select d.id from doomed d
  where $3::boolean and d.active_at <= now() and not exists (
    select 1 from key n
    where n.set_name = $1 and n.alg = d.alg and n.use = d.use and n.active_at <= now()
      and not exists (select 1 from doomed e where e.id = n.id)
  )
), gone as (
  delete from key k using locked l, doomed d
  where l.held and k.id = d.id and not exists (select 1 from orphaned)
  returning k.set_name
), ${tell('gone')}
select (select count(*)::int from doomed) as asked, (select count(*)::int from gone) as gone`,
};

/**
 * Deletes a set, or one key of it. With `keepLast`, nothing is deleted where that would leave an
 * algorithm of the set without a key that is active now. Resolves to `kept` if so.
 */
export async function deleteFromSet(
  database: Database,
  setName: string,
  kid: string | undefined,
  keepLast: boolean,
): Promise<'deleted' | 'absent' | 'kept'> {
  const values = [setName, kid ?? null, keepLast];
  const [row] = await database.query<{ asked: number; gone: number }>(deleteKeys, values);
  if (row === undefined || row.asked === 0) return 'absent';
  return row.gone === 0 ? 'kept' : 'deleted';
}

const deleteSpent: Statement = {
  name: 'delete_spent_keys',
  text: `
with ${locked}, slot as (
  select s.set_name, s.alg, s.use, s.keep_seconds, s.held_by
  from unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::text[])
    as s (set_name, alg, use, keep_seconds, held_by)
), spent as (
  select k.id
  from slot s
  join key k on k.set_name = s.set_name and k.alg = s.alg and k.use = s.use
  cross join control o
  where k.retired_at + make_interval(secs => s.keep_seconds) < now()
    and exists (
      select 1 from key n
      where n.set_name = k.set_name and n.alg = k.alg and n.use = k.use and n.active_at <= now()
        and (n.active_at, n.kid) > (k.active_at, k.kid)
    )
    and case s.held_by
      when 'access_tokens' then o.access_expiry_high_water < now() - make_interval(secs => $6)
        and k.retired_at + make_interval(secs => o.access_seconds_max + $6) < now()
      when 'chains' then not exists (
        select 1 from chain c
        where c.mac_kid = k.kid and c.refreshable and c.revoked_at is null and c.expires_at > now())
      when 'client_secrets' then not exists (
        select 1 from client_secret c where c.pepper_kid = k.kid)
      else true end
), gone as (
  delete from key k using locked l, spent s where l.held and k.id = s.id
  returning k.set_name, k.kid
), ${tell('gone')}
select g.set_name, g.kid from gone g`,
};

/** What the clean-up needs to know of a slot (server/keys/slots.ts). */
export interface SpentRule {
  readonly setName: string;
  readonly alg: string;
  readonly use: string;
  readonly keepSeconds: number;
  readonly heldBy: string;
}

/**
 * Deletes retired keys that protect nothing any more, and never the newest active one of its kind;
 * resolves to those that are gone. Access tokens are given `marginSeconds` beyond their end. For
 * MAC keys this reads the chains, in order, until it meets one that needs the key: it only happens
 * once a key has been retired, from one node, and no more than once a day.
 */
export async function deleteSpentKeys(
  database: Database,
  rules: readonly SpentRule[],
  marginSeconds: number,
): Promise<readonly { readonly setName: string; readonly kid: string }[]> {
  const rows = await database.query<{ set_name: string; kid: string }>(deleteSpent, [
    rules.map((rule) => rule.setName),
    rules.map((rule) => rule.alg),
    rules.map((rule) => rule.use),
    rules.map((rule) => rule.keepSeconds),
    rules.map((rule) => rule.heldBy),
    marginSeconds,
  ]);
  return rows.map((row) => ({ setName: row.set_name, kid: row.kid }));
}

function valuesOf(keys: readonly NewKey[]): unknown[] {
  return [
    keys.map((key) => key.id),
    keys.map((key) => key.setName),
    keys.map((key) => key.kid),
    keys.map((key) => key.alg),
    keys.map((key) => key.use),
    keys.map((key) => (key.publicJwk === undefined ? null : JSON.stringify(key.publicJwk))),
    keys.map((key) => key.wrapped),
    keys.map((key) => key.activeInSeconds),
  ];
}

function rowOf(row: LoadedRow): KeyRow {
  return {
    id: row.id,
    setName: row.set_name,
    kid: row.kid,
    alg: row.alg,
    use: row.use,
    publicJwk: row.public_jwk ?? undefined,
    wrapped: row.wrapped,
    activeAtMs: row.active_ms,
    expiresAtMs: row.expires_ms ?? undefined,
  };
}
