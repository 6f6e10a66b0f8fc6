/** A transfer of one unit, in the order of its accounts: $1 from, $2 to, $3 its id. */
export const transfers: Readonly<Record<'blue' | 'green', readonly [string, string, string]>> = {
  blue: [
    'update account set balance_cents = balance_cents - 100 where id = $1',
    'update account set balance_cents = balance_cents + 100 where id = $1',
    'insert into transfer (id, from_id, to_id, cents) values ($1, $2, $3, 100)',
  ],
  green: [
    'update wallet set balance = balance - 1 where id = $1',
    'update wallet set balance = balance + 1 where id = $1',
    'insert into movement (id, from_id, to_id, amount, at) values ($1, $2, $3, 1, now())',
  ],
};
