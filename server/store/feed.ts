/** One revocation or invalidation as the feed delivers it. */
export interface Fact {
  readonly seq: number;
  readonly kind: FactKind;
  readonly target: string;
}

export type RevocationKind = 'token' | 'chain' | 'grant' | 'session' | 'sign_out' | 'subject' | 'client';
export type FactKind = RevocationKind | 'client_changed' | 'keys_changed';

/** What an access token carries that a fact can kill; ids as lower-case UUID text, '' where none. */
export interface Mortal {
  readonly tokenId: string;
  readonly chainId: string;
  readonly grantId: string;
  readonly sessionId: string;
  readonly online: boolean;
  readonly subject: string;
  readonly clientId: string;
  readonly loginBorn: number;
  readonly grantBorn: number;
}

/**
 * The polled feed of facts (design, hot path 6). Its freshness is when the last successful poll
 * began, on the monotonic clock.
 */
export interface Feed {
  /**
   * Resolves once the watermark is at most 50 ms old. Refuses with DatabaseUnavailable after 1 s:
   * the wire says 503, never `active`.
   */
  fresh(): Promise<void>;
  /** The newest seq known by a poll that began after this call. Refuses as {@link Feed.fresh} does. */
  born(): Promise<number>;
  /** True if a fact known here kills it. Call only after {@link Feed.fresh}. */
  isDead(mortal: Mortal): boolean;
  /** Database time in milliseconds: the last poll's, plus monotonic time since. */
  nowMs(): number;
  /** Resolves when a fact committed before this call can no longer be unknown to any node. */
  acknowledged(): Promise<void>;
  close(): Promise<void>;
}
