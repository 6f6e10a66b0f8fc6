import { randomInt } from 'node:crypto';
import pg from 'pg';

/** A statement of the application, with values that do no harm: it is run and rolled back. */
export interface PrimingStatement {
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly unknown[];
}

/**
 * A pool whose connections have run the statements once before anybody gets them, so that the first
 * unit of work finds them prepared. On a side that is not live a write is refused by the guard; it is
 * prepared all the same.
 */
export function openPrimedPool(
  config: pg.PoolConfig,
  statements: readonly PrimingStatement[],
): pg.Pool {
  const pool = new pg.Pool({ ...config, onConnect: (client) => prime(client, statements) });
  spreadIdleEnds(pool);
  // An idle connection that breaks is simply not there any more.
  pool.on('error', () => {});
  return pool;
}

/**
 * An idle connection ends after one to two times the pool's `idleTimeoutMillis`. All those of the side
 * that retired fell idle in one moment: had they ended in one moment too, their server's processes
 * would have, which kept reads on the same machine waiting for 150 ms, ten seconds after each switch.
 */
function spreadIdleEnds(pool: pg.Pool): void {
  const idleMs = pool.options.idleTimeoutMillis ?? 0;
  if (idleMs === 0) return;
  Object.defineProperty(pool.options, 'idleTimeoutMillis', {
    get: () => idleMs + randomInt(idleMs),
  });
}

async function prime(
  client: pg.ClientBase,
  statements: readonly PrimingStatement[],
): Promise<void> {
  if (statements.length === 0) return;
  await client.query('begin');
  for (const { name, text, values = [] } of statements) {
    try {
      await client.query({ ...(name === undefined ? {} : { name }), text, values: [...values] });
    } catch {
      // Refused, as a write is on a side that is not live. A connection that broke fails here.
      await client.query('rollback');
      await client.query('begin');
    }
  }
  await client.query('rollback');
}

/**
 * Opens connections until the pool has `count` of them. Only for a pool that nobody uses yet: they
 * are all held until the last is open, as one that is given back would be taken instead of a new one.
 */
export async function warm(pool: pg.Pool, count: number): Promise<void> {
  const opening = Array.from({ length: count }, async () => {
    const client = await pool.connect();
    // While it is held here nobody else hears that it broke, and that would end the process.
    client.on('error', ignore);
    return client;
  });
  const opened = await Promise.allSettled(opening);
  for (const one of opened) {
    // Whatever could not be opened only makes the first units slower.
    if (one.status === 'rejected') continue;
    one.value.off('error', ignore);
    one.value.release();
  }
}

const ignore = () => {};
