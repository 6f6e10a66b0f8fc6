import { type Form, short } from './form.ts';

const role = 'create role plain; grant select on busy to plain';
const seen = 'set local role plain; select 1 / count(id) from (select id from busy limit 1) found';
const unrole = 'drop owned by plain; drop role plain';
const trigger =
  'create function sees() returns trigger language plpgsql as ' +
  "'begin new.t = ''seen''; return new; end';\n" +
  'create trigger added before update on busy for each row when (new.id = 7) execute function sees()';
const untrigger = 'drop function if exists sees() cascade';

/** Who may see and change which rows of a table that is there, and who is told of it. */
export const rightsForms: readonly Form[] = [
  {
    id: 'revoke',
    about: 'revoke a right on a table, sequence, schema or database, or a role',
    lock: 'NONE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'The release before may still use it. Reads and writes go on.',
    instead: 'revoke it in a contract migration',
    example: {
      before: 'create role plain; grant select on other to plain',
      sql: 'revoke select on other from plain',
      after: unrole,
      former: 'set local role plain; select id from other limit 1',
    },
    more: [
      {
        before: 'create role plain; create schema apart; grant usage on schema apart to plain',
        sql: 'revoke usage on schema apart from plain',
        after: `drop schema apart; ${unrole}`,
        former: "set local role plain; select to_regclass('apart.nothing')",
      },
      {
        before:
          'create role plain; create role readers; grant select on other to readers; grant readers to plain',
        sql: 'revoke readers from plain',
        after: `drop owned by readers; drop role readers; ${unrole}`,
        former: 'set local role plain; select id from other limit 1',
      },
    ],
  },
  {
    id: 'change-owner',
    about: 'owner to',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'Who signs in as the owner of before loses what only its owner may do.',
    instead: 'change it in a contract migration, when the roles have the rights that they need',
    example: {
      before: 'create role plain; alter table busy owner to plain',
      sql: 'alter table busy owner to current_user',
      after: 'alter table busy owner to current_user; drop role plain',
      former: 'set local role plain; select id from busy limit 1',
    },
  },
  {
    id: 'set-policy',
    about: 'create permissive policy, alter policy, disable or no force row level security',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: short,
    example: { sql: 'create policy added on busy using (id > 0)' },
    more: [{ sql: 'alter table busy disable row level security' }],
  },
  {
    id: 'restrict-rows',
    about: 'enable or force row level security, create restrictive policy',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'From then on the release before finds no row that the policies do not show.',
    instead: 'create permissive policies first, and do this in a contract migration',
    example: {
      before: role,
      sql: 'alter table busy enable row level security',
      after: unrole,
      former: seen,
    },
    more: [
      {
        before: `${role}; create policy all_rows on busy using (true); alter table busy enable row level security`,
        sql: 'create policy added on busy as restrictive using (false)',
        after: `drop policy all_rows on busy; alter table busy disable row level security; ${unrole}`,
        former: seen,
      },
    ],
  },
  {
    id: 'switch-trigger',
    about: 'enable trigger',
    lock: 'SHARE ROW EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Nobody may write for a moment. From then on its function is part of every write.',
    example: {
      before: trigger,
      sql: 'alter table busy enable always trigger added',
      after: untrigger,
    },
  },
  {
    id: 'disable-trigger',
    about: 'disable trigger, or enable it for replicas only',
    lock: 'SHARE ROW EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'What it did for the release before, or checked, is no longer done.',
    instead: 'disable it in a contract migration',
    example: {
      before: trigger,
      sql: 'alter table busy disable trigger added',
      after: untrigger,
      former:
        "update busy set t = '' where id = 7; " +
        "select 1 / count(id) from busy where id = 7 and t = 'seen'",
    },
    more: [
      {
        before: trigger,
        sql: 'alter table busy enable replica trigger added',
        after: untrigger,
        former:
          "update busy set t = '' where id = 7; " +
          "select 1 / count(id) from busy where id = 7 and t = 'seen'",
      },
    ],
  },
  {
    id: 'publish',
    about: 'create or alter publication of tables that have a primary key, or of inserts',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: 'Reads and writes go on.',
    example: { sql: 'create publication added for table busy' },
  },
  {
    id: 'publish-keyless',
    about:
      'create or alter publication of tables without a primary key, without its columns or by the ' +
      'values of others, or of all',
    lock: 'SHARE UPDATE EXCLUSIVE',
    hold: 'brief',
    verdict: 'refused',
    harm: 'breaks',
    why:
      'Where the key does not tell the row, its updates and deletes are refused. (Or the migrations ' +
      'do not show that there is one.)',
    instead: "give it a primary key and publish that, or inserts only: `with (publish = 'insert')`",
    example: {
      before: 'create table keyless as select id, n from busy where id <= 10',
      sql: 'create publication added for table keyless',
      after: 'drop table keyless',
      on: 'keyless',
      former: 'update keyless set n = 1',
    },
    more: [
      {
        sql: 'create publication added for table busy where (n > 5)',
        former: 'update busy set v = 1 where id = 7',
      },
      {
        sql: 'create publication added for table busy (n, v)',
        former: 'update busy set v = 1 where id = 7',
      },
    ],
  },
  {
    id: 'replica-identity',
    about: 'replica identity default, full, using index',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'allowed',
    why: short,
    example: { sql: 'alter table busy replica identity full' },
  },
  {
    id: 'replica-identity-nothing',
    about: 'replica identity nothing',
    lock: 'ACCESS EXCLUSIVE',
    hold: 'brief',
    verdict: 'contract',
    harm: 'breaks',
    why: 'Where the table is published, updates and deletes are refused.',
    instead: 'take it out of its publications first',
    example: {
      before: 'create publication added for table busy',
      sql: 'alter table busy replica identity nothing',
      after: 'drop publication added',
      former: 'update busy set v = 1 where id = 7',
    },
  },
];
