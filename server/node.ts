import type { Client } from '#core/client.ts';
import type { Audit } from '#server/audit/audit.ts';
import type { Config } from '#server/config/config.ts';
import type { MasterKeys } from '#server/keys/master.ts';
import type { Log } from '#server/operation/log.ts';
import type { Metrics } from '#server/operation/metrics.ts';
import type { Tracing } from '#server/operation/tracing.ts';
import type { ClientWithSecrets } from '#server/store/client.ts';
import type { Database } from '#server/store/database.ts';
import type { Feed } from '#server/store/feed.ts';
import type { Keyring } from '#tokens/keyring.ts';
import type { SecretVerifier } from '#tokens/secret.ts';

/** All clients this node has looked up lately, invalidated through the feed (hot path 9). */
export interface ClientCache {
  /** The client, or undefined when there is none. Reads PostgreSQL on a miss; negatives are bounded. */
  get(clientId: string): Promise<Client | undefined>;
  /** The same with the hashes of its secrets, for client authentication. */
  withSecrets(clientId: string): Promise<ClientWithSecrets | undefined>;
  /** Checks client secrets; remembers what took long, bounded. */
  readonly secrets: SecretVerifier;
  /** Called by the feed when the client changed or died. */
  invalidate(clientId: string): void;
  /** Forgets everything; called by the feed when it may have missed something. */
  clear(): void;
}

/** The keys of this node: the current ring, and how it is renewed. */
export interface Keys {
  /** The ring in force; take it once per request. */
  current(): Keyring;
  /**
   * Reads the key table again; called by the feed when keys changed. Never refuses: a failure is
   * logged and the read repeated, while the ring in force stays.
   */
  reload(): Promise<boolean>;
  /** Resolves when no read is under way: after {@link Feed.fresh}, the ring is then as fresh. */
  settled(): Promise<void>;
  /** The secret part of a key as table `key` holds it, under the first master key. */
  wrap: MasterKeys['wrap'];
  /** The other way round, under any master key of this node. */
  unwrap: MasterKeys['unwrap'];
  /** Forgets timers. */
  close(): void;
}

/** Everything that an endpoint may reach, wired once by the entry and passed down. */
export interface Node {
  readonly config: Config;
  readonly database: Database;
  readonly feed: Feed;
  readonly keys: Keys;
  readonly clients: ClientCache;
  readonly audit: Audit;
  readonly log: Log;
  readonly metrics: Metrics;
  /** undefined: traces are off. */
  readonly tracing?: Tracing | undefined;
}
