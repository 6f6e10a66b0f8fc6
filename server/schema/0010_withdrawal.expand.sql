-- What a subject withdrew while it was under way: a consent or a login that was accepted before its
-- number, and is no row yet, becomes none.
alter table cutoff
  add column consent_seq bigint not null default 0,
  add column login_seq bigint not null default 0;
alter table cutoff add constraint cutoff_under_way_check
  check (consent_seq >= 0 and login_seq >= 0) not valid;
-- 0: only what was under way is dead, and nothing that had begun.
alter table cutoff drop constraint cutoff_seq_check;
alter table cutoff add constraint cutoff_seq_check check (seq >= 0) not valid;

-- migrate:commit
alter table cutoff validate constraint cutoff_under_way_check;
alter table cutoff validate constraint cutoff_seq_check;
