-- The engine's tables: what is true of keys, clients, logins, grants, refresh chains and revocations.
-- Ids are UUIDs that the application makes. Hashes, never secrets. Times are the database's.

-- One row: which database this is, and what every node must know before it may answer.
create table control (
  singleton boolean primary key default true check (singleton),
  epoch bigint not null default 1 check (epoch > 0),
  state text not null default 'live' check (state in ('copy', 'live', 'fenced', 'retired')),
  -- The longest access-token lifetime in force, and when the longest-lived token of an earlier,
  -- longer setting ends: facts are kept as long as anything that they can kill.
  access_seconds_max integer not null default 0 check (access_seconds_max >= 0),
  access_expiry_high_water timestamptz not null default 'epoch'
);
insert into control (singleton) values (true);

-- Facts: append-only, ordered by seq (assigned under an advisory lock, so commit order is seq order).
-- Kinds ending in _changed invalidate caches; the others are revocations.
create sequence fact_seq as bigint;
create table fact (
  seq bigint primary key check (seq > 0),
  kind text not null check (kind in
    ('token', 'chain', 'grant', 'session', 'sign_out', 'subject', 'client', 'client_changed', 'keys_changed')),
  target text not null check (length(target) between 1 and 255),
  reason text check (length(reason) between 1 and 500),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null check (expires_at > created_at)
);

-- asked only where a node holds more facts than its memory may
create index fact_target on fact (target, kind);

-- Cutoffs outlive the subject or client they speak of: what was born before seq is dead.
create table cutoff (
  kind text not null check (kind in ('subject', 'client')),
  target text not null check (length(target) between 1 and 255),
  seq bigint not null check (seq > 0),
  created_at timestamptz not null default now(),
  primary key (kind, target)
);

create table key (
  id uuid primary key,
  set_name text not null check (length(set_name) between 1 and 255),
  kid text not null check (length(kid) between 1 and 255),
  alg text not null check (length(alg) between 1 and 32),
  use text not null check (use in ('sig', 'enc', 'seal', 'mac')),
  public_jwk jsonb,
  -- the secret part, sealed under a master key; the master key's id is its first bytes
  wrapped bytea not null check (octet_length(wrapped) >= 48),
  created_at timestamptz not null default now(),
  active_at timestamptz not null,
  retired_at timestamptz check (retired_at >= active_at),
  expires_at timestamptz check (expires_at > active_at),
  unique (set_name, kid)
);

create table client (
  client_id text primary key check (length(client_id) between 1 and 255),
  -- the registered metadata, by their names on the wire, without secrets
  metadata jsonb not null check (jsonb_typeof(metadata) = 'object'),
  client_name text not null default '' check (length(client_name) <= 255),
  owner text not null default '' check (length(owner) <= 255),
  disabled boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table client_secret (
  id uuid primary key,
  client_id text not null references client (client_id) on delete cascade,
  -- hmac: HMAC-SHA-256 under the pepper named; argon2id: slow, for secrets that people chose
  scheme text not null check (scheme in ('hmac', 'argon2id')),
  pepper_kid text check (length(pepper_kid) between 1 and 255),
  hash bytea not null check (octet_length(hash) >= 32),
  created_at timestamptz not null default now(),
  -- when a newer secret took its place; it stays valid until it is removed
  rotated_at timestamptz,
  check (scheme <> 'hmac' or (pepper_kid is not null and octet_length(hash) = 32))
);
create index client_secret_client on client_secret (client_id);

create table session (
  -- the flow that made it: one flow makes one login
  id uuid primary key,
  subject text not null check (length(subject) between 1 and 255),
  login_born bigint not null check (login_born >= 0),
  authenticated_at timestamptz not null,
  acr text not null default '' check (length(acr) <= 255),
  amr text[] not null default '{}' check (cardinality(amr) <= 16),
  remember boolean not null,
  idp_session_id text check (length(idp_session_id) between 1 and 255),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null check (expires_at > created_at),
  ended_at timestamptz,
  revoked_at timestamptz
) with (fillfactor = 90);
create index session_subject on session (subject);

create table "grant" (
  subject text not null check (length(subject) between 1 and 255),
  client_id text not null check (length(client_id) between 1 and 255),
  id uuid not null unique,
  version integer not null default 1 check (version >= 1),
  scope text[] not null check (cardinality(scope) <= 100),
  audience text[] not null check (cardinality(audience) <= 100),
  login_born bigint not null check (login_born >= 0),
  grant_born bigint not null check (grant_born >= 0),
  -- the fact that last revoked or narrowed this grant: a flow born before it changes nothing
  cut_seq bigint not null default 0 check (cut_seq >= 0),
  -- the flow of the last consent: Hydra's consent_request_id
  last_flow_id uuid not null,
  session_id uuid not null,
  remembered_scope text[] not null default '{}' check (cardinality(remembered_scope) <= 100),
  remembered_audience text[] not null default '{}' check (cardinality(remembered_audience) <= 100),
  remember boolean not null default false,
  remember_seconds integer not null default 0 check (remember_seconds >= 0),
  remember_until timestamptz,
  skipped boolean not null default false,
  -- what the consent listing shows of the last consent: context, session claims, the request
  detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object'),
  created_at timestamptz not null default now(),
  handled_at timestamptz not null default now(),
  revoked_at timestamptz,
  primary key (subject, client_id)
) with (fillfactor = 80);

create table chain (
  id uuid primary key,
  client_id text not null check (length(client_id) between 1 and 255),
  subject text not null check (length(subject) between 1 and 255),
  grant_id uuid not null,
  session_id uuid not null,
  -- true: ends with the session; false: offline_access, hangs from the grant
  online boolean not null,
  refreshable boolean not null,
  attempt uuid not null,
  generation integer not null default 0 check (generation >= 0),
  mac_kid text not null check (length(mac_kid) between 1 and 255),
  rotated_at timestamptz,
  scope text[] not null check (cardinality(scope) <= 100),
  audience text[] not null check (cardinality(audience) <= 20),
  resource text[] not null default '{}' check (cardinality(resource) <= 20),
  cnf bytea check (octet_length(cnf) = 32),
  login_born bigint not null check (login_born >= 0),
  grant_born bigint not null check (grant_born >= 0),
  authenticated_at timestamptz not null,
  acr text not null default '' check (length(acr) <= 255),
  amr text[] not null default '{}' check (cardinality(amr) <= 16),
  -- claims that the login app or the request asked for, as JSON text; null in the ordinary case
  claims text check (length(claims) between 2 and 65536),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null check (expires_at > created_at),
  absolute_expires_at timestamptz check (absolute_expires_at > created_at),
  keep_until timestamptz not null check (keep_until > created_at),
  revoked_at timestamptz
) with (fillfactor = 80);
create index chain_session on chain (session_id);

-- Flows and claims too large for a URL: the URL carries the id, this row the sealed bytes.
create table flow_reference (
  id uuid primary key,
  sealed bytea not null check (octet_length(sealed) between 16 and 262144),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null check (expires_at > created_at)
);
create index flow_reference_expiry on flow_reference (expires_at);

create table admin_credential (
  id uuid primary key,
  name text not null unique check (length(name) between 1 and 255),
  role text not null check (role in ('handshake', 'clients', 'keys', 'metrics', 'all')),
  hash bytea not null check (octet_length(hash) = 32),
  created_at timestamptz not null default now()
);
