/** One revocation or invalidation as the feed delivers it. */
export interface Fact {
  readonly seq: number;
  readonly kind: FactKind;
  readonly target: string;
  /** Of a narrowing: access tokens of an earlier version of the grant are dead. Else 0. */
  readonly version: number;
  /** Seconds since the epoch when nothing that it can kill is left. */
  readonly expiresAt: number;
}

export type RevocationKind =
  | 'token'
  | 'chain'
  | 'grant'
  | 'session'
  | 'sign_out'
  | 'subject'
  | 'client';
export type FactKind = RevocationKind | 'narrow' | 'client_changed' | 'keys_changed';

/** What an access token carries that a fact can kill; ids as lower-case UUID text, '' where none. */
export interface Mortal {
  readonly tokenId: string;
  readonly chainId: string;
  readonly grantId: string;
  readonly grantVersion: number;
  readonly sessionId: string;
  readonly online: boolean;
  readonly subject: string;
  readonly clientId: string;
  readonly loginBorn: number;
  readonly grantBorn: number;
}

/**
 * The polled feed of facts (hot path 6). Its freshness is when the last successful poll
 * began, on the monotonic clock.
 */
export interface Feed {
  /**
   * Undefined if the watermark is at most 50 ms old; else a promise that resolves once it is. It
   * refuses with DatabaseUnavailable after 1 s: the wire says 503, never `active`.
   */
  fresh(): Promise<void> | undefined;
  /** The newest seq known by a poll that began after this call. Refuses as {@link Feed.fresh} does. */
  born(): Promise<number>;
  /** The newest seq known here: at a fresh node, nothing that was reported is newer. */
  known(): number;
  /**
   * True if a fact kills it. Call only after {@link Feed.fresh}. A promise where the facts are more
   * than memory may hold and PostgreSQL is asked, in batches.
   */
  isDead(mortal: Mortal): boolean | Promise<boolean>;
  /** How long access tokens may live, in seconds, as the last poll said (server/lever.ts). */
  accessSecondsMax(): number;
  /** Database time in milliseconds: the last poll's, plus monotonic time since. */
  nowMs(): number;
  /** Resolves when a fact committed before this call can no longer be unknown to any node. */
  acknowledged(): Promise<void>;
  /** Seconds since the last successful poll began. For metrics and readiness. */
  lagSeconds(): number;
  /** Facts held in memory: all, or none where there are more than may be held. */
  size(): number;
  /** True while there are more facts than may be held, and PostgreSQL is asked. */
  isOver(): boolean;
  /** Why nothing will be fresh until a restart: the database has lost what it had said. */
  refusal(): string | undefined;
  close(): Promise<void>;
}
