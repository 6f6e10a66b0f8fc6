-- By what a node sees that its pairwise salt is another one: a digest of the salt, sealed under the
-- master key, so that the database alone tells nothing of it. Null: the next start says which.
alter table control add column pairwise_salt bytea;
alter table control
  add constraint control_pairwise_salt_check check (octet_length(pairwise_salt) between 48 and 255)
  not valid;
