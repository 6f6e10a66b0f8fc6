-- People who sign in at the built-in pages. The engine knows only the subject, a string.
create table identity_user (
  id uuid primary key,
  login text not null check (length(login) between 3 and 255),
  -- what look-ups compare: the login in NFKC lower case, made by the application
  login_key text not null unique check (length(login_key) between 3 and 255),
  name text not null default '' check (length(name) <= 255),
  -- an encoded argon2id hash
  password_hash text not null check (length(password_hash) between 60 and 255),
  email_verified boolean not null default false,
  disabled boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
