/** One row per artifact, found by each of the ways that the adapter's contract asks for. */
export const schema = `
  create table artifact (
    model text not null,
    id text not null,
    payload jsonb not null,
    grant_id text,
    uid text,
    user_code text,
    consumed_at timestamptz,
    expires_at timestamptz,
    primary key (model, id)
  );
  create index artifact_grant on artifact (grant_id) where grant_id is not null;
  create index artifact_uid on artifact (model, uid) where uid is not null;
  create index artifact_user_code on artifact (model, user_code) where user_code is not null`;
