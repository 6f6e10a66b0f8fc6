import type { Answer, RegisteredClient } from '../deployment.ts';

/**
 * What an observer may say of a thing: `alive` and `dead` were acknowledged; `doubt` from the moment a
 * revocation was asked for until its acknowledgement.
 */
export type State = 'alive' | 'dead' | 'doubt';

interface Traced {
  /** What was done to it, and what came back. */
  readonly trace: string[];
}

export interface App extends Traced {
  client: RegisteredClient;
  /** Every secret that was acknowledged. */
  readonly secrets: string[];
  rotations: number;
  state: State;
}

/** One connected app of one person, from a redeemed code on: a chain. */
export interface Line extends Traced {
  readonly app: App;
  readonly subject: string;
  readonly code: { readonly code: string; readonly verifier: string };
  state: State;
  /** Access tokens that were issued, and those of them that were revoked alone. */
  readonly access: string[];
  readonly revoked: Map<string, State>;
  refresh: string;
  /** The successor that each refresh token got, whoever asked. */
  readonly children: Map<string, string>;
  /** One actor at a time uses a refresh token, as a client does. */
  busy: boolean;
}

/** A person whose consent was to be remembered. */
export interface Person extends Traced {
  readonly subject: string;
  readonly app: App;
  consent: 'remembered' | 'withdrawn' | 'doubt';
  /** Visits that have ended. */
  visits: number;
  busy: boolean;
}

/** What was acknowledged, and what contradicts it. */
export interface Ledger {
  readonly apps: App[];
  readonly lines: Line[];
  readonly people: Person[];
  readonly violations: string[];
  /** How often a revocation that concerns this subject has begun or ended. */
  readonly touched: Map<string, number>;
  /** How many of them are under way. */
  readonly pending: Map<string, number>;
  /** How often each operation was acknowledged, and how often it was not known. */
  readonly counts: Map<string, number>;
  count(what: string): void;
  violation(what: string, thing?: Traced): void;
}

export function openLedger(): Ledger {
  const violations: string[] = [];
  const counts = new Map<string, number>();
  return {
    apps: [],
    lines: [],
    people: [],
    violations,
    counts,
    touched: new Map(),
    pending: new Map(),
    count: (what) => counts.set(what, (counts.get(what) ?? 0) + 1),
    violation(what, thing) {
      violations.push([what, ...(thing?.trace ?? [])].join('\n    '));
    },
  };
}

const hangMs = 45_000;

/**
 * The answer to one request; undefined where it was lost or refused by an outage, so that nobody knows
 * what became of it. Anything else than an answer, 503 with Retry-After or a broken connection breaks
 * the promise that is tested.
 */
export async function asked(
  ledger: Ledger,
  what: string,
  request: () => Promise<Answer>,
): Promise<Answer | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), hangMs);
  });
  try {
    const answer = await Promise.race([request(), late]);
    if (answer === 'late') {
      ledger.violation(`${what} hung for ${hangMs} ms`);
      return undefined;
    }
    if (answer.status < 500) return answer;
    if (answer.status !== 503 || answer.headers.get('retry-after') === null) {
      ledger.violation(`${what}: ${answer.status} ${answer.text}`);
    }
  } catch {
    ledger.count('connections broken');
    return undefined;
  } finally {
    clearTimeout(timer);
  }
  ledger.count('503');
  return undefined;
}

/** A client that is given no answer for so long gives up; then the run fails. */
export const patienceMs = 120_000;

/** Asks again until there is an answer. `lost` says how many attempts have none. */
export async function insisted(
  ledger: Ledger,
  what: string,
  request: () => Promise<Answer>,
): Promise<{ readonly answer: Answer; readonly lost: number }> {
  const until = performance.now() + patienceMs;
  for (let lost = 0; ; lost += 1) {
    const answer = await asked(ledger, what, request);
    if (answer !== undefined) return { answer, lost };
    if (performance.now() > until) throw new Error(`${what}: no answer for ${patienceMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, Math.min(20 * 2 ** lost, 500)));
  }
}

export function note(thing: Traced, text: string): void {
  thing.trace.push(`${(performance.now() / 1000).toFixed(3)} ${text}`);
}
