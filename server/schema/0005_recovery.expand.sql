-- Recovery after a restore to an earlier moment (`gatehouse recover`).

-- Which history of this database it is: a restore followed by a recovery begins another.
alter table control add column history uuid;
-- migrate:allow update-whole because it has one row
-- migrate:allow slow-under-lock because it has one row
update control set history = gen_random_uuid() where singleton;

-- Everything born before this fact is dead; 0 until something was recovered.
alter table control add column floor_seq bigint not null default 0;
alter table control add constraint control_floor_seq_check check (floor_seq >= 0) not valid;

-- Where the counter of facts stood when a recovery began; null: none is under way.
alter table control add column recovery_seq bigint;
alter table control add constraint control_recovery_seq_check check (recovery_seq > 0) not valid;
