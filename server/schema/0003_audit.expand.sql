-- The audit log: who changed what, and what attacked. Append-only: the server's role inserts and
-- reads, and owns no way to change or remove an entry (server/schema/grants.ts).

create table audit (
  id uuid not null,
  at timestamptz not null default clock_timestamp(),
  -- the closed list is in server/audit/actions.ts; a newer release may know more
  action text not null check (length(action) between 3 and 64),
  -- begun: written before a change; the same request's other entry says how it ended
  outcome text not null check (outcome in ('begun', 'done', 'refused', 'failed')),
  actor_kind text not null check (actor_kind in
    ('admin_token', 'credential', 'client', 'subject', 'operator', 'system', 'anonymous')),
  actor text not null default '' check (length(actor) <= 255),
  actor_name text not null default '' check (length(actor_name) <= 255),
  target_kind text not null check (length(target_kind) between 1 and 32),
  target text not null default '' check (length(target) <= 255),
  reason text not null default '' check (length(reason) <= 500),
  request_id uuid,
  address text not null default '' check (length(address) <= 64),
  -- events that come in crowds share an entry
  count integer not null default 1 check (count >= 1),
  detail jsonb not null default '{}'
    check (jsonb_typeof(detail) = 'object' and octet_length(detail::text) <= 8192),
  primary key (at, id)
) partition by range (at);

create index audit_request on audit (request_id) where request_id is not null;
create index audit_target on audit (target, at);

-- Takes what no month has been made for, so that no entry is ever refused.
create table audit_rest partition of audit default;

-- Makes the months to come and drops those that are over. The server's role may call it, and that
-- is all it can do to entries: 30 days stay, whatever is asked. Gives how many months were dropped.
-- migrate:allow dynamic-sql because its names come from the catalogue and to_char, and touch audit alone
create function audit_keep(retention_days integer) returns integer
language plpgsql security definer
as $$
declare
  home text;
  month timestamptz;
  part record;
  dropped integer := 0;
begin
  if retention_days is null or retention_days < 30 then
    raise exception 'the audit log is kept for 30 days at least' using errcode = '22023';
  end if;
  select n.nspname into strict home
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid = 'audit'::regclass;
  for ahead in 0..2 loop
    month := (date_trunc('month', now() at time zone 'UTC') + make_interval(months => ahead))
      at time zone 'UTC';
    continue when to_regclass(format('%I.%I', home, 'audit_' || to_char(month at time zone 'UTC', 'YYYY_MM')))
      is not null;
    -- Entries that came before their month was made stay in audit_rest until they are over.
    continue when exists (
      select from audit_rest r where r.at >= month and r.at < month + interval '1 month');
    execute format('create table %I.%I partition of %I.audit for values from (%L) to (%L)',
      home, 'audit_' || to_char(month at time zone 'UTC', 'YYYY_MM'), home, month,
      ((month at time zone 'UTC') + interval '1 month') at time zone 'UTC');
  end loop;
  for part in
    select c.relname as name
    from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'audit'::regclass and c.relname ~ '^audit_[0-9]{4}_[0-9]{2}$'
  loop
    continue when (to_date(substr(part.name, 7), 'YYYY_MM') + interval '1 month')
      at time zone 'UTC' > now() - make_interval(days => retention_days);
    execute format('drop table %I.%I', home, part.name);
    dropped := dropped + 1;
  end loop;
  delete from audit_rest r where r.at < now() - make_interval(days => retention_days);
  return dropped;
end
$$;

revoke execute on function audit_keep(integer) from public;

-- What a definer's function finds must not depend on who calls it.
-- migrate:allow do-block because it alters that function alone, which nobody calls yet
do $$
begin
  execute format('alter function audit_keep(integer) set search_path = %I, pg_temp', current_schema());
end
$$;

-- migrate:allow select-call because it makes partitions of a table that nobody uses yet
select audit_keep(400);

-- A role that reads the audit log and nothing else. A release that does not know it lets it in nowhere.
-- migrate:allow add-check because the table has 1,000 rows at most (adminCredentialsMax)
alter table admin_credential
  drop constraint admin_credential_role_check,
  add constraint admin_credential_role_check
    check (role in ('handshake', 'clients', 'keys', 'metrics', 'audit', 'all'));
