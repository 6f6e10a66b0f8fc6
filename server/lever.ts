import type { Log } from '#server/operation/log.ts';
import { raiseAccessSeconds, settleAccessSeconds } from '#server/store/control.ts';
import type { Database } from '#server/store/database.ts';
import type { Feed } from '#server/store/feed.ts';

/**
 * How long access tokens may live. Facts are kept as long as anything that they can kill, so what
 * is issued may not live longer than the control row says; each poll brings that number. A longer
 * lifetime, of this node's setting or of a client, first raises it. It falls when no node has needed
 * it for a while. A node that missed the fall issues nothing longer: it raises it again first.
 */
export interface Lever {
  /** Undefined if access tokens may live this long; else resolves once they may. */
  permit(seconds: number): Promise<void> | undefined;
  /** Says to the other nodes what this one has needed since it last did. Called by the timer. */
  settle(): Promise<void>;
  close(): void;
}

export interface LeverOptions {
  readonly database: Database;
  readonly feed: Feed;
  readonly log: Log;
  /** The deployment's lifetime of access tokens, in seconds. */
  readonly accessTokenSeconds: number;
}

const settleMs = 5 * 60_000;

/** Makes the lever of one node, and starts its timer. */
export function createLever({ database, feed, log, accessTokenSeconds }: LeverOptions): Lever {
  const state = { neededSeconds: accessTokenSeconds };
  let raising: { readonly seconds: number; readonly done: Promise<void> } | undefined;

  function raise(seconds: number): Promise<void> {
    if (raising !== undefined && raising.seconds >= seconds) return raising.done;
    const done = raiseAccessSeconds(database, seconds)
      // The poll after it has seen it, so nobody comes here again.
      .then(() => feed.born())
      .then(() => log.info('access_lifetime_raised', { seconds }))
      .finally(() => {
        if (raising?.done === done) raising = undefined;
      });
    raising = { seconds, done };
    return done;
  }

  async function settle(): Promise<void> {
    const seconds = state.neededSeconds;
    state.neededSeconds = accessTokenSeconds;
    await settleAccessSeconds(database, seconds);
  }

  const timer = setInterval(() => {
    settle().catch((error: unknown) => log.warn('access_lifetime_not_settled', {}, error));
  }, settleMs);
  timer.unref();
  return {
    permit(seconds) {
      if (seconds > state.neededSeconds) state.neededSeconds = seconds;
      if (seconds <= feed.accessSecondsMax()) return undefined;
      return raise(seconds);
    },
    settle,
    close: () => clearInterval(timer),
  };
}
