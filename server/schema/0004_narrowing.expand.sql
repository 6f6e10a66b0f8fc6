-- Narrowing a grant: a kind of fact of its own, and what a grant has lost since when.

-- Access tokens of an earlier version of the grant are dead. Not valid: nothing that is there is
-- read under the lock; 0007 does that under a weaker one.
alter table fact add column version integer;
alter table fact drop constraint fact_kind_check;
alter table fact add constraint fact_kind_check check (kind in (
  'token', 'chain', 'grant', 'narrow', 'session', 'sign_out', 'subject', 'client',
  'client_changed', 'keys_changed')) not valid;
alter table fact add constraint fact_version_check check (
  (kind = 'narrow') = (version is not null) and version >= 2) not valid;

-- migrate:commit
-- {"scope": {name: seq}, "audience": {name: seq}}: what a chain born before that seq has lost for
-- good, also if the person allows it again later.
alter table "grant" add column lost jsonb not null default '{}';
alter table "grant" add constraint grant_lost_check check (jsonb_typeof(lost) = 'object') not valid;
