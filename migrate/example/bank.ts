import type { Side } from '#migrate/client/seam.ts';
import type { Session } from '#migrate/client/unit.ts';
import type { PrimingStatement } from '#migrate/client/warm.ts';

// Both shapes of the tables are known, and every unit says which one it is on. Blue keeps cents in
// account and transfer, green amounts in wallet and movement; customer and profile became person.

/** A request that the bank refuses, with the status of the answer. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;
  constructor(status: number, sentence: string) {
    super(sentence);
    this.status = status;
  }
}

export interface Transfer {
  /** Chosen by whoever asks: the same one again is the same transfer. */
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly cents: number;
}

export interface Profile {
  readonly given: string;
  readonly family: string;
  readonly bio: string;
}

type Statements = Readonly<Record<Side, string>>;

const insertTransfer: Statements = {
  blue: `insert into transfer (id, from_id, to_id, cents, note) values ($1, $2, $3, $4, 'asked')
         on conflict (id) do nothing`,
  green: `insert into movement (id, from_id, to_id, amount, note, at)
          values ($1, $2, $3, $4::bigint / 100.0, 'asked', now()) on conflict (id) do nothing`,
};
const selectTransfer: Statements = {
  blue: 'select t.from_id, t.to_id, t.cents from transfer t where t.id = $1',
  green: `select m.from_id, m.to_id, (m.amount * 100)::bigint as cents from movement m
          where m.id = $1`,
};
const changeBalance: Statements = {
  blue: `update account set balance_cents = balance_cents + $2::bigint
         where id = $1 and balance_cents + $2::bigint >= 0`,
  green: `update wallet set balance = balance + $2::bigint / 100.0
          where id = $1 and balance + $2::bigint / 100.0 >= 0`,
};
const selectAccount: Statements = {
  blue: `select a.id, a.balance_cents as cents, a.currency, a.status, c.full_name as owner, c.email
         from account a join customer c on c.id = a.customer_id where a.id = $1`,
  green: `select w.id, (w.balance * 100)::bigint as cents, w.currency, s.status,
            p.given_name || ' ' || p.family_name as owner, p.email
          from wallet w join wallet_state s on s.wallet_id = w.id
            join person p on p.id = w.owner_id where w.id = $1`,
};
const selectCustomer: Statements = {
  blue: `select c.id, c.full_name as name, c.email, p.bio from customer c
         left join profile p on p.customer_id = c.id where c.id = $1`,
  green: `select p.id, p.given_name || ' ' || p.family_name as name, p.email, p.bio from person p
          where p.id = $1`,
};
const updateName = 'update customer set full_name = $2 where id = $1';
const upsertBio = `insert into profile (customer_id, bio) values ($1, $2)
  on conflict (customer_id) do update set bio = excluded.bio`;
const updatePerson = `update person set given_name = $2, family_name = $3, bio = $4 where id = $1`;
const selectBalances: Statements = {
  blue: 'select count(*) as accounts, sum(a.balance_cents) as cents from account a',
  green: 'select count(*) as accounts, (sum(w.balance) * 100)::bigint as cents from wallet w',
};
const selectSizes: Statements = {
  blue: `select (select max(a.id) from account a) as accounts,
           (select max(c.id) from customer c) as customers`,
  green: `select (select max(w.id) from wallet w) as accounts,
            (select max(p.id) from person p) as customers`,
};

/** Run on new connections before a switch, and rolled back. */
export const priming: Readonly<Record<Side, readonly PrimingStatement[]>> = {
  blue: [
    ...primingOf('blue'),
    named('name', updateName, [0, '']),
    named('bio', upsertBio, [0, '']),
  ],
  green: [...primingOf('green'), named('person', updatePerson, [0, '', '', ''])],
};

function primingOf(side: Side): readonly PrimingStatement[] {
  const nobody = '00000000-0000-0000-0000-000000000000';
  return [
    named('transfer', insertTransfer[side], [nobody, 0, 0, 0]),
    named('transfer-of', selectTransfer[side], [nobody]),
    named('balance', changeBalance[side], [0, 0]),
    named('account', selectAccount[side], [0]),
    named('customer', selectCustomer[side], [0]),
  ];
}

function named(name: string, text: string, values: readonly unknown[]) {
  return { name, text, values: [...values] };
}

/** Moves money once, however often it is asked for. */
export async function makeTransfer(session: Session, transfer: Transfer): Promise<'done'> {
  const { id, from, to, cents } = transfer;
  const { side } = session;
  const inserted = await session
    .query(named('transfer', insertTransfer[side], [id, from, to, cents]))
    .catch((error: unknown) => {
      // foreign_key_violation
      if (error instanceof Error && 'code' in error && error.code === '23503') {
        throw new Refused(404, 'There is no such account.');
      }
      throw error;
    });
  if (inserted.rowCount === 0) {
    const found = await findTransfer(session, id);
    if (found?.from === from && found.to === to && found.cents === cents) return 'done';
    throw new Refused(409, 'This id belongs to another transfer.');
  }
  const changes = [
    { account: from, cents: -cents },
    { account: to, cents },
  ];
  // In one order, so that two transfers never wait for each other.
  for (const change of changes.sort((one, other) => one.account - other.account)) {
    const values = [change.account, change.cents];
    const { rowCount } = await session.query(named('balance', changeBalance[side], values));
    if (rowCount !== 1) throw new Refused(422, 'The account has not enough money.');
  }
  return 'done';
}

export async function findTransfer(session: Session, id: string): Promise<Transfer | undefined> {
  const { rows } = await session.query<{ from_id: string; to_id: string; cents: string }>(
    named('transfer-of', selectTransfer[session.side], [id]),
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  return { id, from: Number(row.from_id), to: Number(row.to_id), cents: Number(row.cents) };
}

export async function findAccount(session: Session, id: number) {
  const { rows } = await session.query<{
    id: string;
    cents: string;
    currency: string;
    status: string;
    owner: string;
    email: string;
  }>(named('account', selectAccount[session.side], [id]));
  const [row] = rows;
  return row && { ...row, id: Number(row.id), cents: Number(row.cents) };
}

export async function findCustomer(session: Session, id: number) {
  const { rows } = await session.query<{
    id: string;
    name: string;
    email: string;
    bio: string | null;
  }>(named('customer', selectCustomer[session.side], [id]));
  const [row] = rows;
  return row && { ...row, id: Number(row.id) };
}

/** Sets name and bio: two tables of blue, one of green. Doing it again changes nothing. */
export async function changeProfile(session: Session, id: number, profile: Profile): Promise<void> {
  const { given, family, bio } = profile;
  const changed =
    session.side === 'blue'
      ? await session.query(named('name', updateName, [id, `${given} ${family}`]))
      : await session.query(named('person', updatePerson, [id, given, family, bio]));
  if (changed.rowCount === 0) throw new Refused(404, 'There is no such customer.');
  if (session.side === 'blue') await session.query(named('bio', upsertBio, [id, bio]));
}

/** All the money there is; it never changes. */
export async function sumBalances(session: Session) {
  const { rows } = await session.query<{ accounts: string; cents: string | null }>(
    selectBalances[session.side],
  );
  return { accounts: Number(rows[0]?.accounts), cents: Number(rows[0]?.cents ?? 0) };
}

/** The greatest ids. */
export async function findSizes(session: Session) {
  const { rows } = await session.query<{ accounts: string | null; customers: string | null }>(
    selectSizes[session.side],
  );
  return { accounts: Number(rows[0]?.accounts ?? 0), customers: Number(rows[0]?.customers ?? 0) };
}
