import { hash, randomBytes } from 'node:crypto';
import { createIdSet } from '#core/id-set.ts';
import { createIdTable } from '#core/id-table.ts';
import type { Fact, Mortal } from '#server/store/feed.ts';

/** The facts that kill access tokens, in memory (hot path 6). */
export interface RevocationSet {
  add(fact: Fact): void;
  kills(mortal: Mortal): boolean;
  /** Forgets what ended before, in the next 256th of each table. */
  forgetNext(nowSeconds: number): void;
  readonly size: number;
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
  const cutoffs = { subject: createCutoffs(), client: createCutoffs() };
  /** Narrowed grants: tokens of a version before are dead. */
  const narrowed = createIdSet(true);
  const all = [narrowed, ...Object.values(ids), ...Object.values(cutoffs)];

  return {
    add(fact) {
      const { kind, target, seq, version, expiresAt } = fact;
      if (kind === 'narrow') narrowed.add(target, expiresAt, version);
      else if (kind === 'subject' || kind === 'client') cutoffs[kind].add(target, expiresAt, seq);
      else if (kind !== 'client_changed' && kind !== 'keys_changed')
        ids[kind].add(target, expiresAt);
    },
    kills(mortal) {
      return (
        ids.token.has(mortal.tokenId) ||
        ids.chain.has(mortal.chainId) ||
        ids.grant.has(mortal.grantId) ||
        narrowed.order(mortal.grantId) > mortal.grantVersion ||
        ids.session.has(mortal.sessionId) ||
        (mortal.online && ids.sign_out.has(mortal.sessionId)) ||
        cutoffs.subject.newest(mortal.subject) > mortal.loginBorn ||
        cutoffs.client.newest(mortal.clientId) > mortal.grantBorn
      );
    },
    forgetNext(nowSeconds) {
      for (const table of all) table.forgetNext(nowSeconds);
    },
    get size() {
      let size = 0;
      for (const table of all) size += table.size;
      return size;
    },
  };
}

/**
 * The newest fact of each subject or client. Their names are strings that strangers may choose, so
 * 128 bits of a keyed hash stand for them: nobody can crowd a slot, and an entry has one size
 * whatever the name's. A hash costs 1 us, and nothing while there is no such fact.
 */
function createCutoffs() {
  const table = createIdTable(true);
  const secret = randomBytes(16).toString('hex');
  const words = new Uint32Array(4);
  const keyOf = (target: string): Uint32Array => {
    const octets = hash('sha256', secret + target, 'binary');
    for (let i = 0; i < 4; i++) {
      const low = octets.charCodeAt(i * 4) | (octets.charCodeAt(i * 4 + 1) << 8);
      const high = octets.charCodeAt(i * 4 + 2) | (octets.charCodeAt(i * 4 + 3) << 8);
      words[i] = low | (high << 16);
    }
    return words;
  };
  return {
    add: (target: string, expiresAt: number, seq: number) =>
      table.put(keyOf(target), expiresAt, seq),
    newest: (target: string) => (table.size === 0 ? -1 : table.order(keyOf(target))),
    forgetNext: table.forgetNext,
    get size() {
      return table.size;
    },
  };
}
