import { createIdSet } from '#core/id-set.ts';
import type { Fact, Mortal } from '#server/store/feed.ts';

/** The facts that kill access tokens, in memory (design, hot path 6). */
export interface RevocationSet {
  add(fact: Fact): void;
  kills(mortal: Mortal): boolean;
  forgetExpired(nowSeconds: number): void;
  readonly size: number;
}

interface Narrowing {
  readonly version: number;
  readonly expiresAt: number;
}

interface Cutoff {
  readonly seq: number;
  readonly expiresAt: number;
}

/** Makes an empty set. */
export function createRevocationSet(): RevocationSet {
  const ids = {
    token: createIdSet(),
    chain: createIdSet(),
    grant: createIdSet(),
    session: createIdSet(),
    sign_out: createIdSet(),
  };
  const cutoffs = { subject: new Map<string, Cutoff>(), client: new Map<string, Cutoff>() };
  const narrowed = new Map<string, Narrowing>();
  const all = Object.values(ids);

  return {
    add(fact) {
      const { kind, target, seq, version, expiresAt } = fact;
      if (kind === 'narrow') narrowed.set(target, { version, expiresAt });
      else if (kind === 'subject' || kind === 'client')
        cutoffs[kind].set(target, { seq, expiresAt });
      else if (kind !== 'client_changed' && kind !== 'keys_changed')
        ids[kind].add(target, expiresAt);
    },
    kills(mortal) {
      return (
        ids.token.has(mortal.tokenId) ||
        ids.chain.has(mortal.chainId) ||
        ids.grant.has(mortal.grantId) ||
        (narrowed.size > 0 && (narrowed.get(mortal.grantId)?.version ?? 0) > mortal.grantVersion) ||
        ids.session.has(mortal.sessionId) ||
        (mortal.online && ids.sign_out.has(mortal.sessionId)) ||
        (cutoffs.subject.get(mortal.subject)?.seq ?? 0) > mortal.loginBorn ||
        (cutoffs.client.get(mortal.clientId)?.seq ?? 0) > mortal.grantBorn
      );
    },
    forgetExpired(nowSeconds) {
      for (const set of all) set.forgetExpired(nowSeconds);
      for (const map of [cutoffs.subject, cutoffs.client, narrowed]) {
        for (const [target, { expiresAt }] of map) if (expiresAt < nowSeconds) map.delete(target);
      }
    },
    get size() {
      let size = cutoffs.subject.size + cutoffs.client.size + narrowed.size;
      for (const set of all) size += set.size;
      return size;
    },
  };
}
