-- Reads what was there before 0004 without keeping anybody from writing.
alter table fact validate constraint fact_kind_check;
alter table fact validate constraint fact_version_check;
alter table "grant" validate constraint grant_lost_check;
