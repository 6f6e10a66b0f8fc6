-- When a node last said that access tokens still live as long as access_seconds_max: nobody saying
-- so for a while is what lets it fall.
alter table control add column access_asserted_at timestamptz not null default now();
