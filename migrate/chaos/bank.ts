import { fileURLToPath } from 'node:url';

/** What the chaos knows of the tables: the bank of migrate/example, in both shapes. */
export const mappingPath = fileURLToPath(new URL('../example/bank.mapping.ts', import.meta.url));

type Side = 'blue' | 'green';

/** Takes no row, and is refused all the same where the side takes no writes. */
export const probe: Readonly<Record<Side, string>> = {
  blue: 'update account set status = status where id = -1',
  green: 'update wallet_state set status = status where wallet_id = -1',
};

/** Which of the transfers $1 are there. */
export const present: Readonly<Record<Side, string>> = {
  blue: 'select t.id::text as id from transfer t where t.id = any($1::uuid[])',
  green: 'select m.id::text as id from movement m where m.id = any($1::uuid[])',
};

/** All money, in cents. */
export const money: Readonly<Record<Side, string>> = {
  blue: 'select sum(a.balance_cents)::bigint::text as cents from account a',
  green: 'select (sum(w.balance) * 100)::bigint::text as cents from wallet w',
};

/** Rows that refer to what is not there, or that lack their other half. */
export const broken: Readonly<Record<Side, string>> = {
  blue: `select 'transfer ' || t.id as what from transfer t
    where not exists (select 1 from account a where a.id = t.from_id)
      or not exists (select 1 from account a where a.id = t.to_id)`,
  green: `select 'movement ' || m.id as what from movement m
    where not exists (select 1 from wallet w where w.id = m.from_id)
      or not exists (select 1 from wallet w where w.id = m.to_id)
    union all select 'wallet ' || w.id from wallet w
    where not exists (select 1 from wallet_state s where s.wallet_id = w.id)`,
};

/** Makes one row that the other side refuses, and takes it away again. */
export const poison: Readonly<Record<Side, { readonly put: string; readonly mend: string }>> = {
  // char(3) over there
  blue: {
    put: "update account set currency = 'EURO' where id = 3",
    mend: "update account set currency = 'EUR' where id = 3",
  },
  // an integer over there
  green: {
    put: `insert into person (id, email, given_name, family_name, created_at)
      values (3000000000, 'too-large@example.com', 'Given', 'Family', now())`,
    mend: 'delete from person where id = 3000000000',
  },
};
