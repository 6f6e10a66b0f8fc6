import { type Lost, leftToChain } from '#core/narrowing.ts';
import type { Database, Statement } from '#server/store/database.ts';

const claims: Statement = {
  name: 'chain_claims',
  text: 'select c.claims from chain c where c.id = $1 and c.revoked_at is null',
};

/** The claims column of a living chain, for tokens that do not carry it. */
export async function readClaimsOf(database: Database, chainId: string): Promise<string | null> {
  const [row] = await database.query<{ claims: string | null }>(claims, [chainId]);
  return row?.claims ?? null;
}

/** What introspecting a refresh token shows. Times are seconds since the epoch. */
export interface LiveChain {
  readonly clientId: string;
  readonly subject: string;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly claims: string | null;
}

/** Reads a chain whose newest refresh token is asked about. */
const live: Statement = {
  name: 'chain_live',
  text: `
select c.client_id, c.subject, c.scope, c.audience, c.resource, c.claims, c.online, c.grant_born,
  g.scope as grant_scope, case when g.cut_seq > c.grant_born then g.lost end as lost,
  extract(epoch from c.created_at)::bigint as created_at,
  extract(epoch from least(c.expires_at, c.absolute_expires_at))::bigint as expires_at
from chain c
join "grant" g on g.id = c.grant_id and g.revoked_at is null
join session s on s.id = c.session_id and s.revoked_at is null
  and (not c.online or s.ended_at is null and s.expires_at > now())
where c.id = $1 and c.refreshable and c.revoked_at is null and c.expires_at > now()
  and (c.absolute_expires_at is null or c.absolute_expires_at > now())
  and c.generation <= $2
  and not exists (
    select from cutoff k
    where k.kind = 'subject' and k.target = c.subject and k.seq > c.login_born offset 0)
  and not exists (
    select from cutoff k
    where k.kind = 'client' and k.target = c.client_id and k.seq > c.grant_born offset 0)`,
};

interface LiveRow {
  client_id: string;
  subject: string;
  scope: string[];
  audience: string[];
  resource: string[];
  online: boolean;
  grant_born: string;
  grant_scope: string[];
  lost: Lost | null;
  created_at: string;
  expires_at: string;
  claims: string | null;
}

/** The chain, if the refresh token of this generation is its newest and all it hangs from lives. */
export async function readLiveChain(
  database: Database,
  chainId: string,
  generation: number,
): Promise<LiveChain | undefined> {
  const [row] = await database.query<LiveRow>(live, [chainId, generation]);
  if (row === undefined) return undefined;
  const left = leftToChain(
    { ...row, grantBorn: Number(row.grant_born) },
    { grantScope: row.grant_scope, lost: row.lost ?? undefined },
  );
  if (left === undefined) return undefined;
  return {
    clientId: row.client_id,
    subject: row.subject,
    scope: left.scope,
    audience: left.audience,
    resource: left.resource,
    createdAt: Number(row.created_at),
    expiresAt: Number(row.expires_at),
    claims: row.claims,
  };
}

const owner: Statement = {
  name: 'chain_owner',
  text: 'select c.client_id from chain c where c.id = $1',
};

/** Whose chain this is, dead or alive. */
export async function readChainClient(
  database: Database,
  chainId: string,
): Promise<string | undefined> {
  const [row] = await database.query<{ client_id: string }>(owner, [chainId]);
  return row?.client_id;
}
