import { hash, type Options, parseOptions, verify } from '@node-rs/argon2';

/** Bytes of UTF-8 after NFKC (NIST SP 800-63B §3.1.1.2 asks for at least 8 and 64). */
export const passwordBytesMin = 8;
const passwordBytesMax = 256;

/** argon2id with 19 MiB and two passes: OWASP's first choice; about 25 ms of one core. */
const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const satisfies Options;

/**
 * Two at a time, because libuv's four threads also make RSA signatures and these must not wait
 * behind passwords. Those who wait are bounded too: 32 take about half a second.
 */
const hashesRunningMax = 2;
const hashesWaitingMax = 30;

/** What a password check may say; `busy`: too many are under way, answer 503. */
export type PasswordVerdict = 'right' | 'wrong' | 'busy';

/** Makes and checks password hashes for one process, a bounded number at a time. */
export interface Passwords {
  /** An encoded argon2id hash, or `busy`. The caller has checked {@link passwordProblem}. */
  hash(password: string): Promise<string | 'busy'>;
  /**
   * Checks a password. `encoded` undefined (no such user) costs what a real check costs and is
   * `wrong`, so that time tells nobody who has an account here.
   */
  verify(encoded: string | undefined, password: string): Promise<PasswordVerdict>;
}

/** What is wrong with a new password, as a sentence for the person; undefined: nothing. */
export function passwordProblem(password: string): string | undefined {
  const bytes = Buffer.byteLength(password.normalize('NFKC'));
  if (bytes < passwordBytesMin) return `Use at least ${passwordBytesMin} characters.`;
  if (bytes > passwordBytesMax) return `Use at most ${passwordBytesMax} characters.`;
  return undefined;
}

/** True when a hash was made with weaker parameters than today's: hash again at the next login. */
export function isOutdated(encoded: string): boolean {
  const made = parseOptions(encoded);
  return (
    made.memoryCost < parameters.memoryCost ||
    made.timeCost < parameters.timeCost ||
    made.parallelism < parameters.parallelism
  );
}

/** The passwords of one process. */
export function openPasswords(): Passwords {
  const inTurn = turns(hashesRunningMax, hashesWaitingMax);
  return {
    hash: (password) => inTurn(() => hash(password.normalize('NFKC'), parameters)),
    async verify(encoded, password) {
      const text = password.normalize('NFKC');
      const bytes = Buffer.byteLength(text);
      // Longer than any password here can be: the check below runs all the same, for its time.
      const possible = encoded !== undefined && bytes <= passwordBytesMax;
      const right = await inTurn(() => verify(possible ? encoded : nobody, possible ? text : ''));
      if (right === 'busy') return 'busy';
      return possible && right ? 'right' : 'wrong';
    },
  };
}

/** A hash of no password: a salt and a sum of zeros under today's parameters. */
const nobody =
  `$argon2id$v=19$m=${parameters.memoryCost},t=${parameters.timeCost},p=${parameters.parallelism}` +
  `$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** Runs work `runningMax` at a time; over `waitingMax` that wait, says `busy`. */
function turns(runningMax: number, waitingMax: number) {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async <Result>(work: () => Promise<Result>): Promise<Result | 'busy'> => {
    if (running >= runningMax) {
      if (waiting.length >= waitingMax) return 'busy';
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      running += 1;
    }
    try {
      return await work();
    } finally {
      // The place passes to the next in line, or becomes free.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
