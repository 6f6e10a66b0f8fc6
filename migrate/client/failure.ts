/** Why a unit of work was not run. */
export type Reason =
  /** No side takes writes, or none is known to, and the time is up. */
  | 'held'
  /** As many units as are allowed wait or run already. */
  | 'full'
  /** The live database gives no connection. */
  | 'unreachable'
  /** It was refused or broke off as often as is allowed. */
  | 'refused'
  /** The live database has no disk, memory or connection left for it (SQLSTATE class 53). */
  | 'short'
  /** close() was called. */
  | 'closing';

const sentences: Readonly<Record<Reason, string>> = {
  held: 'No database takes this at the moment (a switch is under way, or none is known to be live).',
  full: 'Too many units of work wait already.',
  unreachable: 'The live database gives no connection.',
  refused: 'The unit was refused or broke off too often.',
  short: 'The live database has no room left for this.',
  closing: 'The databases are being closed.',
};

/**
 * Nothing was done, and it may be tried again after `retryAfterSeconds`. An HTTP server answers 503
 * with `Retry-After` (rule 2).
 */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
  readonly reason: Reason;
  readonly retryAfterSeconds = 1;
  constructor(reason: Reason, cause?: unknown) {
    super(`${sentences[reason]} Nothing was done; try again.`, { cause });
    this.reason = reason;
  }
}

/**
 * COMMIT was sent and no answer came: the unit may be done or not (rule 4). Look for its id on the
 * side that is live now; `write(unit, { idempotent: true })` does that by running the unit again.
 */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown';
  constructor(cause: unknown) {
    super('The answer to COMMIT was lost: ask by the id of the write whether it is there.', {
      cause,
    });
  }
}
