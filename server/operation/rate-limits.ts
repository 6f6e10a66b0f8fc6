/** Endpoints with limits of their own. */
export type LimitedEndpoint = keyof typeof endpointLimits;

/** A steady rate, and how many may come at once before it is enforced. */
interface Limit {
  readonly perSecond: number;
  readonly burst: number;
}

// Each endpoint has one limit per address and one per address and client. The client's id is only
// claimed when the limit is judged, so a limit by client alone would let anybody lock an app out.
// A server that signs its people in through one address needs much more than a person does.
const endpointLimits = {
  authorize: { address: { perSecond: 100, burst: 1000 }, client: { perSecond: 100, burst: 1000 } },
  token: { address: { perSecond: 200, burst: 2000 }, client: { perSecond: 200, burst: 2000 } },
  introspect: {
    address: { perSecond: 2000, burst: 10_000 },
    client: { perSecond: 2000, burst: 10_000 },
  },
  revoke: { address: { perSecond: 100, burst: 1000 }, client: { perSecond: 100, burst: 1000 } },
  logout: { address: { perSecond: 100, burst: 1000 }, client: { perSecond: 100, burst: 1000 } },
  userinfo: { address: { perSecond: 500, burst: 5000 }, client: { perSecond: 500, burst: 5000 } },
  // a request that is too large for a URL, which is kept for half an hour
  reference: { address: { perSecond: 5, burst: 50 }, client: { perSecond: 5, burst: 50 } },
  device: { address: { perSecond: 10, burst: 100 }, client: { perSecond: 10, burst: 100 } },
  register: { address: { perSecond: 0.1, burst: 20 }, client: { perSecond: 0.1, burst: 20 } },
} as const satisfies Record<string, Record<'address' | 'client', Limit>>;

/**
 * Wrong secrets for one client from one address: a hundred (NIST SP 800-63B §5.2.2), then one every six
 * seconds. Fewer would let one instance with a stale secret hold up its neighbours for long.
 */
const guessesPerClient: Limit = { perSecond: 1 / 6, burst: 100 };
/** Wrong secrets from one address, whatever the client. */
const guessesPerAddress: Limit = { perSecond: 5, burst: 300 };

/** Keys remembered per limit. Above it the least recently used are forgotten, oldest half first. */
const keysMax = 50_000;
/** A client id longer than this is none of ours. */
const clientIdCharactersMax = 255;

/** A request that comes too early. */
export interface Limited {
  readonly retryAfterSeconds: number;
  /** `Retry-After` (RFC 9110 §10.2.3), `RateLimit` and `RateLimit-Policy` (IETF httpapi draft). */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Limits of one process, in memory of bounded size. A judgement costs 0.1 us by address and 0.4 us
 * by address and client (measured with 20,000 keys in turn).
 */
export interface RateLimits {
  /** Counts a request; undefined: it may go on. */
  take(endpoint: LimitedEndpoint, address: string, clientId?: string): Limited | undefined;
  /**
   * Counts a wrong secret against the address, and against address and client together: whoever
   * guesses is slowed down, the client itself, elsewhere, is not (security 35). Called right before
   * the check, or guesses made side by side would all be let through; what turns out right is taken
   * back.
   */
  guess(address: string, clientId: string): Limited | Guess;
}

/** A guess that is counted. */
export interface Guess {
  /** It was right, or nothing was decided. */
  takeBack(): void;
}

/** Makes the limits; `nowMs` is a monotonic clock. */
export function createRateLimits(nowMs: () => number = () => performance.now()): RateLimits {
  const byEndpoint = new Map<LimitedEndpoint, { address: Bucket; client: Bucket }>();
  for (const name of Object.keys(endpointLimits).filter(isEndpoint)) {
    const { address, client } = endpointLimits[name];
    byEndpoint.set(name, {
      address: bucket(`${name}-address`, address),
      client: bucket(`${name}-client`, client),
    });
  }
  const guesses = {
    client: bucket('authentication-client', guessesPerClient),
    address: bucket('authentication-address', guessesPerAddress),
  };
  return {
    take(endpoint, address, clientId) {
      const limits = byEndpoint.get(endpoint);
      if (limits === undefined) return undefined;
      const now = nowMs();
      const network = networkOf(address);
      const limited = limits.address.take(network, now);
      if (limited !== undefined || clientId === undefined) return limited;
      return limits.client.take(pairOf(network, clientId), now);
    },
    guess(address, clientId) {
      const now = nowMs();
      const network = networkOf(address);
      const pair = pairOf(network, clientId);
      const byClient = guesses.client.take(pair, now);
      if (byClient !== undefined) return byClient;
      const byAddress = guesses.address.take(network, now);
      if (byAddress !== undefined) {
        guesses.client.giveBack(pair, now);
        return byAddress;
      }
      return {
        takeBack() {
          const later = nowMs();
          guesses.client.giveBack(pair, later);
          guesses.address.giveBack(network, later);
        },
      };
    },
  };
}

/**
 * For who is turned away because all places for slow hashes are taken: one check lasts some 20 ms, so
 * a second is plenty. `places` is how many there are.
 */
export function slowSecretsBusy(places: number): Limited {
  return refusal('slow-secrets', places, 1, 0);
}

function refusal(name: string, burst: number, windowSeconds: number, waitMs: number): Limited {
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000));
  return {
    retryAfterSeconds,
    headers: {
      'retry-after': String(retryAfterSeconds),
      'ratelimit-policy': `"${name}";q=${burst};w=${windowSeconds}`,
      ratelimit: `"${name}";r=0;t=${retryAfterSeconds}`,
    },
  };
}

interface Bucket {
  /** Counts one; the refusal when it comes too early (then nothing is counted). */
  take(key: string, nowMs: number): Limited | undefined;
  /** Counts one less; a key that was forgotten meanwhile owes nothing. */
  giveBack(key: string, nowMs: number): void;
}

/**
 * GCRA: per key one number, the time at which it would be fully refilled. Two generations of keys
 * stand in for a list by age: when the younger is full it becomes the older, whose keys that nobody
 * asked for meanwhile are dropped. Nothing is moved or removed one by one.
 */
function bucket(name: string, { perSecond, burst }: Limit): Bucket {
  const intervalMs = 1000 / perSecond;
  const toleranceMs = (burst - 1) * intervalMs;
  const windowSeconds = Math.ceil(burst / perSecond);
  let younger = new Map<string, number>();
  let older = new Map<string, number>();

  const refilledAt = (key: string) => younger.get(key) ?? older.get(key) ?? 0;
  return {
    take(key, nowMs) {
      const begin = Math.max(refilledAt(key), nowMs);
      const waitMs = begin - nowMs - toleranceMs;
      if (waitMs > 0) return refusal(name, burst, windowSeconds, waitMs);
      if (younger.size >= keysMax / 2) {
        older = younger;
        younger = new Map();
      }
      younger.set(key, begin + intervalMs);
      return undefined;
    },
    giveBack(key, nowMs) {
      const generation = younger.has(key) ? younger : older;
      const at = generation.get(key);
      if (at === undefined) return;
      // Who owes nothing takes no place, so right secrets do not push out who guesses.
      if (at - intervalMs > nowMs) generation.set(key, at - intervalMs);
      else generation.delete(key);
    },
  };
}

function isEndpoint(name: string): name is LimitedEndpoint {
  return name in endpointLimits;
}

/** Joined, which makes a string of its own: one by a template would keep the whole body in memory. */
function pairOf(network: string, clientId: string): string {
  return [network, clientId.slice(0, clientIdCharactersMax)].join(' ');
}

/** An IPv6 subscriber has a /64 at least, and changes addresses in it at will. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? 0 : tail.split(':').length;
    while (groups.length + rest < 8 && groups.length < 4) groups.push('0');
  }
  return groups.slice(0, 4).join(':');
}
