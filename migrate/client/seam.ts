import type pg from 'pg';

/** A database by its name in the migration. Names never change sides; which one is live does. */
export type Side = 'blue' | 'green';

export const sides: readonly Side[] = ['blue', 'green'];

export const otherSide = (side: Side): Side => (side === 'blue' ? 'green' : 'blue');

/** What a database says of itself in `migrate.seam`; times count from when the answer came. */
export interface Seam {
  readonly migrationId: string;
  readonly side: Side;
  readonly state: 'copy' | 'live' | 'fenced' | 'retired';
  readonly epoch: number;
  /** On the clock of `performance.now()`: until then writes wait here. */
  readonly holdUntilMs: number;
  readonly fenceExpired: boolean;
  readonly openingKey: Buffer | null;
  readonly pollMs: number;
  readonly near: boolean;
}

interface Row {
  readonly migration_id: string;
  readonly side: Side;
  readonly state: Seam['state'];
  readonly epoch: string;
  readonly hold_ms: number;
  readonly fence_expired: boolean;
  readonly opening_key: Buffer | null;
  readonly poll_ms: number;
  readonly near: boolean;
}

/**
 * The seam of one database; `bare` where it has no schema `migrate` (rule 6). `expected` false: there
 * may be none, which is asked first, as what fails stands in the database's log, second by second.
 */
export async function readSeam(pool: pg.Pool, expected: boolean): Promise<Seam | 'bare'> {
  try {
    if (!expected) {
      const { rows } = await pool.query<{ there: boolean }>(
        "select to_regclass('migrate.seam') is not null as there",
      );
      if (rows[0]?.there !== true) return 'bare';
    }
    const { rows } = await pool.query<Row>(
      `select s.migration_id, s.side, s.state, s.epoch, s.hold_ms, s.fence_expired, s.opening_key,
         s.poll_ms, s.near
       from migrate.seam s`,
    );
    const [row] = rows;
    // A schema that is being made has no row yet.
    if (row === undefined) return 'bare';
    return {
      migrationId: row.migration_id,
      side: row.side,
      state: row.state,
      epoch: Number(row.epoch),
      holdUntilMs: row.hold_ms > 0 ? performance.now() + row.hold_ms : 0,
      fenceExpired: row.fence_expired,
      openingKey: row.opening_key,
      pollMs: row.poll_ms,
      near: row.near,
    };
  } catch (error) {
    // undefined_table, invalid_schema_name
    if (['42P01', '3F000'].includes(sqlStateOf(error))) return 'bare';
    throw error;
  }
}

/** Lifts a fence whose deadline has passed: the tool died (column `fence_expired`). */
export async function unfenceExpired(pool: pg.Pool): Promise<void> {
  await pool.query('select migrate.unfence_expired()');
}

/** Opens a side by the key that the retirement of the other has published. */
export async function openSide(pool: pg.Pool, key: Buffer): Promise<void> {
  await pool.query('select migrate.open($1)', [key]);
}

/** The SQLSTATE of an error that PostgreSQL has sent, '' for any other. */
export function sqlStateOf(error: unknown): string {
  return error instanceof Error && 'severity' in error && 'code' in error ? String(error.code) : '';
}
