import { Unavailable } from './failure.ts';
import type { Place } from './standing.ts';

/** Where units of work wait until there is a place for them. */
export interface Gate {
  /** Gives the place at once where there is one; {@link Unavailable} `held` after `untilMs`. */
  pass(untilMs: number): Promise<Place>;
  readonly place: () => Place | undefined;
  /** To be called whenever the place may have changed. */
  look(): void;
  readonly waiting: () => number;
  /** Nobody waits any longer: {@link Unavailable} `closing`. */
  close(): void;
}

/** `place` says where a unit may begin; undefined: nowhere now. */
export function createGate(place: () => Place | undefined, hurry: () => void): Gate {
  interface Waiter {
    readonly resolve: (place: Place) => void;
    readonly reject: (error: Unavailable) => void;
    readonly timer: NodeJS.Timeout;
  }
  const waiters = new Set<Waiter>();
  let closed = false;

  return {
    place,
    async pass(untilMs) {
      if (closed) throw new Unavailable('closing');
      const found = place();
      if (found !== undefined) return found;
      return new Promise<Place>((resolve, reject) => {
        const giveUp = () => {
          waiters.delete(waiter);
          reject(new Unavailable('held'));
        };
        const timer = setTimeout(giveUp, Math.max(0, untilMs - performance.now()));
        const waiter: Waiter = { resolve, reject, timer };
        waiters.add(waiter);
        if (waiters.size === 1) hurry();
      });
    },
    look() {
      if (waiters.size === 0) return;
      const found = place();
      if (found === undefined) return;
      for (const { resolve, timer } of waiters) {
        clearTimeout(timer);
        resolve(found);
      }
      waiters.clear();
    },
    waiting: () => waiters.size,
    close() {
      closed = true;
      for (const { reject, timer } of waiters) {
        clearTimeout(timer);
        reject(new Unavailable('closing'));
      }
      waiters.clear();
    },
  };
}
