import { performance } from 'node:perf_hooks';
import type { Audit } from '#server/audit/audit.ts';
import { system } from '#server/audit/entry.ts';
import type { Config } from '#server/config/config.ts';
import { materialOf, type Parsed, unwrapKeys } from '#server/keys/load.ts';
import {
  isReadableByOthers,
  KeysError,
  type MasterKeys,
  makeMasterKeys,
  masterKeyPath,
  readMasterKeys,
} from '#server/keys/master.ts';
import { dueKeys, makeKey } from '#server/keys/rotation.ts';
import { type Slot, scheduleOf, slotsOf } from '#server/keys/slots.ts';
import type { Keys } from '#server/node.ts';
import type { Log } from '#server/operation/log.ts';
import type { Metrics } from '#server/operation/metrics.ts';
import type { Database } from '#server/store/database.ts';
import {
  deleteSpentKeys,
  type KeyRow,
  type NewKey,
  readKeys,
  storeKeys,
} from '#server/store/key.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { createKeyring, type KeyMaterial } from '#tokens/ring.ts';
import { createSealer } from '#tokens/seal.ts';

/** Anybody can write a kid that nobody knows; that reads the table this often at most. */
const unknownKidMsMin = 1000;
/** Timers are set again after this at the latest. */
const renewMsMax = 3_600_000;
/** A read that failed is repeated after this. */
const retryMs = 1000;
/** Two rounds at start: one may lose its keys to another process and read them in the next. */
const roundsMax = 3;

export interface KeysOptions {
  readonly database: Database;
  readonly config: Pick<
    Config,
    | 'issuer'
    | 'dataDir'
    | 'masterKeys'
    | 'keyRotationDays'
    | 'insecureKeyRotationSeconds'
    | 'flowSeconds'
    | 'codeSeconds'
    | 'accessTokenSeconds'
    | 'idTokenSeconds'
    | 'refreshTokenSeconds'
  >;
  readonly audit: Pick<Audit, 'write'>;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface KeysState {
  ring: Keyring;
  material: KeyMaterial;
  parsed: Parsed;
  rows: readonly KeyRow[];
  /** database time and the monotonic time at which it was read */
  readMs: number;
  readAt: number;
}

/**
 * Loads the keys, making what is missing; the ring is complete when this resolves. Refuses with
 * KeysError where the master key is missing or another one. Several processes may start at once.
 */
export async function openKeys(options: KeysOptions): Promise<Keys> {
  const { database, config, audit, log, metrics } = options;
  const schedule = scheduleOf(config);
  const slots = slotsOf(config, schedule);
  const path = masterKeyPath(config);
  const master = await openMaster(database, path, config.masterKeys !== undefined);
  if (await isReadableByOthers(path)) log.warn('master_key_readable_by_others');
  const sealer = createSealer();
  const reading = { database, master, slots, path, onMade: tellFirst };
  const first = await load(reading, new Map());
  const state: KeysState = { ...first, ...read(config.issuer, first) };
  const timers = createTimers();
  let lastUnknownAt = Number.NEGATIVE_INFINITY;
  const reloads = createReloads(async () => {
    const loaded = await load(reading, state.parsed);
    Object.assign(state, loaded, read(config.issuer, loaded));
    renew();
  });

  function read(issuer: string, loaded: Loaded): Pick<KeysState, 'material' | 'ring'> {
    const material = materialOf(issuer, loaded.rows, loaded.parsed);
    return { material, ring: createKeyring(material, nowMs(loaded), sealer, unknownKid) };
  }

  function unknownKid(): void {
    if (performance.now() - lastUnknownAt < unknownKidMsMin) return;
    lastUnknownAt = performance.now();
    void reload();
  }

  async function reload(): Promise<boolean> {
    try {
      await reloads.run();
      return true;
    } catch (error) {
      log.warn('keys_not_read', {}, error);
      timers.at('retry', retryMs, () => void reload());
      return false;
    }
  }

  /** Makes the ring of this moment, and comes again when the next key begins or ends. */
  function renew(): void {
    const now = nowMs(state);
    state.ring = createKeyring(state.material, now, sealer, unknownKid);
    timers.at('renew', nextChangeMs(state.rows, now) - now, renew);
  }

  async function rotate(): Promise<void> {
    const due = dueKeys(slots, state.rows, nowMs(state), schedule.rotationSeconds);
    if (due.length === 0) return;
    const made = await Promise.all(due.map((key) => makeKey(key, master)));
    const stored = await storeKeys(database, made);
    for (const key of made.filter((candidate) => stored.has(candidate.id))) {
      metrics.event('key_rotated');
      log.info('key_made', { set: key.setName, alg: key.alg, kid: key.kid });
      const target = { kind: 'key', id: `${key.setName} ${key.kid}` };
      const detail = { alg: key.alg, active_in_seconds: key.activeInSeconds };
      await audit.write({ action: 'key.rotate', outcome: 'done', actor: system, target, detail });
    }
    await reload();
  }

  async function cleanUp(): Promise<void> {
    const gone = await deleteSpentKeys(database, slots, schedule.marginSeconds);
    if (gone.length > 0) log.info('keys_deleted', { count: gone.length });
    for (const { setName, kid } of gone) {
      const target = { kind: 'key', id: `${setName} ${kid}` };
      await audit.write({ action: 'key.expire', outcome: 'done', actor: system, target });
    }
  }

  async function tellFirst(made: readonly NewKey[]): Promise<void> {
    for (const { setName, kid, alg } of made) {
      const target = { kind: 'key', id: `${setName} ${kid}` };
      const detail = { alg };
      await audit.write({ action: 'key.first', outcome: 'done', actor: system, target, detail });
    }
  }

  const quietly = (event: string, job: () => Promise<void>) => () => {
    job().catch((error: unknown) => log.warn(event, {}, error));
  };
  renew();
  timers.every(schedule.reloadSeconds * 1000, () => void reload());
  timers.every(schedule.lookSeconds * 1000, quietly('keys_not_rotated', rotate));
  // Also where no process lives as long as the time between two.
  timers.at('first clean-up', schedule.lookSeconds * 1000, quietly('keys_not_deleted', cleanUp));
  timers.every(schedule.cleanUpSeconds * 1000, quietly('keys_not_deleted', cleanUp));
  await rotate();

  return {
    current: () => state.ring,
    reload,
    settled: reloads.settled,
    wrap: master.wrap,
    unwrap: master.unwrap,
    close: timers.clear,
  };
}

async function openMaster(
  database: Database,
  path: string,
  configured: boolean,
): Promise<MasterKeys> {
  const master = await readMasterKeys(path);
  if (master !== undefined) return master;
  if (configured) {
    throw new KeysError(`The master key file ${path} (GATEHOUSE_MASTER_KEYS) does not exist.`);
  }
  const { rows } = await readKeys(database);
  // Another process may have made both meanwhile.
  const meanwhile = rows.length === 0 ? undefined : await readMasterKeys(path);
  if (rows.length > 0 && meanwhile === undefined) {
    throw new KeysError(
      `The master key file ${path} is missing, but the database holds keys wrapped with it. ` +
        'Restore the file from the backup, or name it with GATEHOUSE_MASTER_KEYS.',
    );
  }
  return meanwhile ?? makeMasterKeys(path);
}

interface Loaded {
  readonly rows: readonly KeyRow[];
  readonly parsed: Parsed;
  readonly readMs: number;
  readonly readAt: number;
}

interface Reading {
  readonly database: Database;
  readonly master: MasterKeys;
  /** Where the master keys are, for messages. */
  readonly path: string;
  readonly slots: readonly Slot[];
  /** Told of the keys that this process had to make. */
  readonly onMade: (keys: readonly NewKey[]) => Promise<void>;
}

/** Reads all keys; where a slot has none that is active, makes one first. */
async function load(reading: Reading, before: Parsed): Promise<Loaded> {
  const { database, master, slots, path } = reading;
  for (let round = 1; ; round += 1) {
    const readAt = performance.now();
    const { nowMs: readMs, rows } = await readKeys(database);
    const { parsed, unreadable } = unwrapKeys(rows, master, before);
    const [lost] = unreadable;
    if (lost !== undefined) {
      throw new KeysError(
        `${unreadable.length} of ${rows.length} keys in the database (set ${lost.setName}) are not ` +
          `wrapped with a master key in ${path}. Restore the master key that belongs to this ` +
          'database, or add it to the file as a further line.',
      );
    }
    const missing = dueKeys(slots, rows, readMs, 0);
    if (missing.length === 0) return { rows, parsed, readMs, readAt };
    if (round === roundsMax) throw new KeysError('Keys that were stored are not in the database.');
    const made = await Promise.all(missing.map((due) => makeKey(due, master)));
    const stored = await storeKeys(database, made);
    await reading.onMade(made.filter((key) => stored.has(key.id)));
  }
}

/** Database time by the monotonic clock: a wrong system clock changes nothing. */
function nowMs(read: { readonly readMs: number; readonly readAt: number }): number {
  return read.readMs + (performance.now() - read.readAt);
}

function nextChangeMs(rows: readonly KeyRow[], now: number): number {
  const moments = rows.flatMap((row) => [row.activeAtMs, row.expiresAtMs ?? 0]);
  return Math.min(now + renewMsMax, ...moments.filter((moment) => moment > now));
}

/**
 * Reads one after the other. Whoever asks gets a read that begins after the question; those who ask
 * during a read share the next one.
 */
function createReloads(read: () => Promise<void>) {
  let current: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  function begin(): Promise<void> {
    const running = read().finally(() => {
      if (current === running) current = undefined;
    });
    current = running;
    return running;
  }

  return {
    run(): Promise<void> {
      if (current === undefined) return begin();
      next ??= current
        .catch(() => {})
        .then(() => {
          next = undefined;
          return begin();
        });
      return next;
    },
    /** Resolves when nothing is being read; never refuses. */
    async settled(): Promise<void> {
      while (current !== undefined || next !== undefined) await (next ?? current)?.catch(() => {});
    },
  };
}

/** Timers that keep no process alive. */
function createTimers() {
  const repeating: NodeJS.Timeout[] = [];
  const single = new Map<string, NodeJS.Timeout>();
  let closed = false;
  return {
    every(ms: number, job: () => void): void {
      repeating.push(setInterval(job, ms).unref());
    },
    at(name: string, ms: number, job: () => void): void {
      clearTimeout(single.get(name));
      // a read that fails because everything closes must not try again
      if (closed) return;
      single.set(name, setTimeout(job, Math.max(1, Math.ceil(ms))).unref());
    },
    clear(): void {
      closed = true;
      for (const timer of repeating) clearInterval(timer);
      for (const timer of single.values()) clearTimeout(timer);
    },
  };
}
