import type pg from 'pg';
import { Unavailable } from './failure.ts';
import { createGate, type Gate } from './gate.ts';
import type { Memory } from './memory.ts';
import { createWarming, openPools, type Pools, type Runner, runUnit } from './running.ts';
import { type Side, sides } from './seam.ts';
import type { Place, Word } from './standing.ts';
import { runRead, runWrite, type Unit } from './unit.ts';
import type { PrimingStatement } from './warm.ts';
import { startWatch } from './watch.ts';

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
  /** How long a unit waits for a live side before it runs, and again after it was refused. */
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
   * between. Throws {@link Unavailable} where nothing was done, OutcomeUnknown where that is
   * not known, and what the unit throws, rolled back.
   */
  write<T>(unit: Unit<T>, options?: WriteOptions): Promise<T>;
  /** Runs `unit` on the live side, without a transaction; never waits for a switch. */
  read<T>(unit: Unit<T>, options?: ReadOptions): Promise<T>;
  state(): DatabasesState;
  /** Lets units that run end, refuses others, ends every connection and timer. Again: the same. */
  close(): Promise<void>;
}

/**
 * Opens both databases; resolves when each has said what it is, or could not be reached. Throws where
 * nobody says where the primary is.
 */
export async function openDatabases(options: DatabasesOptions): Promise<Databases> {
  const { primary, writersMax = 1_000, readersMax = 1_000, waitMs = 2_000 } = options;
  if (options[primary] === undefined) {
    throw new Error(`"primary" is ${primary}, but where ${primary} is stands nowhere: give both.`);
  }
  const pools = new Map<Side, Pools>();
  for (const side of sides) {
    const config = options[side];
    if (config === undefined) continue;
    pools.set(side, openPools(config, waitMs, options.prime?.[side] ?? []));
  }
  const keepWarm = createWarming(pools);
  const gates: Gate[] = [];
  const { blue, green } = options;
  const watch = await startWatch({
    pools: { ...(blue ? { blue } : {}), ...(green ? { green } : {}) },
    primary,
    hurried: () => gates.some((gate) => gate.waiting() > 0),
    changed(now) {
      for (const gate of gates) gate.look();
      keepWarm(now);
    },
  });
  const openGate = (place: () => Place | undefined) => {
    const gate = createGate(place, () => void watch.fresh());
    gates.push(gate);
    return gate;
  };
  const shared = { watch, pools, waitMs };
  const writes: Runner = { ...shared, gate: openGate(watch.memory.writable), kind: 'writes' };
  const reads: Runner = { ...shared, gate: openGate(watch.memory.readable), kind: 'reads' };
  const freshReads: Runner = { ...shared, gate: openGate(watch.memory.newest), kind: 'reads' };
  const admitWrite = createAdmission(writersMax);
  const admitRead = createAdmission(readersMax);
  let closing: Promise<void> | undefined;
  const close = async () => {
    for (const gate of gates) gate.close();
    await Promise.all([admitWrite.ended(), admitRead.ended()]);
    await watch.close();
    for (const { reads, writes } of pools.values()) await Promise.all([reads.end(), writes.end()]);
  };

  return {
    write: (unit, { idempotent = false } = {}) =>
      admitWrite.run(() => runUnit(writes, (...on) => runWrite(...on, unit), idempotent)),
    read: (unit, { fresh = false } = {}) =>
      admitRead.run(async () => {
        if (fresh) await watch.fresh();
        return runUnit(fresh ? freshReads : reads, (...on) => runRead(...on, unit), true);
      }),
    state: () => stateOf(watch.memory, writes.gate.waiting()),
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/** Lets so many units in at a time, and knows when the last is out. */
function createAdmission(max: number) {
  const inside = new Set<Promise<unknown>>();
  return {
    async run<T>(work: () => Promise<T>): Promise<T> {
      if (inside.size >= max) throw new Unavailable('full');
      const one = work();
      inside.add(one);
      try {
        return await one;
      } finally {
        inside.delete(one);
      }
    },
    ended: () => Promise.allSettled(inside),
  };
}

function stateOf(memory: Memory, waiting: number): DatabasesState {
  const [writable, readable] = [memory.writable(), memory.readable()];
  return {
    ...(writable === undefined ? {} : { writable }),
    ...(readable === undefined ? {} : { readable }),
    holdMs: memory.holdMs(),
    waiting,
    blue: sideState(memory.word('blue'), memory.trouble('blue')),
    green: sideState(memory.word('green'), memory.trouble('green')),
  };
}

function sideState(word: Word, trouble: unknown): SideState {
  const said = trouble === undefined ? {} : { trouble: sentenceOf(trouble) };
  if (word === undefined) return { state: 'unknown', epoch: 0, near: false, ...said };
  if (word === 'bare') return { state: 'bare', epoch: 0, near: false, ...said };
  return { state: word.state, epoch: word.epoch, near: word.near, ...said };
}

/** A host of several addresses fails with one error per address, and a message that is empty. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof AggregateError)) return String(error);
  return error.errors.map(String).join('; ');
}
