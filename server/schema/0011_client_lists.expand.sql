-- Clients by name and by owner, in the order of their ids: a listing reads its page, not the table.
create index concurrently if not exists client_by_name on client (client_name, client_id);
-- migrate:commit
create index concurrently if not exists client_by_owner on client (owner, client_id);
