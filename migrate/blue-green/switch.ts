import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { captureTable, isCaptured, setGuard, yieldAutovacuum } from './capture.ts';
import { ownedSequences } from './catalog.ts';
import {
  announce,
  fence,
  forgetReady,
  hold,
  makeId,
  makeOpeningKey,
  makeReady,
  note,
  open,
  readControl,
  release,
  retire,
  unfence,
} from './control.ts';
import { type Database, inTransaction } from './database.ts';
import { Failure, sqlStateOf } from './failure.ts';
import { atExactPoint, takeBatch, withEnds } from './follow.ts';
import { holdersOf } from './holders.ts';
import { type Run, routeOf, standing } from './migration.ts';
import { literal, quoted, quotedTable, type TableName, textOf } from './names.ts';
import { mappedTables, type Route, sourcesOf } from './resolve.ts';
import type { Ends } from './transfer.ts';

export interface SwitchOptions {
  /** Writers wait this long at most; after it the old side is live again. */
  readonly holdMsMax: number;
  /** How long one attempt to fence waits for writers in flight. */
  readonly lockMsMax: number;
  /** Clients that poll are told of a switch this long before it. */
  readonly noticeMs: number;
  readonly attemptsMax: number;
}

/** What a switch did when, in milliseconds from the hold on. */
export interface Timeline {
  readonly from: string;
  readonly to: string;
  readonly epoch: number;
  readonly attempts: number;
  readonly steps: readonly { readonly step: string; readonly ms: number }[];
  readonly heldMs: number;
}

const pollMsNear = 10;
const pollMsOrdinary = 1_000;

/**
 * Makes the other side live. Both sides must have been verified before; from there on every batch is
 * read back, so what changed since is compared as it comes. Whatever fails before the retirement
 * leaves the old side live, whatever fails after it is ended by the next command or by any client.
 */
export async function switchOver(run: Run, options: SwitchOptions): Promise<Timeline> {
  const { phase } = await standing(run.blue, run.green, run.routes.forward.tables.length);
  const route = routeOf(run, phase);
  const { origin, destination } = route;
  await getReady(run, route, options.attemptsMax);
  const ordinary = (await readControl(origin.main))?.pollMs ?? pollMsOrdinary;
  await announceBoth(run, true, pollMsNear);
  try {
    return await withEnds(route, async (ends) => {
      await shrink(run, ends, route, Math.max(ordinary + pollMsNear, options.noticeMs));
      const timeline = await cross(run, route, ends, options);
      await note(destination, 'switched', { ...timeline });
      return timeline;
    });
  } finally {
    await announceBoth(run, false, pollMsOrdinary).catch(() => {});
    await stepDown(run).catch(() => {});
  }
}

/** Takes the guard off the live side: it costs its writers nothing more. */
export async function stepDown(run: Run): Promise<void> {
  const { blue, green } = await standing(run.blue, run.green, 0);
  const live = blue?.state === 'live' ? run.blue : green?.state === 'live' ? run.green : undefined;
  if (live === undefined) return;
  for (const table of mappedTables(run.routes, live.side)) {
    await setGuard(live.main, table, false);
  }
}

/** All that can be done before anybody has to wait. */
async function getReady(run: Run, route: Route, attemptsMax: number): Promise<void> {
  const { origin, destination } = route;
  for (const { table } of sourcesOf(route)) {
    if (await isCaptured(origin.main, table)) continue;
    throw new Failure(
      `Changes of ${textOf(table)} in ${origin.side} are not captured: a trigger was taken away, or a ` +
        'partition came new. What was written there since is not known: "migrate abort" and begin anew.',
    );
  }
  const back = route === run.routes.forward ? run.routes.reverse : run.routes.forward;
  for (const table of mappedTables(run.routes, origin.side)) {
    await setGuard(origin.main, table, true, attemptsMax);
  }
  for (const table of mappedTables(run.routes, destination.side)) {
    await setGuard(destination.main, table, true);
  }
  for (const source of back ? sourcesOf(back) : []) await captureTable(destination.main, source);
  await moveSequences(route, await sequenceQueries(route));
}

async function announceBoth(run: Run, near: boolean, pollMs: number): Promise<void> {
  await Promise.all([
    announce(run.blue.main, near, pollMs),
    announce(run.green.main, near, pollMs),
  ]);
}

/** Follows without a pause until every client has heard that a switch is near. */
async function shrink(run: Run, ends: Ends, route: Route, noticeMs: number): Promise<void> {
  const untilMs = performance.now() + noticeMs;
  for (;;) {
    run.signal.throwIfAborted();
    const batch = await takeBatch(ends, route, 2_000);
    if (batch.complete && performance.now() >= untilMs) return;
    if (batch.changes < 50) await sleep(5);
  }
}

async function cross(
  run: Run,
  route: Route,
  ends: Ends,
  options: SwitchOptions,
): Promise<Timeline> {
  const { origin, destination } = route;
  const epoch = ((await readControl(origin.main))?.epoch ?? 0) + 1;
  for (let attempt = 1; ; attempt += 1) {
    run.signal.throwIfAborted();
    const { key, lock } = makeOpeningKey();
    const fenceId = makeId();
    const sequences = await sequenceQueries(route);
    // Nobody knows the key before the origin retires, so the lock may wait there already.
    if (!(await makeReady(destination.main, lock, epoch))) {
      throw new Failure(`${destination.side} cannot be opened; see "migrate status".`);
    }
    const startedMs = performance.now();
    const steps: { step: string; ms: number }[] = [];
    const mark = (step: string) => {
      const ms = Math.round((performance.now() - startedMs) * 10) / 10;
      steps.push({ step, ms });
      return ms;
    };
    try {
      // Who polls begins to wait; who does not is waited out or refused by the fence.
      await hold(origin.main, options.holdMsMax);
      mark('held');
      await fenceTables(origin.main, mappedTables(run.routes, origin.side), fenceId, options);
      mark('fenced');
      const heldMs = await atExactPoint(ends, route, async () => {
        mark('drained and compared');
        await moveSequences(route, sequences);
        mark('sequences moved');
        if (!(await retire(origin.main, fenceId, key))) {
          throw new Failure(
            `${origin.side} went back to live before it could retire: the fence ran out after ` +
              `${options.holdMsMax} ms. Nothing was lost or switched.`,
          );
        }
        mark('retired');
        // Where a client was faster, the side is open all the same.
        await open(destination.main, key);
        return mark('open');
      });
      return { from: origin.side, to: destination.side, epoch, attempts: attempt, steps, heldMs };
    } catch (error) {
      await retreat(origin, destination, fenceId);
      // lock_not_available, deadlock_detected: writers in flight were not done; let them pass.
      const busy = ['55P03', '40P01'].includes(sqlStateOf(error));
      if (!busy) throw error;
      if (attempt >= options.attemptsMax) throw await tooBusy(run, origin, error);
      run.report.line(`attempt ${attempt}: writers in flight; they pass, then it is tried again`);
      await takeBatch(ends, route, 5_000);
      await sleep(100 + 50 * attempt);
    }
  }
}

/** Waits out the writers in flight, at most `lockMsMax`, and lets none pass after them. */
async function fenceTables(
  client: pg.Client,
  tables: readonly TableName[],
  fenceId: string,
  options: SwitchOptions,
): Promise<void> {
  await inTransaction(client, async () => {
    await client.query(
      `set local lock_timeout = '${options.lockMsMax}ms'; ${yieldAutovacuum};
       lock table ${tables.map(quotedTable).join(', ')} in exclusive mode`,
    );
    if (!(await fence(client, fenceId, options.holdMsMax))) {
      throw new Failure('The side that was to be fenced is not live any more: "migrate status".');
    }
  });
}

/**
 * Back to live, if this fence is still ours. Where the side has retired, or may have, nothing is
 * touched: the lock on the other side is what opens it.
 */
async function retreat(origin: Database, destination: Database, fenceId: string): Promise<void> {
  const row = await readControl(origin.main).catch(() => undefined);
  const lifted = await unfence(origin.main, fenceId).catch(() => false);
  if (!lifted && row?.state !== 'live') return;
  await release(origin.main).catch(() => {});
  await forgetReady(destination.main).catch(() => {});
}

async function tooBusy(run: Run, origin: Database, error: unknown): Promise<Failure> {
  const holders = await holdersOf(origin.main, mappedTables(run.routes, origin.side));
  return new Failure(
    `Writers in flight never let go of the tables, so nothing was switched. ${holders} ` +
      'End the long ones and start again.',
    { cause: error },
  );
}

/** A question to each side, and which sequences of the destination the answers are for. */
interface SequenceQueries {
  readonly origin: string;
  readonly destination: string;
  readonly sequences: readonly TableName[];
}

/**
 * How far numbers have been issued, per sequence of the destination: the sequence of the origin that
 * it is mapped from, and the greatest value in the column that it belongs to.
 */
async function sequenceQueries(route: Route): Promise<SequenceQueries> {
  const targets = route.tables.map(({ target }) => target);
  const owned = await ownedSequences(route.destination.main, targets);
  const sequences = new Map<string, TableName>();
  for (const { sequence } of owned) sequences.set(textOf(sequence), sequence);
  for (const { to } of route.sequences) sequences.set(textOf(to), to);
  const position = (to: TableName) => [...sequences.keys()].indexOf(textOf(to));
  const none = 'select -1 as at, 0::bigint as value';
  return {
    origin: [
      none,
      ...route.sequences.map(
        ({ from, to }) => `select ${position(to)}, s.last_value from ${quotedTable(from)} s`,
      ),
    ].join(' union all '),
    destination: [
      none,
      ...owned.map(
        ({ sequence, table, column }) =>
          `select ${position(sequence)}, max(t.${quoted(column)})::bigint
           from ${quotedTable(table)} t`,
      ),
    ].join(' union all '),
    sequences: [...sequences.values()],
  };
}

/** Puts every sequence of the destination past what was issued; none ever goes back. */
async function moveSequences(route: Route, queries: SequenceQueries): Promise<void> {
  if (queries.sequences.length === 0) return;
  type Row = { at: number; value: string | null };
  const [issued, stored] = await Promise.all([
    route.origin.main.query<Row>(queries.origin),
    route.destination.main.query<Row>(queries.destination),
  ]);
  const rows = [...issued.rows, ...stored.rows];
  const past = queries.sequences.map(() => 0n);
  for (const { at, value } of rows) {
    if (at >= 0 && BigInt(value ?? 0) > (past[at] ?? 0n)) past[at] = BigInt(value ?? 0);
  }
  await route.destination.main.query(
    queries.sequences
      .map(
        (sequence, at) =>
          `select setval(${literal(quotedTable(sequence))}, ${past[at]})
           from ${quotedTable(sequence)} s where s.last_value < ${past[at]}`,
      )
      .join(';\n'),
  );
}
