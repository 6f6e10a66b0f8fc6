import type { Client } from '#core/client.ts';
import { isClientId } from '#core/client-field.ts';
import { type ClientMetadata, clientOf } from '#core/client-metadata.ts';
import { newId } from '#server/identifiers.ts';
import { lifetime } from '#server/store/control.ts';
import type { Database, Statement } from '#server/store/database.ts';
import { locked } from '#server/store/fact-lock.ts';
import type { SecretHash, SecretScheme } from '#tokens/secret.ts';

/** A client with the hashes of its secrets, newest first: what authenticates and decides. */
export interface ClientWithSecrets {
  readonly client: Client;
  readonly secrets: readonly SecretHash[];
  /** Changes with every change of the row or its secrets; see {@link updateClient}. */
  readonly version: string;
}

/** Rotated secrets that stay valid beside the newest (Hydra's rotation keeps five). */
export const rotatedSecretsMax = 5;

interface ClientRow {
  metadata: Record<string, unknown>;
  created_at: string;
  updated_at: string;
}
interface SecretJson {
  scheme: SecretScheme;
  pepperKid: string | null;
  hash: string;
}

// RFC 3339 with microseconds: PostgreSQL reads it back without loss, so it serves as the version.
const rfc3339 = (column: string) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const times = `${rfc3339('c.created_at')} as created_at, ${rfc3339('c.updated_at')} as updated_at`;

// Every change tells the feed in the same statement, under the lock of the facts: changes of clients
// follow each other.
const begun = `${locked}, ${lifetime}`;
const told = (kind: 'client' | 'client_changed', changed: string) => `
numbered as materialized (
  select nextval('fact_seq') as seq, h.client_id
  from locked l, ${changed} h
  where l.held
), told as (
  insert into fact (seq, kind, target, expires_at)
  select n.seq, '${kind}', n.client_id, e.ends_at
  from numbered n, lifetime e
)`;

const insert: Statement = {
  name: 'insert_client',
  text: `
with ${begun}, made as (
  insert into client as c (client_id, metadata, client_name, owner, disabled)
  select $1::text, $2::jsonb, $3::text, $4::text, $5::boolean from locked l where l.held
  on conflict (client_id) do nothing
  returning c.client_id, c.metadata, ${times}
), secret as (
  insert into client_secret (id, client_id, scheme, pepper_kid, hash)
  select $6::uuid, m.client_id, $7::text, $8::text, $9::bytea from made m where $6::uuid is not null
), ${told('client_changed', 'made')}
select m.metadata, m.created_at, m.updated_at from made m`,
};

/**
 * Stores a new client and its first secret. Resolves to undefined where the client_id is taken.
 * Uses the primary key.
 */
export async function insertClient(
  database: Database,
  metadata: ClientMetadata,
  secret: SecretHash | undefined,
): Promise<Client | undefined> {
  const values = [...clientValues(metadata), ...secretValues(secret)];
  const [row] = await database.query<ClientRow>(insert, values);
  return row && clientOfRow(row);
}

const get: Statement = {
  name: 'get_client',
  text: `
select c.metadata, ${times},
  (select coalesce(
    json_agg(json_build_object(
      'scheme', s.scheme, 'pepperKid', s.pepper_kid, 'hash', encode(s.hash, 'base64')
    ) order by s.created_at desc, s.id desc), '[]')
  from client_secret s where s.client_id = c.client_id) as secrets
from client c
where c.client_id = $1`,
};

/** One client with its secrets' hashes. Uses the primary key and client_secret_client. */
export async function getClient(
  database: Database,
  clientId: string,
): Promise<ClientWithSecrets | undefined> {
  // PostgreSQL refuses U+0000, and no client is called what may not be registered.
  if (!isClientId(clientId)) return undefined;
  const [row] = await database.query<ClientRow & { secrets: SecretJson[] }>(get, [clientId]);
  if (row === undefined) return undefined;
  return {
    client: clientOfRow(row),
    secrets: row.secrets.map((secret) => ({
      scheme: secret.scheme,
      pepperKid: secret.pepperKid ?? undefined,
      hash: Buffer.from(secret.hash, 'base64'),
    })),
    version: row.updated_at,
  };
}

const update: Statement = {
  name: 'update_client',
  text: `
with ${begun}, changed as (
  update client c set metadata = $2::jsonb, client_name = $3, owner = $4, disabled = $5,
    updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
  from locked l
  where l.held and c.client_id = $1 and c.updated_at = $10::timestamptz
  returning c.client_id, c.metadata, ${times}
), dropped as (
  delete from client_secret s using changed h
  where s.client_id = h.client_id and $11::boolean
), secret as (
  insert into client_secret (id, client_id, scheme, pepper_kid, hash)
  select $6::uuid, h.client_id, $7::text, $8::text, $9::bytea from changed h where $6::uuid is not null
), ${told('client_changed', 'changed')}
select h.metadata, h.created_at, h.updated_at from changed h`,
};

/** What becomes of a client's secrets when its document is replaced. */
export type SecretChange =
  | { readonly secrets: 'keep' | 'drop' }
  | { readonly secrets: 'replace'; readonly secret: SecretHash };

/**
 * Replaces a client's document, and its secrets where asked, if `version` is still the one that was
 * read: changes made side by side never lose one another. Undefined: it changed, or is gone.
 */
export async function updateClient(
  database: Database,
  version: string,
  metadata: ClientMetadata,
  change: SecretChange,
): Promise<Client | undefined> {
  const secret = change.secrets === 'replace' ? change.secret : undefined;
  const [row] = await database.query<ClientRow>(update, [
    ...clientValues(metadata),
    ...secretValues(secret),
    version,
    change.secrets !== 'keep',
  ]);
  return row && clientOfRow(row);
}

const touched = `touched as (
  update client c
  set updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
  from locked l
  where l.held and c.client_id = $1 and c.updated_at = $2::timestamptz
  returning c.client_id, c.metadata, ${times}
)`;
const ranked = `ranked as (
  select s.id, s.rotated_at, row_number() over (order by s.created_at desc, s.id desc) as rank
  from client_secret s where s.client_id = $1
)`;

const rotate: Statement = {
  name: 'rotate_client_secret',
  text: `
with ${begun}, ${touched}, ${ranked}, dropped as (
  delete from client_secret s using ranked r, touched h
  where s.id = r.id and r.rank > ${rotatedSecretsMax}
), retired as (
  update client_secret s set rotated_at = now()
  from ranked r, touched h
  where s.id = r.id and r.rank <= ${rotatedSecretsMax} and r.rotated_at is null
), secret as (
  insert into client_secret (id, client_id, scheme, pepper_kid, hash)
  select $3::uuid, h.client_id, $4::text, $5::text, $6::bytea from touched h
), ${told('client_changed', 'touched')}
select h.metadata, h.created_at, h.updated_at from touched h`,
};

/**
 * Adds a secret in front of the others, which stay valid, five of them at most. As with
 * {@link updateClient}, undefined says that the client changed since `version`, or is gone.
 */
export async function rotateSecret(
  database: Database,
  clientId: string,
  version: string,
  secret: SecretHash,
): Promise<Client | undefined> {
  const values = [clientId, version, ...secretValues(secret)];
  const [row] = await database.query<ClientRow>(rotate, values);
  return row && clientOfRow(row);
}

const dropRotated: Statement = {
  name: 'drop_rotated_client_secrets',
  text: `
with ${begun}, ${touched}, ${ranked}, dropped as (
  delete from client_secret s using ranked r, touched h
  where s.id = r.id and r.rank > 1
), ${told('client_changed', 'touched')}
select h.metadata, h.created_at, h.updated_at from touched h`,
};

/** Removes every secret but the newest. Undefined as with {@link rotateSecret}. */
export async function dropRotatedSecrets(
  database: Database,
  clientId: string,
  version: string,
): Promise<Client | undefined> {
  const [row] = await database.query<ClientRow>(dropRotated, [clientId, version]);
  return row && clientOfRow(row);
}

const remove: Statement = {
  name: 'delete_client',
  text: `
with ${begun}, gone as (
  delete from client c using locked l
  where l.held and c.client_id = $1
  returning c.client_id
), ${told('client', 'gone')}, cut as (
  insert into cutoff as k (kind, target, seq)
  select 'client', n.client_id, n.seq from numbered n
  on conflict (kind, target) do update set seq = excluded.seq, created_at = now()
)
select g.client_id from gone g`,
};

/**
 * Deletes a client and kills all that it was ever issued: the cutoff outlives it, so a client made
 * again under the same id revives nothing. False where there was none.
 */
export async function deleteClient(database: Database, clientId: string): Promise<boolean> {
  if (!isClientId(clientId)) return false;
  return (await database.query<{ client_id: string }>(remove, [clientId])).length > 0;
}

const list: Statement = {
  name: 'list_clients',
  text: `
select c.metadata, ${times} from client c where c.client_id > $1 order by c.client_id limit $2`,
};

const listByName: Statement = {
  name: 'list_clients_by_name',
  text: `
select c.metadata, ${times} from client c
where c.client_name = $3 and c.client_id > $1 and ($4::text is null or c.owner = $4)
order by c.client_id limit $2`,
};

const listByOwner: Statement = {
  name: 'list_clients_by_owner',
  text: `
select c.metadata, ${times} from client c
where c.owner = $3 and c.client_id > $1
order by c.client_id limit $2`,
};

export interface ClientFilter {
  readonly name: string | undefined;
  readonly owner: string | undefined;
}

/**
 * Clients after `afterClientId` in the order of their ids. Reads its page by the primary key,
 * client_by_name or client_by_owner; by both, those of the name until there is a page of the owner's.
 */
export async function listClients(
  database: Database,
  afterClientId: string,
  filter: ClientFilter,
  countMax: number,
): Promise<readonly Client[]> {
  const { name, owner } = filter;
  const page = [afterClientId, countMax];
  const rows =
    name !== undefined
      ? await database.query<ClientRow>(listByName, [...page, name, owner ?? null])
      : owner !== undefined
        ? await database.query<ClientRow>(listByOwner, [...page, owner])
        : await database.query<ClientRow>(list, page);
  return rows.map(clientOfRow);
}

function clientOfRow(row: ClientRow): Client {
  return clientOf({ ...row.metadata, created_at: row.created_at, updated_at: row.updated_at });
}

/** $1 to $5 of the statements that store a document. Its times live in columns of their own. */
function clientValues(metadata: ClientMetadata): readonly unknown[] {
  const { created_at: _created, updated_at: _updated, ...stored } = metadata;
  const client = clientOf(stored);
  const owner = typeof stored.owner === 'string' ? stored.owner : '';
  return [client.clientId, JSON.stringify(stored), client.name, owner, client.disabled];
}

function secretValues(secret: SecretHash | undefined): readonly unknown[] {
  return secret === undefined
    ? [null, null, null, null]
    : [newId(), secret.scheme, secret.pepperKid ?? null, secret.hash];
}
