-- What a next release might add to every busy table. Tests run against it with
-- GATEHOUSE_TEST_NEXT_SCHEMA=1: release N passes on schema N + 1 (R8).
alter table session add column next_device text;
-- migrate:commit
alter table "grant" add column next_note jsonb not null default '{}', add column next_rank integer;
-- migrate:commit
alter table chain add column next_region text not null default 'eu';
alter table chain add constraint chain_next_region check (length(next_region) <= 8) not valid;
-- migrate:commit
alter table chain validate constraint chain_next_region;
-- migrate:commit
create index concurrently if not exists chain_next_region on chain (next_region, subject);
-- migrate:commit
alter table fact add column next_origin uuid;
-- migrate:commit
alter table client add column next_tags text[] not null default '{}';
-- migrate:commit
alter table client_secret add column next_label text;
-- migrate:commit
alter table key add column next_origin text;
-- migrate:commit
alter table control add column next_flag boolean not null default false;
-- migrate:commit
alter table identity_user add column next_locale text;
-- migrate:commit
create table next_thing (id uuid primary key, session_id uuid not null references session (id));
