import type { Database, Statement } from '#server/store/database.ts';
import { locked } from '#server/store/fact-lock.ts';

/** What an admin credential opens (docs/admin-credentials.md). */
export const adminRoles = ['handshake', 'clients', 'keys', 'metrics', 'audit', 'all'] as const;
export type AdminRole = (typeof adminRoles)[number];

/** An admin credential as it may be shown: without its secret, of which only a hash is kept. */
export interface AdminCredential {
  readonly id: string;
  readonly name: string;
  readonly role: AdminRole;
  /** RFC 3339. */
  readonly createdAt: string;
}

/** Most admin credentials of a deployment. */
const adminCredentialsMax = 1000;

interface CredentialRow {
  id: string;
  name: string;
  role: AdminRole;
  created_at: string;
}

const columns = `a.id, a.name, a.role,
  to_char(a.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as created_at`;

const insert: Statement = {
  name: 'insert_admin_credential',
  text: `
insert into admin_credential as a (id, name, role, hash)
select $1::uuid, $2::text, $3::text, $4::bytea
where (select count(*) from admin_credential) < ${adminCredentialsMax}
on conflict (name) do nothing
returning ${columns}`,
};

/** Stores a credential. Undefined where the name is taken or the deployment has the most it may. */
export async function insertCredential(
  database: Database,
  credential: Omit<AdminCredential, 'createdAt'>,
  hash: Buffer,
): Promise<AdminCredential | undefined> {
  const values = [credential.id, credential.name, credential.role, hash];
  const [row] = await database.query<CredentialRow>(insert, values);
  return row && credentialOf(row);
}

const list: Statement = {
  name: 'list_admin_credentials',
  text: `select ${columns} from admin_credential a order by a.name limit ${adminCredentialsMax}`,
};

/** All credentials, by name. */
export async function listCredentials(database: Database): Promise<readonly AdminCredential[]> {
  return (await database.query<CredentialRow>(list, [])).map(credentialOf);
}

const find: Statement = {
  name: 'find_admin_credential',
  text: `select ${columns} from admin_credential a where a.hash = $1::bytea`,
};

/** The credential with this hash. Reads the whole table, which is small and bounded. */
export async function findCredential(
  database: Database,
  hash: Buffer,
): Promise<AdminCredential | undefined> {
  const [row] = await database.query<CredentialRow>(find, [hash]);
  return row && credentialOf(row);
}

const remove: Statement = {
  name: 'delete_admin_credential',
  text: `
with ${locked}, gone as (
  delete from admin_credential a using locked l
  where l.held and a.id = $1::uuid
  returning a.id
), numbered as materialized (
  select nextval('fact_seq') as seq, 'credential:' || g.id as target
  from locked l, gone g
  where l.held
), cut as (
  insert into cutoff as k (kind, target, seq)
  select 'client', n.target, n.seq from numbered n
  -- somebody may have revoked a client of this name
  on conflict (kind, target) do update set seq = excluded.seq, created_at = now()
), told as (
  insert into fact (seq, kind, target, expires_at)
  select n.seq, 'client', n.target, now() + interval '1 hour' from numbered n
)
select g.id from gone g`,
};

/**
 * Deletes a credential and tells the feed, as the death of the client `credential:<id>`: nodes hold
 * a credential they have seen like a token of that client, so it stops everywhere at once. The fact
 * outlives every such memory (server/http/admin/authentication.ts). False where there was none.
 */
export async function deleteCredential(database: Database, id: string): Promise<boolean> {
  return (await database.query<{ id: string }>(remove, [id])).length > 0;
}

function credentialOf(row: CredentialRow): AdminCredential {
  return { id: row.id, name: row.name, role: row.role, createdAt: row.created_at };
}
