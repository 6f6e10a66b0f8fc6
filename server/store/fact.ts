import type { Database, Statement } from '#server/store/database.ts';
import type { Fact, FactKind, Mortal } from '#server/store/feed.ts';

/** Facts that one poll brings at most; a full page is followed by the next before anything is fresh. */
export const factsPerPoll = 5000;

/**
 * The shared poll: what this database is, its time, and the facts from a cursor on. The cursor's own
 * comes again each time: where it is gone, the database has lost what it had said.
 */
export const poll: Statement = {
  name: 'feed_poll',
  text: `
select o.epoch, o.state, o.access_seconds_max, o.history, o.floor_seq, o.recovery_seq,
  extract(epoch from clock_timestamp()) * 1000 as now_ms,
  f.seq, f.kind, f.target, f.version, extract(epoch from f.expires_at)::bigint as expires_at
from control o
left join lateral (
  select f.seq, f.kind, f.target, f.version, f.expires_at from fact f
  where f.seq >= $1
  order by f.seq
  limit 5000
) f on true
order by f.seq`,
};

export interface PollRow {
  epoch: string;
  state: string;
  access_seconds_max: number;
  history: string;
  floor_seq: string;
  recovery_seq: string | null;
  now_ms: string;
  seq: string | null;
  kind: FactKind;
  target: string;
  version: number | null;
  expires_at: string;
}

/** The facts among the rows of a poll. */
export function factsOf(rows: readonly PollRow[]): Fact[] {
  return rows.flatMap((row) =>
    row.seq === null
      ? []
      : [
          {
            seq: Number(row.seq),
            kind: row.kind,
            target: row.target,
            version: row.version ?? 0,
            expiresAt: Number(row.expires_at),
          },
        ],
  );
}

const page: Statement = {
  name: 'fact_page',
  text: `
select f.seq, f.kind, f.target, f.version, extract(epoch from f.expires_at)::bigint as expires_at,
  f.expires_at > now() as lives
from fact f
where f.seq > $1 and f.seq <= $2
order by f.seq
limit 5000`,
};

/** Living facts with `after < seq <= upTo`, and after which seq the next page begins. Uses the key. */
export async function readFacts(
  database: Database,
  after: number,
  upTo: number,
): Promise<{ readonly facts: readonly Fact[]; readonly next: number | undefined }> {
  const rows = await database.query<PollRow & { lives: boolean }>(page, [after, upTo]);
  const last = rows.at(-1)?.seq;
  return {
    facts: factsOf(rows.filter((row) => row.lives)),
    next: rows.length < factsPerPoll || last === undefined ? undefined : Number(last),
  };
}

/** The check that memory answers otherwise, for a batch. Probes fact_target; cutoff twice. */
const kills: Statement = {
  name: 'fact_kills',
  text: `
select i.position::int as position,
  exists (
    select from fact f where f.target = i.token_id and f.kind = 'token' offset 0)
  or exists (
    select from fact f where f.target = i.chain_id and f.kind = 'chain' offset 0)
  or exists (
    select from fact f
    where f.target = i.grant_id
      and (f.kind = 'grant' or f.kind = 'narrow' and f.version > i.grant_version)
    offset 0)
  or exists (
    select from fact f
    where f.target = i.session_id and (f.kind = 'session' or i.online and f.kind = 'sign_out')
    offset 0)
  or exists (
    select from cutoff k
    where k.kind = 'subject' and k.target = i.subject and k.seq > i.login_born offset 0)
  or exists (
    select from cutoff k
    where k.kind = 'client' and k.target = i.client_id and k.seq > i.grant_born offset 0) as dead
from unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::text[], $7::text[],
  $8::bigint[], $9::bigint[], $10::int[]
) with ordinality as i (
  token_id, chain_id, grant_id, session_id, online, subject, client_id, login_born, grant_born,
  grant_version, position
)`,
};

/** Asks PostgreSQL which of these are dead; in the order given. */
export async function areDead(
  database: Database,
  mortals: readonly Mortal[],
): Promise<readonly boolean[]> {
  const rows = await database.query<{ position: number; dead: boolean }>(kills, [
    mortals.map((m) => m.tokenId),
    mortals.map((m) => m.chainId),
    mortals.map((m) => m.grantId),
    mortals.map((m) => m.sessionId),
    mortals.map((m) => m.online),
    mortals.map((m) => m.subject),
    mortals.map((m) => m.clientId),
    mortals.map((m) => m.loginBorn),
    mortals.map((m) => m.grantBorn),
    mortals.map((m) => m.grantVersion),
  ]);
  // By position: mortals that are no tokens, such as admin credentials, all have the token id ''.
  const byPosition = new Map(rows.map((row) => [row.position, row.dead]));
  // What PostgreSQL did not answer for is dead: never open.
  return mortals.map((_, index) => byPosition.get(index + 1) ?? true);
}
