/** What the examples of forms and rules are about: a table that others use, and one it refers to. */
export const world = `
create domain positive as bigint check (value > 0);
create table other (id bigint primary key);
create sequence busy_numbers;
create table busy (
  id bigint primary key,
  n integer not null default 0,
  v integer,
  w varchar(40),
  t text,
  p bigint,
  d positive,
  filled integer,
  stored bigint generated always as (id + 1) stored
);
create index busy_spare on busy (d);
`;
