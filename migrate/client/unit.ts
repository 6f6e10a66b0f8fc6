import type pg from 'pg';
import { OutcomeUnknown } from './failure.ts';
import { type Side, sqlStateOf } from './seam.ts';
import type { Place } from './standing.ts';

/** What a unit of work has: one connection to the side that it is pinned to (rule 1). */
export interface Session extends Place {
  /** Runs a statement; a name prepares it on this connection. Refuses once the unit is over. */
  query<Row extends pg.QueryResultRow>(
    statement: string | pg.QueryConfig,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<Row>>;
}

/** A unit of work. It may be run again, so it changes nothing but the database. */
export type Unit<T> = (session: Session) => Promise<T>;

/** How a unit ended. Only `done` has an effect; `unknown` may have one. */
export type Outcome<T> =
  | { readonly ended: 'done'; readonly result: T }
  /** The side is not live: MG001 (rule 3). */
  | { readonly ended: 'refused'; readonly side: Side; readonly error: unknown }
  /** 40001, 40P01, or the connection broke before COMMIT: as if it had never begun. */
  | { readonly ended: 'undone'; readonly error: unknown }
  /** Class 53, as a full disk: as if it had never begun, and it would end so again. */
  | { readonly ended: 'short'; readonly error: unknown }
  /** COMMIT was sent, and no answer came (rule 4). */
  | { readonly ended: 'unknown'; readonly error: OutcomeUnknown };

/** Runs `unit` in a transaction. Throws what the unit throws of its own, rolled back. */
export async function runWrite<T>(
  client: pg.PoolClient,
  place: Place,
  unit: Unit<T>,
): Promise<Outcome<T>> {
  const watched = watchClient(client, place);
  let sent = false;
  try {
    await watched.session.query('begin');
    const result = await unit(watched.session);
    const { failure } = watched;
    // A unit that swallowed the refusal of a statement has not done what it thinks.
    if (failure() !== undefined && fateOf(failure()) === 'refused') throw failure();
    sent = true;
    const { command } = await watched.session.query('commit');
    if (command !== 'COMMIT') {
      throw new Error('A statement of this unit failed, so PostgreSQL has rolled it back.', {
        cause: failure(),
      });
    }
    watched.end(false);
    return { ended: 'done', result };
  } catch (error) {
    const failure = watched.failure();
    const fate = fateOf(failure);
    if (fate !== 'broken') await client.query('rollback').catch(() => watched.breakOff());
    watched.end(fate === 'broken');
    if (sent && fate === 'broken') return { ended: 'unknown', error: new OutcomeUnknown(failure) };
    if (fate === 'refused') return { ended: 'refused', side: place.side, error: failure };
    if (fate === 'short') return { ended: 'short', error: failure };
    if (fate !== 'own') return { ended: 'undone', error: failure };
    throw error;
  }
}

/** Runs `unit` on a connection, without a transaction. */
export async function runRead<T>(
  client: pg.PoolClient,
  place: Place,
  unit: Unit<T>,
): Promise<Outcome<T>> {
  const watched = watchClient(client, place);
  try {
    const result = await unit(watched.session);
    watched.end(false);
    return { ended: 'done', result };
  } catch (error) {
    const fate = fateOf(watched.failure());
    watched.end(fate === 'broken');
    if (fate === 'broken') return { ended: 'undone', error: watched.failure() };
    if (fate === 'short') return { ended: 'short', error: watched.failure() };
    throw error;
  }
}

/** The session of one unit, and what went wrong in it. */
function watchClient(client: pg.PoolClient, place: Place) {
  let failure: unknown;
  let over = false;
  let isBroken = false;
  // Between two statements a connection that breaks has nobody else to tell.
  const onError = (error: unknown) => {
    failure ??= error;
    isBroken = true;
  };
  client.on('error', onError);
  const session: Session = {
    ...place,
    async query<Row extends pg.QueryResultRow>(
      statement: string | pg.QueryConfig,
      values?: readonly unknown[],
    ) {
      if (over) throw new Error('This unit of work is over: its session cannot be used any more.');
      const config = typeof statement === 'string' ? { text: statement } : statement;
      const given = values === undefined ? config : { ...config, values: [...values] };
      try {
        return await client.query<Row>(given);
      } catch (error) {
        // The driver refused a value or a name by itself: the connection is as it was.
        const isOwn = sqlStateOf(error) === '' && !isBroken && !isGivenUp(error);
        // The first refusal of the guard says why everything after it failed.
        if (!isOwn && fateOf(failure) !== 'refused') failure = error;
        throw error;
      }
    },
  };
  return {
    session,
    failure: () => failure,
    breakOff() {
      isBroken = true;
    },
    end(broken: boolean) {
      over = true;
      client.off('error', onError);
      client.release(broken || isBroken);
    },
  };
}

/** The driver does not wait for this connection any longer, or will not use it any more. */
function isGivenUp(error: unknown): boolean {
  return error instanceof Error && /^Query read timeout|not queryable$/.test(error.message);
}

/** What the failure of a statement means for the whole unit. */
function fateOf(failure: unknown): 'own' | 'refused' | 'again' | 'short' | 'broken' {
  if (failure === undefined) return 'own';
  const state = sqlStateOf(failure);
  if (state === 'MG001') return 'refused';
  if (state === '40001' || state === '40P01') return 'again';
  if (state.startsWith('53')) return 'short';
  // No SQLSTATE: the driver lost the connection. 57P: the server ends it; 08: so it says.
  if (state === '' || state.startsWith('57P') || state.startsWith('08')) return 'broken';
  return 'own';
}
