/** How patient a runner is. Milliseconds, rows, bytes. */
export interface Limits {
  /** Waiting for a table's lock: all who come later wait behind us that long. */
  readonly lockMsMax: number;
  /** The same where autovacuum has it: PostgreSQL takes it away from it after a second. */
  readonly autovacuumLockMsMax: number;
  readonly attemptsMax: number;
  /** Between attempts: doubled from the first to the last, less up to a half by chance. */
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
  /** Another runner may work this long before we give up. */
  readonly turnMsMax: number;
  /** A batch is made larger or smaller until it takes about this long. */
  readonly batchMsGoal: number;
  readonly batchRowsMax: number;
  /** The first batch, of which nobody knows yet how long it takes. */
  readonly batchRowsFirstMax: number;
  /** After a batch, this many times its own duration is left to others. */
  readonly batchRest: number;
  /** Batches pause while a replica is further behind. */
  readonly lagBytesMax: number;
  /** Batches pause while more than so many sessions wait for locks. */
  readonly waitersMax: number;
}

/**
 * 500 ms is what a person does not yet take for an outage, and longer than almost all
 * transactions; 30 attempts are about four minutes.
 */
export const defaultLimits: Limits = {
  lockMsMax: 500,
  autovacuumLockMsMax: 1_500,
  attemptsMax: 30,
  backoffMsMin: 250,
  backoffMsMax: 10_000,
  turnMsMax: 120_000,
  batchMsGoal: 100,
  batchRowsMax: 50_000,
  batchRowsFirstMax: 5_000,
  batchRest: 1,
  lagBytesMax: 64 * 1024 * 1024,
  waitersMax: 10,
};
