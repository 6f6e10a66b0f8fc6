/** Counts failures by key and says how long a key must wait. */
export interface Throttle {
  /** Seconds until this key may try again, rounded up; 0: it may try now. */
  waitSeconds(key: string, nowMs: number): number;
  /**
   * Counts one failure, before the attempt is made: attempts made side by side must all count.
   * Returns how to take it back, for the attempt that turned out well.
   */
  failed(key: string, nowMs: number): () => void;
}

export interface ThrottleOptions {
  /** Failures that cost nothing. */
  readonly freeFailures: number;
  /** The wait after the first failure that costs; it doubles with each further one. */
  readonly firstWaitSeconds: number;
  readonly waitSecondsMax: number;
  /** A failure is forgiven every so often. */
  readonly forgiveSeconds: number;
  /** Keys remembered; over it the one seen longest ago is forgotten. */
  readonly keysMax: number;
}

interface Failures {
  count: number;
  /** When `count` was last brought up to date. */
  countedMs: number;
  untilMs: number;
}

/**
 * Slows guessing down: some failures are free, then the wait doubles up to a limit, and time
 * forgives. Memory is bounded by `keysMax`. Per process: N processes allow N times as much.
 */
export function createThrottle(options: ThrottleOptions): Throttle {
  const keys = new Map<string, Failures>();
  const forgiven = (failures: Failures, nowMs: number) => {
    const steps = Math.floor((nowMs - failures.countedMs) / (options.forgiveSeconds * 1000));
    if (steps <= 0) return;
    failures.count = Math.max(0, failures.count - steps);
    failures.countedMs += steps * options.forgiveSeconds * 1000;
  };
  return {
    waitSeconds(key, nowMs) {
      const failures = keys.get(key);
      return failures ? Math.max(0, Math.ceil((failures.untilMs - nowMs) / 1000)) : 0;
    },
    failed(key, nowMs) {
      const failures = keys.get(key) ?? { count: 0, countedMs: nowMs, untilMs: 0 };
      forgiven(failures, nowMs);
      if (failures.count === 0) failures.countedMs = nowMs;
      failures.count += 1;
      const costly = failures.count - options.freeFailures;
      const before = failures.untilMs;
      let until = before;
      if (costly > 0) {
        const seconds = options.firstWaitSeconds * 2 ** Math.min(costly - 1, 30);
        until = nowMs + Math.min(seconds, options.waitSecondsMax) * 1000;
        failures.untilMs = until;
      }
      // Insertion order is the order of use: the first key is the one seen longest ago.
      keys.delete(key);
      keys.set(key, failures);
      const oldest = keys.size > options.keysMax ? keys.keys().next().value : undefined;
      if (oldest !== undefined) keys.delete(oldest);
      return () => {
        failures.count = Math.max(0, failures.count - 1);
        // A wait that another attempt has set since then stays.
        if (failures.untilMs === until) failures.untilMs = before;
      };
    },
  };
}

/**
 * What counts as one address: IPv4 as it is, IPv6 by its /64, which one subscriber has whole.
 */
export function networkOf(address: string): string {
  const [numbers = ''] = address.split('%', 1);
  const plain = numbers.replace(/^::ffff:(?=\d+\.)/i, '');
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('::', 2);
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':');
    while (groups.length + rest.length < 8) groups.push('0');
    groups.push(...rest);
  }
  return groups
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':');
}
