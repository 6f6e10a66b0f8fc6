import { constants } from 'node:os';

/** What asks a running command to end. */
export interface StopSignal {
  /** Resolves at the first signal. */
  readonly asked: Promise<NodeJS.Signals>;
  isAsked(): boolean;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Ctrl-C reaches us from the terminal and from npm: within this time it is the same wish. */
const sameWishMs = 500;

/**
 * Listens for signals that ask to end. The first one resolves `asked`; a later one is from somebody
 * who does not want to wait: the process ends at once, and what it started with it.
 */
export function listenForStop(impatient: () => void): StopSignal {
  let askedAtMs: number | undefined;
  const asked = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of signals) {
      process.on(signal, () => {
        askedAtMs ??= performance.now();
        resolve(signal);
        if (performance.now() - askedAtMs <= sameWishMs) return;
        impatient();
        process.exit(128 + constants.signals[signal]);
      });
    }
  });
  return { asked, isAsked: () => askedAtMs !== undefined };
}
