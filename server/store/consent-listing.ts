import type { Database, Statement } from '#server/store/database.ts';

/** A grant as the consent listing shows it. */
export interface ListedGrant {
  readonly id: string;
  readonly clientId: string;
  readonly lastFlowId: string;
  readonly sessionId: string;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly remember: boolean;
  readonly rememberSeconds: number;
  readonly handledAt: Date;
  readonly detail: Readonly<Record<string, unknown>>;
}

const list: Statement = {
  name: 'consent_list',
  text: `
select g.id, g.client_id, g.last_flow_id, g.session_id, g.scope, g.audience, g.remember,
  g.remember_seconds, g.handled_at, g.detail
from "grant" g
where g.subject = $1 and g.revoked_at is null and g.client_id > $2
  and ($3::uuid is null or g.session_id = $3)
  and not exists (
    select from cutoff k where k.kind = 'subject' and k.target = g.subject and k.seq > g.login_born)
  and not exists (
    select from cutoff k where k.kind = 'client' and k.target = g.client_id and k.seq > g.grant_born)
order by g.client_id
limit $4`,
};

interface Row {
  id: string;
  client_id: string;
  last_flow_id: string;
  session_id: string;
  scope: string[];
  audience: string[];
  remember: boolean;
  remember_seconds: number;
  handled_at: Date;
  detail: Record<string, unknown>;
}

/** A subject's living grants, by client id after `afterClientId`. */
export async function listGrants(
  database: Database,
  subject: string,
  options: {
    readonly afterClientId: string;
    readonly sessionId: string | null;
    readonly limit: number;
  },
): Promise<readonly ListedGrant[]> {
  const values = [subject, options.afterClientId, options.sessionId, options.limit];
  const rows = await database.query<Row>(list, values);
  return rows.map((row) => ({
    id: row.id,
    clientId: row.client_id,
    lastFlowId: row.last_flow_id,
    sessionId: row.session_id,
    scope: row.scope,
    audience: row.audience,
    remember: row.remember,
    rememberSeconds: row.remember_seconds,
    handledAt: row.handled_at,
    detail: row.detail,
  }));
}
