import type { Client } from '#core/client.ts';
import { clientIdCharsMax } from '#core/client-field.ts';
import { argon2id } from '#server/argon2.ts';
import type { ClientCache } from '#server/node.ts';
import type { Metrics } from '#server/operation/metrics.ts';
import { type ClientWithSecrets, getClient } from '#server/store/client.ts';
import type { Database } from '#server/store/database.ts';
import { createSecretVerifier } from '#tokens/secret.ts';

/** Clients kept in memory; the one kept longest makes room. */
const clientsCachedMax = 10_000;
/** Client ids known not to exist, kept for a short time: guessing costs no statement per guess. */
export const absentClientsMax = 1000;
export const absentMsMax = 1000;

export interface ClientCacheOptions {
  readonly database: Database;
  readonly metrics: Pick<Metrics, 'event' | 'gauge'>;
  /** Milliseconds on a clock that only goes forward; performance.now where absent. */
  readonly monotonicMs?: () => number;
}

/** Makes the cache of clients of one node. It knows nothing of the feed, which calls `invalidate`. */
export function createClientCache(options: ClientCacheOptions): ClientCache {
  const { database, metrics } = options;
  const monotonicMs = options.monotonicMs ?? (() => performance.now());
  const present = new Map<string, ClientWithSecrets>();
  const absent = new Map<string, number>();
  const fills = new Map<string, Promise<ClientWithSecrets | undefined>>();

  function keep(clientId: string, found: ClientWithSecrets | undefined): void {
    if (found === undefined) {
      makeRoom(absent, absentClientsMax);
      absent.set(clientId, monotonicMs() + absentMsMax);
      return;
    }
    makeRoom(present, clientsCachedMax);
    present.set(clientId, found);
  }

  function fill(clientId: string): Promise<ClientWithSecrets | undefined> {
    metrics.event('client_cache_miss');
    const filling: Promise<ClientWithSecrets | undefined> = getClient(database, clientId).then(
      (found) => {
        // An invalidation takes the fill out of the map: what it read may be older than that.
        if (fills.get(clientId) === filling) {
          fills.delete(clientId);
          keep(clientId, found);
        }
        return found;
      },
      (error: unknown) => {
        if (fills.get(clientId) === filling) fills.delete(clientId);
        throw error;
      },
    );
    fills.set(clientId, filling);
    return filling;
  }

  async function withSecrets(clientId: string): Promise<ClientWithSecrets | undefined> {
    // No client is registered by such an id, so it need not be remembered that there is none.
    if (clientId.length > clientIdCharsMax) return undefined;
    const known = present.get(clientId);
    if (known !== undefined) return known;
    const absentUntilMs = absent.get(clientId);
    if (absentUntilMs !== undefined) {
      if (monotonicMs() < absentUntilMs) return undefined;
      absent.delete(clientId);
    }
    return fills.get(clientId) ?? fill(clientId);
  }

  metrics.gauge('clients_in_memory', () => present.size);
  return {
    async get(clientId): Promise<Client | undefined> {
      return present.get(clientId)?.client ?? (await withSecrets(clientId))?.client;
    },
    withSecrets,
    secrets: createSecretVerifier(argon2id),
    invalidate(clientId) {
      present.delete(clientId);
      absent.delete(clientId);
      fills.delete(clientId);
    },
    clear() {
      present.clear();
      absent.clear();
      fills.clear();
    },
  };
}

function makeRoom(map: Map<string, unknown>, countMax: number): void {
  if (map.size < countMax) return;
  const oldest = map.keys().next();
  if (!oldest.done) map.delete(oldest.value);
}
