import type pg from 'pg';

/** What rows are made from. */
export interface Seed {
  /** Grants, chains and sessions each; half as many people. */
  readonly rows: number;
  /** Registered apps, whose grants and chains are used afterwards: half of all. */
  readonly clientIds: readonly string[];
  /** The MAC key that refresh tokens of the seeded chains are made with. */
  readonly macKid: string;
  /** True: as after autovacuum. False: as in the first minute, without statistics. */
  readonly analyze: boolean;
}

/**
 * How one in a hundred fares, by its number's last two digits. A deployment in its third month: most
 * are connected and idle, some have ended in every way there is.
 */
const mix = {
  revoked: [0, 1],
  /** redeemed without offline_access; most of them are over and wait for the sweeper */
  short: [2, 11],
  online: [12, 31],
  expired: [32, 36],
  /** signed out, and still connected */
  signedOut: [40, 69],
} as const;

const kind = (name: keyof typeof mix) => `n % 100 between ${mix[name][0]} and ${mix[name][1]}`;

/** Person `s` of a seeded database. */
const subjectOf = (s: string): string => `md5('subject-' || ${s})::uuid::text`;

/**
 * Fills all tables that grow by use, in bulk. Ids are UUIDv7 spread over sixty days, as time would
 * have spread them; each person has two grants. What was made lies in `seed.flow`, by number.
 */
export async function seed(client: pg.Client, options: Seed): Promise<void> {
  const { rows } = options;
  const people = Math.max(1, Math.floor(rows / 2));
  await client.query('create schema seed');
  await client.query(
    `create unlogged table seed.flow (n int, id uuid, grant_id uuid, subject text, client_id text,
       at timestamptz)`,
  );
  await client.query(
    `insert into client (client_id, metadata, client_name, owner)
     select 'seeded-' || i, jsonb_set(c.metadata, '{client_id}', to_jsonb('seeded-' || i)),
       'Seeded app ' || i, 'owner-' || i % 97
     from client c, generate_series(1, $2::int) i where c.client_id = $1`,
    [options.clientIds[0], apps(rows)],
  );
  await client.query(
    `insert into client_secret (id, client_id, scheme, pepper_kid, hash)
     select gen_random_uuid(), c.client_id, 'hmac', 'seeded', sha256(c.client_id::bytea)
     from client c where c.client_id like 'seeded-%'`,
  );
  await client.query(
    `insert into seed.flow (n, id, grant_id, subject, client_id, at)
     select i.n, uuidv7(i.age), uuidv7(i.age), ${subjectOf('i.s')},
       case when i.n <= $2 then ($3::text[])[1 + i.s % cardinality($3::text[])]
         else 'seeded-' || 1 + i.s::bigint * 31 % $4 end,
       now() + i.age
     from (
       select n, n::bigint * 48271 % $2 as s,
         -make_interval(secs => 5184000 * (1 - n::float8 / ($1 + 1))) as age
       from generate_series(1, $1::int) n
     ) i`,
    [rows, people, options.clientIds, apps(rows)],
  );
  for (const text of inserts) await client.query(text.replaceAll('$mac', options.macKid));
  await client.query(
    `insert into identity_user (id, login, login_key, name, password_hash)
     select md5('subject-' || s)::uuid, 'person-' || s || '@example.com',
       'person-' || s || '@example.com', 'Person ' || s, repeat('x', 97)
     from generate_series(0, $1::int - 1) s`,
    [people],
  );
  await client.query('create unique index on seed.flow (n)');
  await client.query(options.analyze ? 'vacuum (analyze)' : 'analyze seed.flow');
}

const apps = (rows: number) => Math.max(20, Math.floor(rows / 3000));

const inserts = [
  `insert into session (id, subject, login_born, authenticated_at, remember, created_at,
     expires_at, ended_at, revoked_at)
   select f.id, f.subject, 0, f.at, n % 2 = 0, f.at,
     case when ${kind('short')} and n % 3 = 0 then f.at + interval '1 day'
       else now() + interval '20 days' end,
     case when ${kind('signedOut')} then f.at + interval '1 hour' end, null
   from seed.flow f order by n`,
  `insert into "grant" (subject, client_id, id, scope, audience, login_born, grant_born,
     last_flow_id, session_id, remembered_scope, remember, detail, created_at, handled_at)
   select f.subject, f.client_id, f.grant_id, '{openid,offline_access}', '{}', 0, 0,
     f.id, f.id, case when n % 4 = 0 then '{openid,offline_access}'::text[] else '{}' end,
     n % 4 = 0,
     jsonb_build_object('scope', '["openid","offline_access"]'::jsonb, 'query', repeat('q', 300)),
     f.at, f.at
   from seed.flow f order by n`,
  `insert into chain (id, client_id, subject, grant_id, session_id, online, refreshable, attempt,
     generation, mac_kid, rotated_at, scope, audience, login_born, grant_born, authenticated_at,
     created_at, expires_at, keep_until, revoked_at)
   select f.id, f.client_id, f.subject, f.grant_id, f.id, ${kind('online')}, not (${kind('short')}),
     gen_random_uuid(), n % 40, '$mac', f.at + interval '1 minute', '{openid,offline_access}', '{}',
     0, 0, f.at, f.at,
     case when ${kind('expired')} then f.at + interval '1 hour' else now() + interval '20 days' end,
     f.at + interval '2 hours',
     case when ${kind('revoked')} then f.at + interval '2 hours' end
   from seed.flow f order by n`,
  `insert into fact (seq, kind, target, reason, expires_at)
   select nextval('fact_seq'), (array['chain', 'token', 'session', 'subject'])[1 + n / 100 % 4],
     case when n / 100 % 4 = 3 then 'gone-' || n else f.id::text end, 'seeded',
     now() + interval '1 hour'
   from seed.flow f where n % 100 = 0 order by n`,
  `insert into cutoff (kind, target, seq, created_at)
   select case when n % 2000 = 0 then 'client' else 'subject' end, 'gone-' || n, 1, f.at
   from seed.flow f where n % 200 = 0`,
  `insert into flow_reference (id, sealed, expires_at)
   select gen_random_uuid(), decode(repeat('ab', 2000), 'hex'), now() + interval '10 minutes'
   from seed.flow f where n % 1000 = 0`,
];

/** A seeded login with its refresh chain, of a registered app. */
export interface SeededFlow {
  readonly n: number;
  readonly id: string;
  readonly grantId: string;
  readonly subject: string;
  readonly clientId: string;
  readonly generation: number;
}

/** CPU is measured on one half of the logins, pages and plans on the other, which nothing else has used. */
export type Half = 'cpu' | 'plans';

/** Living logins of registered apps that a half has: numbers 70 to 99 of each hundred people. */
export const flowsInHalf = (rows: number): number => Math.floor(rows / 2 / 100) * 15;

/**
 * Living chains with a refresh token, spread over the whole table by a golden stride: the next
 * `count` of a half from the `from`-th on. Those that were killed meanwhile are left out.
 */
export async function pickFlows(
  client: pg.Client,
  rows: number,
  half: Half,
  from: number,
  count: number,
): Promise<readonly SeededFlow[]> {
  const total = flowsInHalf(rows);
  let stride = Math.floor(total * 0.618);
  while (greatestCommonDivisor(stride, total) !== 1) stride++;
  const numbers = Array.from({ length: count }, (_, i) => {
    const place = 2 * (((from + i) * stride) % total) + (half === 'cpu' ? 0 : 1);
    return Math.floor(place / 30) * 100 + 70 + (place % 30);
  });
  const { rows: found } = await client.query<SeededFlow>(
    `select f.n, f.id, f.grant_id as "grantId", f.subject, f.client_id as "clientId",
       c.generation
     from unnest($1::int[]) with ordinality as i (n, place)
     join seed.flow f on f.n = i.n
     join chain c on c.id = f.id and c.revoked_at is null
     join "grant" g on g.id = c.grant_id and g.revoked_at is null
     join session s on s.id = c.session_id and s.ended_at is null
     where not exists (select from cutoff k where k.kind = 'subject' and k.target = f.subject)
     order by i.place`,
    [numbers],
  );
  return found;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
