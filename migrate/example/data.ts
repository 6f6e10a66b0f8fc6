import type pg from 'pg';

const givenNames =
  'Ada Amir Ana Bao Carl Chloe Dana Elif Emil Eva Farid Grace Hana Hugo Ida Ivan Jana Jonas Kemal ' +
  'Lena Lin Lucas Maria Mei Mila Noah Nour Olga Omar Paul Priya Rosa Sam Sofia Tariq Tomas Uma ' +
  'Vera Wei Yara Zoe';
const familyNames =
  'Abe Adler Aydin Becker Bianchi Braun Chen Costa Diaz Duval Evans Fischer Garcia Haas Hansen ' +
  'Ito Jensen Kaya Keller Khan Kim Koch Kowalski Lang Lopez Martin Meyer Moreau Nguyen Novak ' +
  'Okafor Park Patel Rossi Sato Schulz Silva Singh Tanaka Wagner Weber Wolf Yilmaz';

const customersAtOnce = 50_000;

/**
 * Fills the tables of blue with the rows of so many customers: four accounts and two transfers each,
 * a profile for every other one. The same number makes the same rows, save the ids of transfers.
 * `progress` hears how many customers are done.
 */
export async function makeData(
  client: pg.Client,
  customers: number,
  progress: (done: number) => void,
): Promise<void> {
  for (let low = 1; low <= customers; low += customersAtOnce) {
    const high = Math.min(customers, low + customersAtOnce - 1);
    await insertCustomers(client, low, high);
    await insertAccounts(client, low, high);
    progress(high);
  }
  // Transfers come last: they refer to accounts of anybody.
  for (let low = 1; low <= customers; low += customersAtOnce) {
    await insertTransfers(client, low, Math.min(customers, low + customersAtOnce - 1), customers);
  }
  await client.query(
    `select setval('customer_id_seq', (select max(c.id) from customer c)),
       setval('account_id_seq', (select max(a.id) from account a))`,
  );
  await client.query('analyze');
}

/** A number that looks random and is always the same one for an id and a purpose. */
const chance = (id: string, purpose: number, sides: number) =>
  `(abs(hashint8extended(${id}, ${purpose})) % ${sides})::int`;

async function insertCustomers(client: pg.Client, low: number, high: number): Promise<void> {
  const [given, family] = [givenNames.split(' '), familyNames.split(' ')];
  await client.query(
    `insert into customer (id, email, full_name, created)
     select g.id, 'c' || g.id || '@example.com', g.given || ' ' || g.family,
       '2019-01-01'::timestamptz + g.id * interval '3 seconds'
     from (select n.id, ($3::text[])[1 + ${chance('n.id', 1, given.length)}] as given,
             ($4::text[])[1 + ${chance('n.id', 2, family.length)}] as family
           from generate_series($1::bigint, $2::bigint) n(id)) g`,
    [low, high, given, family],
  );
  await client.query(
    `insert into profile (customer_id, bio, prefs)
     select n.id, case when n.id % 3 = 0 then 'bio of ' || n.id end,
       jsonb_build_object('theme', (array['dark', 'light'])[1 + ${chance('n.id', 5, 2)}],
         'language', (array['de', 'en', 'es', 'fr', 'tr'])[1 + ${chance('n.id', 6, 5)}])
     from generate_series($1::bigint, $2::bigint) n(id) where n.id % 2 = 0`,
    [low, high],
  );
}

async function insertAccounts(client: pg.Client, low: number, high: number): Promise<void> {
  await client.query(
    `insert into account (id, customer_id, balance_cents, status)
     select a.id, (a.id + 3) / 4, 100000 + ${chance('a.id', 7, 1_000_000)},
       case when ${chance('a.id', 8, 50)} = 0 then 'frozen' else 'open' end
     from generate_series($1::bigint * 4 - 3, $2::bigint * 4) a(id)`,
    [low, high],
  );
}

/** What lies behind the balances; the accounts hold what came of it. */
async function insertTransfers(
  client: pg.Client,
  low: number,
  high: number,
  customers: number,
): Promise<void> {
  const accounts = customers * 4;
  await client.query(
    `insert into transfer (from_id, to_id, cents, note, at)
     select 1 + ${chance('n.id', 9, accounts)}, 1 + ${chance('n.id', 10, accounts)},
       1 + ${chance('n.id', 11, 300)} * ${chance('n.id', 12, 300)},
       (array['rent', 'groceries', 'invoice ' || n.id, null])[1 + ${chance('n.id', 13, 4)}],
       '2024-01-01'::timestamptz + n.id * interval '5 seconds'
     from generate_series($1::bigint * 2 - 1, $2::bigint * 2) n(id)`,
    [low, high],
  );
}
