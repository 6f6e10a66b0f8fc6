import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseClientMetadata } from '#core/client-metadata.ts';
import { isRefusal } from '#core/refusal.ts';
import {
  deleteClient,
  dropRotatedSecrets,
  getClient,
  insertClient,
  listClients,
  rotatedSecretsMax,
  rotateSecret,
  updateClient,
} from '#server/store/client.ts';
import type { Database } from '#server/store/database.ts';
import { openTestStore, type TestStore } from '#server/testing/records.ts';
import type { SecretHash } from '#tokens/secret.ts';

let store: TestStore;
let database: Database;
beforeAll(async () => {
  store = await openTestStore();
  database = store.database;
});
afterAll(() => store?.close());

function metadataOf(clientId: string, fields: Record<string, unknown> = {}) {
  const parsed = parseClientMetadata(fields, clientId);
  if (isRefusal(parsed)) throw new Error(parsed.hint);
  return parsed.metadata;
}

function hmac(byte: number): SecretHash {
  return { scheme: 'hmac', pepperKid: 'p1', hash: Buffer.alloc(32, byte) };
}

async function create(fields: Record<string, unknown> = {}, secret: SecretHash = hmac(1)) {
  const clientId = `client-${randomUUID()}`;
  await insertClient(database, metadataOf(clientId, fields), secret);
  return clientId;
}

async function read(clientId: string) {
  const found = await getClient(database, clientId);
  if (found === undefined) throw new Error(`${clientId} is not there`);
  return found;
}

async function facts(target: string) {
  return database.query<{ kind: string; seq: string; seconds: number }>(
    {
      name: 'test_facts',
      text: `select kind, seq, extract(epoch from expires_at - created_at)::int as seconds
        from fact where target = $1 order by seq`,
    },
    [target],
  );
}

test('a client is read back as it was stored, with its secret', async () => {
  const clientId = await create({ client_name: 'Ä 名', owner: 'o', disabled: true });
  const { client, secrets } = await read(clientId);
  expect(client).toMatchObject({ clientId, name: 'Ä 名', disabled: true });
  expect(client.metadata.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  expect(secrets).toEqual([hmac(1)]);
  expect((await facts(clientId)).map((fact) => fact.kind)).toEqual(['client_changed']);
});

test('a public client has no secret, and a name taken is undefined', async () => {
  const clientId = `client-${randomUUID()}`;
  const metadata = metadataOf(clientId, { token_endpoint_auth_method: 'none' });
  expect(await insertClient(database, metadata, undefined)).toBeDefined();
  expect(await insertClient(database, metadata, undefined)).toBeUndefined();
  expect((await read(clientId)).secrets).toEqual([]);
  expect(await facts(clientId)).toHaveLength(1);
});

test('of many that create one client_id side by side, one wins', async () => {
  const clientId = `client-${randomUUID()}`;
  const made = await Promise.all(
    Array.from({ length: 16 }, (_, n) =>
      insertClient(database, metadataOf(clientId, { client_name: `n${n}` }), hmac(n)),
    ),
  );
  expect(made.filter((client) => client !== undefined)).toHaveLength(1);
  expect((await read(clientId)).secrets).toHaveLength(1);
  expect(await facts(clientId)).toHaveLength(1);
});

test('of many updates of one version side by side, one wins and the others are told', async () => {
  const clientId = await create();
  const { version } = await read(clientId);
  const changed = await Promise.all(
    Array.from({ length: 16 }, (_, n) =>
      updateClient(database, version, metadataOf(clientId, { client_name: `n${n}` }), {
        secrets: 'keep',
      }),
    ),
  );
  expect(changed.filter((client) => client !== undefined)).toHaveLength(1);
  expect((await read(clientId)).secrets).toEqual([hmac(1)]);
  expect(await facts(clientId)).toHaveLength(2);
});

test('a new secret takes the place of all, and a public client loses them', async () => {
  const clientId = await create();
  const first = await read(clientId);
  const change = { secrets: 'replace', secret: hmac(2) } as const;
  await updateClient(database, first.version, metadataOf(clientId), change);
  const second = await read(clientId);
  expect(second.secrets).toEqual([hmac(2)]);
  await updateClient(database, second.version, metadataOf(clientId), { secrets: 'drop' });
  expect((await read(clientId)).secrets).toEqual([]);
});

describe('rotation', () => {
  test('keeps the newest and five before it, newest first', async () => {
    const clientId = await create();
    for (let n = 2; n <= 9; n += 1) {
      await rotateSecret(database, clientId, (await read(clientId)).version, hmac(n));
    }
    const { secrets, version } = await read(clientId);
    expect(secrets).toHaveLength(rotatedSecretsMax + 1);
    expect(secrets.map((secret) => secret.hash[0])).toEqual([9, 8, 7, 6, 5, 4]);
    await dropRotatedSecrets(database, clientId, version);
    expect((await read(clientId)).secrets).toEqual([hmac(9)]);
  });

  test('two at once of one version: one wins, and the loser of the race adds nothing', async () => {
    const clientId = await create();
    const { version } = await read(clientId);
    const rotated = await Promise.all(
      Array.from({ length: 8 }, (_, n) => rotateSecret(database, clientId, version, hmac(n + 2))),
    );
    expect(rotated.filter((client) => client !== undefined)).toHaveLength(1);
    expect((await read(clientId)).secrets).toHaveLength(2);
  });
});

test('deleting kills all it was issued: cutoff and fact with one number, which outlive it', async () => {
  const clientId = await create();
  expect(await deleteClient(database, clientId)).toBe(true);
  expect(await deleteClient(database, clientId)).toBe(false);
  expect(await getClient(database, clientId)).toBeUndefined();
  const [, fact, ...more] = await facts(clientId);
  expect([fact?.kind, more]).toEqual(['client', []]);
  const cutoffs = await database.query<{ seq: string }>(
    { name: 'test_cutoff', text: `select seq from cutoff where kind = 'client' and target = $1` },
    [clientId],
  );
  expect(cutoffs).toEqual([{ seq: fact?.seq }]);
});

test('listing goes by client_id, and filters by name and owner', async () => {
  const owner = `owner-${randomUUID()}`;
  const ids = [];
  for (let n = 0; n < 5; n += 1) ids.push(await create({ owner, client_name: `n${n % 2}` }));
  ids.sort();
  const filter = { name: undefined, owner };
  const listed = async (after: string, count: number, name?: string) =>
    (await listClients(database, after, { ...filter, name }, count)).map((one) => one.clientId);
  const all = await listed('', 10);
  expect([...all].sort()).toEqual(ids);
  expect([...(await listed('', 2)), ...(await listed(all[1] ?? '', 10))]).toEqual(all);
  expect(await listed('', 10, 'n1')).toHaveLength(2);
});

test('facts of changes side by side commit in the order of their numbers', async () => {
  const ids = await Promise.all(Array.from({ length: 12 }, () => create()));
  let cursor = 0;
  let done = false;
  const seen = new Set<string>();
  const poll = async () => {
    while (!done) {
      const rows = await database.query<{ seq: string; target: string }>(
        { name: 'test_poll', text: 'select seq, target from fact where seq > $1 order by seq' },
        [cursor],
      );
      for (const row of rows) {
        cursor = Number(row.seq);
        seen.add(row.seq);
      }
    }
  };
  const polling = poll();
  await Promise.all(ids.map((clientId) => deleteClient(database, clientId)));
  await new Promise((resolve) => setTimeout(resolve, 50));
  done = true;
  await polling;
  const written = await database.query<{ seq: string }>(
    { name: 'test_all', text: 'select seq from fact' },
    [],
  );
  expect(written.filter((row) => !seen.has(row.seq))).toEqual([]);
});
