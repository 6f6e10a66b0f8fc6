import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseClientMetadata } from '#core/client-metadata.ts';
import { isRefusal } from '#core/refusal.ts';
import { absentClientsMax, absentMsMax, createClientCache } from '#server/clients.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { deleteClient, getClient, insertClient, updateClient } from '#server/store/client.ts';
import type { Database } from '#server/store/database.ts';
import { openTestStore, type TestStore } from '#server/testing/records.ts';

let store: TestStore;
let database: Database;
beforeAll(async () => {
  store = await openTestStore();
  database = store.database;
});
afterAll(() => store?.close());

function metadataOf(clientId: string, client_name: string) {
  const parsed = parseClientMetadata({ client_name }, clientId);
  if (isRefusal(parsed)) throw new Error(parsed.hint);
  return parsed.metadata;
}

async function create(name = 'first') {
  const clientId = `client-${crypto.randomUUID()}`;
  await insertClient(database, metadataOf(clientId, name), undefined);
  return clientId;
}

async function rename(clientId: string, name: string) {
  const version = (await getClient(database, clientId))?.version ?? '';
  await updateClient(database, version, metadataOf(clientId, name), { secrets: 'keep' });
}

/** The real database with a count of statements, and a gate that holds answers back. */
function counted() {
  const state = { statements: 0, held: undefined as Promise<void> | undefined };
  const watched: Database = {
    ...database,
    query: async (statement, values) => {
      state.statements += 1;
      const held = state.held;
      const rows = await database.query<never>(statement, values);
      await held;
      return rows;
    },
  };
  const clock = { ms: 0 };
  const cache = createClientCache({
    database: watched,
    metrics: createMetrics(),
    monotonicMs: () => clock.ms,
  });
  return { state, cache, clock };
}

function gate() {
  const opened = { open: () => {} };
  const held = new Promise<void>((resolve) => {
    opened.open = resolve;
  });
  return { held, open: () => opened.open() };
}

test('a client is read once, until it is invalidated', async () => {
  const { state, cache } = counted();
  const clientId = await create();
  expect((await cache.get(clientId))?.name).toBe('first');
  await rename(clientId, 'second');
  expect((await cache.withSecrets(clientId))?.client.name).toBe('first');
  expect(state.statements).toBe(1);
  cache.invalidate(clientId);
  expect((await cache.get(clientId))?.name).toBe('second');
  await deleteClient(database, clientId);
  cache.invalidate(clientId);
  expect(await cache.get(clientId)).toBeUndefined();
});

test('many who ask at once share one statement', async () => {
  const { state, cache } = counted();
  const clientId = await create();
  await Promise.all(Array.from({ length: 50 }, () => cache.get(clientId)));
  expect(state.statements).toBe(1);
});

test('a fill that began before an invalidation is thrown away', async () => {
  const { state, cache } = counted();
  const clientId = await create();
  const { held, open } = gate();
  state.held = held;
  const early = cache.get(clientId);
  // The row is read while the answer is still on its way.
  while (state.statements === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, 30));
  await rename(clientId, 'second');
  cache.invalidate(clientId);
  state.held = undefined;
  expect((await cache.get(clientId))?.name).toBe('second');
  open();
  await early;
  expect((await cache.get(clientId))?.name).toBe('second');
});

describe('ids that do not exist', () => {
  test('are known as such for a short time, and at once when made', async () => {
    const { state, cache, clock } = counted();
    const clientId = `client-${crypto.randomUUID()}`;
    expect(await cache.get(clientId)).toBeUndefined();
    expect(await cache.get(clientId)).toBeUndefined();
    expect(state.statements).toBe(1);
    clock.ms = absentMsMax;
    expect(await cache.get(clientId)).toBeUndefined();
    expect(state.statements).toBe(2);
    await insertClient(database, metadataOf(clientId, 'made'), undefined);
    cache.invalidate(clientId);
    expect((await cache.get(clientId))?.name).toBe('made');
  });

  test('are bounded: the oldest makes room', async () => {
    const { state, cache } = counted();
    for (let n = 0; n <= absentClientsMax; n += 1) await cache.get(`guess-${n}`);
    const before = state.statements;
    await cache.get(`guess-${absentClientsMax}`);
    expect(state.statements).toBe(before);
    await cache.get('guess-0');
    expect(state.statements).toBe(before + 1);
  });
});

test('an outage is not remembered', async () => {
  const clientId = await create();
  const { state, cache } = counted();
  const { held, open } = gate();
  state.held = held.then(() => {
    throw new Error('away');
  });
  state.held.catch(() => {});
  const failing = cache.get(clientId);
  open();
  await expect(failing).rejects.toThrow('away');
  state.held = undefined;
  expect((await cache.get(clientId))?.name).toBe('first');
});
