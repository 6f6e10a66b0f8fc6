import { asError, type Database, type Statement } from '#server/store/database.ts';

/** What redeeming a code writes: one row, the chain (hot path 3). */
export interface NewChain {
  /** The code's id, which is the flow's id: the conflict on it is the replay. */
  readonly id: string;
  readonly attempt: string;
  readonly clientId: string;
  readonly subject: string;
  readonly grantId: string;
  readonly sessionId: string;
  readonly online: boolean;
  readonly refreshable: boolean;
  readonly macKid: string;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  /** SHA-256 thumbprint of the key the chain is bound to; null: a bearer. */
  readonly cnf: Buffer | null;
  readonly loginBorn: number;
  readonly grantBorn: number;
  /** Seconds since the epoch. */
  readonly authenticatedAt: number;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly claims: string | null;
  readonly idleSeconds: number;
  readonly absoluteSeconds: number | null;
  /** How long the row must stay for replays to be seen, in seconds. */
  readonly keepSeconds: number;
}

/**
 * `redeemed`: this attempt wrote the row. `replayed`: another did. `dead`: grant, session, subject
 * or client is revoked.
 */
export type Redemption = 'redeemed' | 'replayed' | 'dead';

/**
 * Writes the chains of redeemed codes: a row for each that is alive and was not redeemed before. Why
 * a code is not among them is asked afterwards, in the rare case (see `explain`): carrying that
 * question along made every redemption 1.6 times as dear. Probes: grant by id, session by id,
 * cutoff twice, chain by id; inserts into two indexes.
 */
const redeem: Statement = {
  name: 'redeem',
  text: `
insert into chain as c (
  id, attempt, client_id, subject, grant_id, session_id, online, refreshable,
  mac_kid, scope, audience, resource, cnf, login_born, grant_born,
  authenticated_at, acr, amr, claims, expires_at, absolute_expires_at, keep_until)
select
  i.id, i.attempt, i.client_id, i.subject, i.grant_id, i.session_id, i.online, i.refreshable,
  i.mac_kid, string_to_array(i.scope, ' '), string_to_array(i.audience, ' '),
  string_to_array(i.resource, ' '), i.cnf, i.login_born, i.grant_born,
  to_timestamp(i.authenticated_at), i.acr, string_to_array(i.amr, ' '), i.claims,
  now() + make_interval(secs => i.idle_seconds),
  now() + make_interval(secs => i.absolute_seconds),
  now() + make_interval(secs => i.keep_seconds)
from unnest(
  $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::bool[], $8::bool[],
  $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[], $14::bigint[], $15::bigint[],
  $16::bigint[], $17::text[], $18::text[], $19::text[], $20::int[], $21::int[], $22::int[]
) as i (
  id, attempt, client_id, subject, grant_id, session_id, online, refreshable,
  mac_kid, scope, audience, resource, cnf, login_born, grant_born,
  authenticated_at, acr, amr, claims, idle_seconds, absolute_seconds, keep_seconds
)
where exists (
    select from "grant" g
    where g.id = i.grant_id and g.subject = i.subject and g.client_id = i.client_id
      and g.revoked_at is null and g.cut_seq <= i.grant_born)
  and exists (
    select from session s
    where s.id = i.session_id and s.revoked_at is null
      and (s.ended_at is null or not i.online))
  and not exists (
    select from cutoff k
    where k.kind = 'subject' and k.target = i.subject and k.seq > i.login_born offset 0)
  and not exists (
    select from cutoff k
    where k.kind = 'client' and k.target = i.client_id and k.seq > i.grant_born offset 0)
on conflict (id) do nothing
returning c.id`,
};

/** Whose attempt wrote the chains that were there already. Probes chain by id. */
const explain: Statement = {
  name: 'redeem_explain',
  text: `
select c.id, c.attempt = i.attempt as own
from unnest($1::uuid[], $2::uuid[]) as i (id, attempt)
join chain c on c.id = i.id`,
};

/** Redeems a batch of codes with different ids: one statement, and one more where some were refused. */
export async function redeemCodes(
  database: Database,
  chains: readonly NewChain[],
): Promise<readonly (Redemption | Error)[]> {
  const inserted = await database.query<{ id: string }>(redeem, [
    chains.map((c) => c.id),
    chains.map((c) => c.attempt),
    chains.map((c) => c.clientId),
    chains.map((c) => c.subject),
    chains.map((c) => c.grantId),
    chains.map((c) => c.sessionId),
    chains.map((c) => c.online),
    chains.map((c) => c.refreshable),
    chains.map((c) => c.macKid),
    chains.map((c) => c.scope.join(' ')),
    chains.map((c) => c.audience.join(' ')),
    chains.map((c) => c.resource.join(' ')),
    chains.map((c) => c.cnf),
    chains.map((c) => c.loginBorn),
    chains.map((c) => c.grantBorn),
    chains.map((c) => c.authenticatedAt),
    chains.map((c) => c.acr),
    chains.map((c) => c.amr.join(' ')),
    chains.map((c) => c.claims),
    chains.map((c) => c.idleSeconds),
    chains.map((c) => c.absoluteSeconds),
    chains.map((c) => c.keepSeconds),
  ]);
  const redeemed = new Set(inserted.map((row) => row.id));
  const others = chains.filter((chain) => !redeemed.has(chain.id));
  // What was written stands, whether or not the others can be explained: a 503 for it would be
  // repeated by the client, and the repetition is a replay.
  const owners = others.length === 0 ? none : await explainAll(database, others).catch(asError);
  return chains.map((chain) => {
    if (redeemed.has(chain.id)) return 'redeemed';
    if (owners instanceof Error) return owners;
    const own = owners.get(chain.id);
    // Not written and not there: what it hangs from is dead.
    if (own === undefined) return 'dead';
    // A lost COMMIT answer was asked again: the row is this attempt's own.
    return own ? 'redeemed' : 'replayed';
  });
}

const none: ReadonlyMap<string, boolean> = new Map();

async function explainAll(
  database: Database,
  chains: readonly NewChain[],
): Promise<ReadonlyMap<string, boolean>> {
  const rows = await database.query<{ id: string; own: boolean }>(explain, [
    chains.map((chain) => chain.id),
    chains.map((chain) => chain.attempt),
  ]);
  return new Map(rows.map((row) => [row.id, row.own]));
}
