-- What `migrate prepare` makes in both databases, in one transaction. docs/migrate/contract.md says
-- who may rely on what. `migrate finish` and `migrate abort` remove all of it.
create schema migrate;

-- One row: what this database is. It is the authority on itself; nobody caches it for writes.
create table migrate.control (
  one_row boolean primary key default true check (one_row),
  migration_id uuid not null,
  mapping text not null check (mapping <> ''),
  side text not null check (side in ('blue', 'green')),
  state text not null check (state in ('copy', 'live', 'fenced', 'retired')),
  epoch bigint not null check (epoch >= 0),
  -- Only while fenced: from here on anybody may make it live again.
  fence_until timestamptz,
  -- Which fence this is: a tool that slept through its own can neither retire nor lift a later one.
  fence_id uuid,
  -- sha256 of the key that opens this side. Set when this side has received everything.
  opening_lock bytea check (octet_length(opening_lock) = 32),
  -- The epoch that opening gives: the other side's plus one.
  opening_epoch bigint,
  -- The key that opens the other side. Published by retirement, in the same statement.
  opening_key bytea check (octet_length(opening_key) = 32),
  changed_at timestamptz not null default clock_timestamp(),
  check ((state = 'fenced') = (fence_until is not null)),
  check ((state = 'fenced') = (fence_id is not null)),
  check (opening_key is null or state = 'retired'),
  check (opening_lock is null or state in ('copy', 'retired')),
  check ((opening_lock is null) = (opening_epoch is null))
);

-- One row: what the tool says to clients, and the operator to the tool. Apart from the control row,
-- which writers of an older snapshot lock: to say something never waits for a writer.
create table migrate.notice (
  one_row boolean primary key default true check (one_row),
  -- Writers wait as long as this lies ahead; it ends by itself.
  hold_until timestamptz,
  poll_ms integer not null default 1000 check (poll_ms between 1 and 60000),
  near boolean not null default false,
  asked text check (asked in ('pause', 'stop'))
);
insert into migrate.notice (one_row) values (true);

-- What an application polls: times are milliseconds from now, so that no clock is compared.
create view migrate.seam as
select c.migration_id, c.side, c.state, c.epoch,
  case when c.state in ('live', 'fenced') then
    greatest(0, ceil(extract(epoch from n.hold_until - clock_timestamp()) * 1000))::integer
    else 0 end as hold_ms,
  coalesce(c.fence_until <= clock_timestamp(), false) as fence_expired,
  c.opening_key, n.poll_ms, n.near
from migrate.control c cross join migrate.notice n;

-- fenced -> live, once its deadline has passed; a hold began before it and is over too. True: this
-- call did it.
create function migrate.unfence_expired() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update migrate.control set state = 'live', fence_until = null, fence_id = null,
    changed_at = clock_timestamp()
  where state = 'fenced' and fence_until <= clock_timestamp();
  return found;
end $$;

-- copy or retired -> live, with the key that the other side's retirement published. The epoch rises
-- in the same statement. True: this call did it.
create function migrate.open(key bytea) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update migrate.control set state = 'live', epoch = opening_epoch, opening_lock = null,
    opening_epoch = null, opening_key = null, changed_at = clock_timestamp()
  where state in ('copy', 'retired') and opening_lock = sha256(key);
  if not found then
    return false;
  end if;
  -- What is left of the hold in which this side was left.
  update migrate.notice set hold_until = null where hold_until is not null;
  return true;
end $$;

-- The guard, on every mapped table: refuses whoever is not the tool unless this database is live.
-- The state is read under the lock that the writer holds on its table already, and a fence takes
-- that table exclusively: no writer passes between. A transaction with an older snapshot locks the
-- row, which fails with 40001 where the row has changed since.
create function migrate.guard() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  found_state text;
  expired boolean;
  migration text;
begin
  if current_setting('transaction_isolation') in ('read committed', 'read uncommitted') then
    select c.state, c.fence_until <= clock_timestamp(), c.migration_id::text
    into found_state, expired, migration from migrate.control c;
  else
    select c.state, c.fence_until <= clock_timestamp(), c.migration_id::text
    into found_state, expired, migration from migrate.control c for share;
  end if;
  if found_state = 'live' or current_setting('migrate.origin', true) = migration then
    return null;
  end if;
  if expired then
    perform migrate.unfence_expired();
    -- Lifted, by us or by whoever was faster.
    select c.state into found_state from migrate.control c;
    if found_state = 'live' then
      return null;
    end if;
  end if;
  raise exception using errcode = 'MG001',
    message = format('%I.%I is %s here: this database takes no writes', tg_table_schema,
      tg_table_name, coalesce(found_state, 'under migration')),
    hint = 'Write to the database whose migrate.control says live (docs/migrate/contract.md).';
end $$;

-- Which key changed, never what it became: whoever transfers it reads the row again.
create table migrate.change (
  id bigint generated always as identity primary key,
  source_table text not null,
  -- The captured columns in the order of the mapping, as text; of old and of new row.
  key jsonb not null,
  -- insert, update, delete; r: asked for by repair, the key is one of the target table
  action text not null check (action in ('i', 'u', 'd', 'r')),
  transaction_id xid8 not null default pg_current_xact_id(),
  changed_at timestamptz not null default clock_timestamp(),
  database_user name not null default session_user
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The audit trail of transfers, the same row on both sides (blue and green of one batch share an id).
create table migrate.batch (
  id uuid primary key,
  direction text not null check (direction in ('blue to green', 'green to blue')),
  changes integer not null check (changes >= 0),
  upserted integer not null check (upserted >= 0),
  deleted integer not null check (deleted >= 0),
  -- Sum over the rows read in the origin, and over the same keys read back in the other database.
  origin_hash numeric not null,
  written_hash numeric not null,
  lag_ms bigint not null,
  database_user name not null default session_user,
  finished_at timestamptz not null default clock_timestamp()
);
create index batch_finished on migrate.batch (finished_at);

-- Half-open key ranges of the copy. A bound is the target key as texts; null: open on that side.
create table migrate.range (
  id integer primary key,
  target_table text not null,
  low jsonb,
  high jsonb,
  copied_rows bigint,
  copied_bytes bigint,
  stream_sha256 bytea,
  database_user name,
  copied_at timestamptz,
  check ((copied_at is null) = (copied_rows is null))
);

-- What a verification saw, by ranges of the tables that the other side fills here. A range whose
-- count is the same and whose rows are all older than the marker holds what it held then.
create table migrate.verified_range (
  target_table text not null,
  id integer not null,
  low jsonb not null,
  high jsonb not null,
  rows bigint,
  hash numeric,
  marker xid8,
  verified_at timestamptz,
  primary key (target_table, id),
  check ((marker is null) = (rows is null))
);

-- What the last verification found and nobody has repaired.
create table migrate.difference (
  side text not null check (side in ('blue', 'green')),
  target_table text not null,
  key jsonb not null,
  kind text not null check (kind in ('missing', 'extra', 'differs')),
  found_at timestamptz not null default clock_timestamp(),
  primary key (side, target_table, key)
);

-- Secondary indexes that were set aside so that the copy is fast, to be made again after it.
create table migrate.set_aside (
  id integer primary key,
  name text not null,
  definition text not null,
  made_again boolean not null default false
);

-- What happened when: phases, switches with every step in milliseconds, figures for the report.
create table migrate.event (
  id bigint generated always as identity primary key,
  kind text not null,
  detail jsonb not null default '{}',
  database_user name not null default session_user,
  happened_at timestamptz not null default clock_timestamp()
);

revoke all on all tables in schema migrate from public;
revoke all on all functions in schema migrate from public;
grant usage on schema migrate to public;
grant select on migrate.seam to public;
grant execute on function migrate.unfence_expired(), migrate.open(bytea) to public;
