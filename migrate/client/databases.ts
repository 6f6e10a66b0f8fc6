import type pg from 'pg';
import { type OutcomeUnknown, Unavailable } from './failure.ts';
import { createGate, type Gate } from './gate.ts';
import { type Side, sides } from './seam.ts';
import type { Place, Word } from './standing.ts';
import { type Outcome, runRead, runWrite, type Unit } from './unit.ts';
import { openPrimedPool, type PrimingStatement, warm } from './warm.ts';
import { startWatch, type Watch } from './watch.ts';

export interface DatabasesOptions {
  /** Where each side is. `max` counts twice: reads and writes have a pool each. One may be left out. */
  readonly blue?: pg.PoolConfig;
  readonly green?: pg.PoolConfig;
  /** The one in use where neither knows of a migration (rule 6). */
  readonly primary: Side;
  /** Run and rolled back on each new connection; those are opened before a switch (`near`). */
  readonly prime?: Readonly<Partial<Record<Side, readonly PrimingStatement[]>>>;
  /** So many writes may wait or run at a time; one more is refused. */
  readonly writersMax?: number;
  /** So many reads may wait or run at a time. */
  readonly readersMax?: number;
  /** How long a unit waits for a live side, in all. */
  readonly waitMs?: number;
}

export interface WriteOptions {
  /**
   * The unit looks for its own id before it does anything, so it may be run again also where the
   * answer to COMMIT was lost: running it again is the question whether it was done (rule 4).
   */
  readonly idempotent?: boolean;
}

export interface ReadOptions {
  /** Never from a side that may have retired before this call: both are polled first (rule 5). */
  readonly fresh?: boolean;
}

/** What one side said last, for logs and metrics. */
export interface SideState {
  readonly state: 'unknown' | 'bare' | 'copy' | 'live' | 'fenced' | 'retired';
  readonly epoch: number;
  readonly near: boolean;
  /** Why the last poll failed; absent: it did not. What was heard before still counts. */
  readonly trouble?: string;
}

export interface DatabasesState {
  /** Where a write would begin now; absent: it would wait. */
  readonly writable?: Place;
  readonly readable?: Place;
  readonly holdMs: number;
  /** Writes that wait at the gate. */
  readonly waiting: number;
  readonly blue: SideState;
  readonly green: SideState;
}

/** Two databases of which one is live, by docs/migrate/contract.md. */
export interface Databases {
  /**
   * Runs `unit` in a transaction on the live side, and again on the other where a switch came in
   * between. Throws {@link Unavailable} where nothing was done, {@link OutcomeUnknown} where that is
   * not known, and what the unit throws, rolled back.
   */
  write<T>(unit: Unit<T>, options?: WriteOptions): Promise<T>;
  /** Runs `unit` on the live side, without a transaction; never waits for a switch. */
  read<T>(unit: Unit<T>, options?: ReadOptions): Promise<T>;
  state(): DatabasesState;
  /** Lets units that run end, refuses others, ends every connection and timer. */
  close(): Promise<void>;
}

interface Pools {
  readonly reads: pg.Pool;
  readonly writes: pg.Pool;
}

/** A unit that was refused or broken off so often will not get through. */
const attemptsMax = 20;

/** Opens both databases; resolves when each has said what it is, or could not be reached. */
export async function openDatabases(options: DatabasesOptions): Promise<Databases> {
  const { writersMax = 1_000, readersMax = 1_000, waitMs = 2_000 } = options;
  const pools = new Map<Side, Pools>();
  for (const side of sides) {
    const config = options[side];
    if (config !== undefined) {
      pools.set(side, openPools(config, waitMs, options.prime?.[side] ?? []));
    }
  }
  let warmedFor: string | undefined;
  let watch: Watch | undefined;
  const gates: Gate[] = [];
  const changed = () => {
    for (const gate of gates) gate.look();
    const next = watch?.nextSide();
    const sign = next && `${next} ${watch?.writable()?.epoch}`;
    if (sign === warmedFor) return;
    warmedFor = sign;
    if (sign === undefined) return;
    const [to, from] = [pools.get(next ?? 'blue'), pools.get(next === 'blue' ? 'green' : 'blue')];
    if (to === undefined || from === undefined) return;
    void warm(to.writes, from.writes.totalCount);
    void warm(to.reads, from.reads.totalCount);
  };
  const watching = await startWatch({
    pools: {
      ...(options.blue ? { blue: options.blue } : {}),
      ...(options.green ? { green: options.green } : {}),
    },
    primary: options.primary,
    hurried: () => gates.some((gate) => gate.waiting() > 0),
    changed,
  });
  watch = watching;
  const hurry = () => void watching.fresh();
  const writeGate = createGate(watching.writable, hurry);
  const readGate = createGate(watching.readable, hurry);
  const freshGate = createGate(watching.newest, hurry);
  gates.push(writeGate, readGate, freshGate);
  const running = new Set<Promise<unknown>>();
  let writers = 0;
  let readers = 0;

  /** One connection to where the gate sends; undefined: there the gate sends no more, or nobody answers. */
  const connect = async (gate: Gate, kind: keyof Pools, untilMs: number) => {
    for (;;) {
      const place = await gate.pass(untilMs);
      const pool = pools.get(place.side)?.[kind];
      if (pool === undefined) throw new Unavailable('unreachable');
      try {
        const client = await pool.connect();
        // It waited for a connection: a switch may have come meanwhile.
        const now = gate.place();
        if (now?.side === place.side) return { client, place: now };
        client.release();
      } catch (error) {
        if (performance.now() >= untilMs) throw new Unavailable('unreachable', error);
        await watching.fresh();
      }
    }
  };

  const attempt = async <T>(
    gate: Gate,
    kind: keyof Pools,
    run: (client: pg.PoolClient, place: Place) => Promise<Outcome<T>>,
    idempotent: boolean,
  ): Promise<T> => {
    const untilMs = performance.now() + waitMs;
    let unknown: OutcomeUnknown | undefined;
    for (let tries = 1; ; tries += 1) {
      const { client, place } = await connect(gate, kind, untilMs).catch((error: unknown) => {
        throw unknown ?? error;
      });
      const outcome = await run(client, place);
      if (outcome.ended === 'done') return outcome.result;
      if (outcome.ended === 'unknown') unknown = outcome.error;
      if (unknown !== undefined && !idempotent) throw unknown;
      if (tries >= attemptsMax || performance.now() >= untilMs) {
        throw unknown ?? new Unavailable('refused', outcome.error);
      }
      if (outcome.ended === 'refused') watching.refused(outcome.side);
      // What stays unknown is asked for where the live side is after this.
      else await watching.fresh();
    }
  };

  const tracked = async <T>(work: Promise<T>): Promise<T> => {
    running.add(work);
    try {
      return await work;
    } finally {
      running.delete(work);
    }
  };

  return {
    async write(unit, { idempotent = false } = {}) {
      if (writers >= writersMax) throw new Unavailable('full');
      writers += 1;
      const run = (client: pg.PoolClient, place: Place) => runWrite(client, place, unit);
      try {
        return await tracked(attempt(writeGate, 'writes', run, idempotent));
      } finally {
        writers -= 1;
      }
    },
    async read(unit, { fresh = false } = {}) {
      if (readers >= readersMax) throw new Unavailable('full');
      readers += 1;
      const run = (client: pg.PoolClient, place: Place) => runRead(client, place, unit);
      try {
        if (fresh) await watching.fresh();
        return await tracked(attempt(fresh ? freshGate : readGate, 'reads', run, true));
      } finally {
        readers -= 1;
      }
    },
    state() {
      const [writable, readable] = [watching.writable(), watching.readable()];
      return {
        ...(writable === undefined ? {} : { writable }),
        ...(readable === undefined ? {} : { readable }),
        holdMs: watching.holdMs(),
        waiting: writeGate.waiting(),
        blue: sideState(watching.word('blue'), watching.trouble('blue')),
        green: sideState(watching.word('green'), watching.trouble('green')),
      };
    },
    async close() {
      for (const gate of gates) gate.close();
      await Promise.allSettled(running);
      await watching.close();
      for (const { reads, writes } of pools.values())
        await Promise.all([reads.end(), writes.end()]);
    },
  };
}

function openPools(
  config: pg.PoolConfig,
  waitMs: number,
  statements: readonly PrimingStatement[],
): Pools {
  const given = { connectionTimeoutMillis: waitMs, keepAlive: true, ...config };
  return {
    reads: openPrimedPool(given, statements),
    writes: openPrimedPool(given, statements),
  };
}

function sideState(word: Word, trouble: unknown): SideState {
  const said = trouble === undefined ? {} : { trouble: String(trouble) };
  if (word === undefined) return { state: 'unknown', epoch: 0, near: false, ...said };
  if (word === 'bare') return { state: 'bare', epoch: 0, near: false, ...said };
  return { state: word.state, epoch: word.epoch, near: word.near, ...said };
}
