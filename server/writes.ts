import type { Metrics } from '#server/operation/metrics.ts';
import { asideWidth, createBatch, createLane } from '#server/store/batch.ts';
import { type Database, DatabaseUnavailable } from '#server/store/database.ts';
import { type GrantOutcome, giveGrants, type NewGrant } from '#server/store/grant.ts';
import { type NewChain, type Redemption, redeemCodes } from '#server/store/redemption.ts';
import { type RefreshAttempt, type RefreshOutcome, refreshChains } from '#server/store/refresh.ts';
import { type NewRevocation, revokeAll } from '#server/store/revocation.ts';
import { beginSessions, type NewSession, type SessionOutcome } from '#server/store/session.ts';

/** Rows in one statement at most; a batch of 100 takes about 4 ms. */
const rowsMax = 200;
/** Callers that may wait for one kind of write; over it they are told 503. */
const waitingMax = 20_000;
/** Statements for one item while other transactions change the same row. */
const settleTriesMax = 5;

/** The batched writes of the hot path: one statement of a kind in flight per process. */
export interface Writes {
  redeem(chain: NewChain): Promise<Redemption>;
  refresh(attempt: RefreshAttempt): Promise<Exclude<RefreshOutcome, { kind: 'unsettled' }>>;
  beginSession(session: NewSession): Promise<SessionOutcome>;
  giveGrant(grant: NewGrant): Promise<GrantOutcome>;
  /** Committed when it resolves; wait for Feed.acknowledged before telling anybody. */
  revoke(revocation: NewRevocation): Promise<void>;
}

/** Makes the writes of one process on one database. */
export function createWrites(database: Database, metrics: Metrics): Writes {
  // The kinds take turns, so that each gathers more rows meanwhile: 5 to 7 a statement at 32 requests
  // in flight, and a whole login costs 7 % less CPU. Revocations do not wait in that line.
  const lane = createLane();
  const aside = createLane(asideWidth);
  const kind = <Item, Result>(
    name: string,
    key: (item: Item) => string,
    run: (database: Database, items: readonly Item[]) => Promise<readonly (Result | Error)[]>,
  ) =>
    createBatch<Item, Result>({
      name,
      rowsMax,
      waitingMax,
      lane: name === 'revoke' ? createLane() : lane,
      aside,
      key,
      run: (items) => run(database, items),
      onBatch: (rows, seconds) => metrics.batchSent(name, rows, seconds),
    });

  const redeem = kind<NewChain, Redemption>('redeem', (c) => c.id, redeemCodes);
  const refresh = kind<RefreshAttempt, RefreshOutcome>('refresh', (a) => a.chainId, refreshChains);
  const begin = kind<NewSession, SessionOutcome>('session', (s) => s.id, beginSessions);
  const give = kind<NewGrant, GrantOutcome>(
    'grant',
    (g) => `${g.subject}\n${g.clientId}`,
    giveGrants,
  );
  const revoke = kind<NewRevocation, true>('revoke', revokedRow, revokeAll);

  return {
    redeem,
    refresh: (attempt) => settled(() => refresh(attempt), isSettled),
    beginSession: begin,
    giveGrant: give,
    revoke: async (revocation) => {
      await revoke(revocation);
    },
  };
}

/**
 * What a revocation changes. A login's revocation and its signing out change one row, and of two
 * changes of a row in one statement PostgreSQL makes one, and forgets the other without a word.
 */
function revokedRow({ kind, target }: NewRevocation): string {
  return `${kind === 'sign_out' ? 'session' : kind}\n${target}`;
}

function isSettled<O extends { readonly kind: string }>(
  outcome: O,
): outcome is Exclude<O, { kind: 'unsettled' }> {
  return outcome.kind !== 'unsettled';
}

/** Asks again, a few times, where another transaction was changing the same row. */
async function settled<O, S extends O>(
  ask: () => Promise<O>,
  done: (outcome: O) => outcome is S,
): Promise<S> {
  for (let tries = 1; ; tries++) {
    const outcome = await ask();
    if (done(outcome)) return outcome;
    if (tries >= settleTriesMax) {
      throw new DatabaseUnavailable('a row changed under every try', { contended: true });
    }
  }
}
