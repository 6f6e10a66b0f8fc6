import type { Fact } from '#server/store/feed.ts';
import type { FeedPosition } from './position.ts';

/** The database is not in the history that this node knows; it answers nothing until a restart. */
export class DatabaseRestored extends Error {
  override readonly name = 'DatabaseRestored';
}

const remedy =
  'Stop every node, then run `gatehouse recover` (`npm run gatehouse -- help recover`), ' +
  'which keeps dead what was dead.';

/** What a fact's end may differ from the sweeper's view of it: rounding, and statements under way. */
const marginSeconds = 60;

/** The columns of `control` that say which history a database is in. */
export interface HistoryRow {
  readonly history: string;
  readonly recovery_seq: string | null;
}

/**
 * Whether the facts that a database shows can follow those that this node has seen. A fact that has
 * not ended by its own time is never swept, and neither is the newest: one that is gone was lost with
 * the writes after it, by a restore or by a failover to a server that had not got them.
 */
export interface History {
  /** Throws {@link DatabaseRestored}; `facts` are those from the cursor on, the cursor's included. */
  check(control: HistoryRow, facts: readonly Fact[], nowSeconds: number): void;
  /** The fact that was applied last. */
  advance(fact: Fact): void;
  /** Once everything was read for the first time: is what an earlier process saw still there? */
  checkNoted(noted: FeedPosition | undefined, nowSeconds: number): void;
  /** Where the feed stands; undefined before the first fact. */
  position(): FeedPosition | undefined;
}

/** Makes the memory of one feed. `noted` is what an earlier process of this machine has seen. */
export function createHistory(noted: FeedPosition | undefined): History {
  let history: string | undefined;
  let last: Fact | undefined;
  let metNoted = false;

  return {
    check(control, facts, nowSeconds) {
      if (control.recovery_seq !== null) {
        throw new DatabaseRestored(
          'A recovery of this database was begun and has not ended: ' +
            'run `gatehouse recover` to its end, then start again.',
        );
      }
      history ??= control.history;
      if (control.history !== history) {
        throw new DatabaseRestored(
          'The database has been recovered since this node started: restart it.',
        );
      }
      if (last === undefined || facts[0]?.seq === last.seq) return;
      if (facts.length === 0 || last.expiresAt - marginSeconds > nowSeconds) throw lost(last.seq);
    },
    advance(fact) {
      last = fact;
      if (fact.seq === noted?.seq) metNoted = true;
    },
    checkNoted(position, nowSeconds) {
      if (position === undefined || position.history !== history || metNoted) return;
      const cannotBeSwept = position.expiresAt - marginSeconds > nowSeconds;
      if ((last?.seq ?? 0) < position.seq || cannotBeSwept) throw lost(position.seq);
    },
    position() {
      if (history === undefined || last === undefined) return undefined;
      return { history, seq: last.seq, expiresAt: last.expiresAt };
    },
  };
}

function lost(seq: number): DatabaseRestored {
  return new DatabaseRestored(
    `The database has lost fact ${seq}, which this node has seen: it was restored to an earlier ` +
      `moment, or a standby took over that had not got everything. ${remedy}`,
  );
}
