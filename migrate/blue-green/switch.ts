import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { captureTable, isCaptured, setGuard, yieldAutovacuum } from './capture.ts';
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
import type { Database, Side } from './database.ts';
import { Failure, sqlStateOf } from './failure.ts';
import { atExactPoint, takeBatch, withEnds } from './follow.ts';
import { holdersOf } from './holders.ts';
import { type Run, routeOf, standing } from './migration.ts';
import { quotedTable, type TableName, textOf } from './names.ts';
import { mappedTables, type Route, sourcesOf } from './resolve.ts';
import {
  issuedNumbers,
  moveSequences,
  quickMoves,
  type SequenceMove,
  sequenceMoves,
  unknownEnds,
} from './sequence.ts';
import { type Ends, warm } from './transfer.ts';

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
  readonly from: Side;
  readonly to: Side;
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
  const moves = await getReady(run, route, options.attemptsMax);
  const before = await readControl(origin.main);
  await announceBoth(run, true, pollMsNear);
  try {
    return await withEnds(route, async (ends) => {
      await warm(ends, route);
      const noticeMs = Math.max((before?.pollMs ?? pollMsOrdinary) + pollMsNear, options.noticeMs);
      await shrink(run, ends, route, noticeMs);
      const crossing = { run, route, ends, moves, options, epoch: (before?.epoch ?? 0) + 1 };
      const timeline = await cross(crossing);
      await note(destination, 'switched', { ...timeline });
      return timeline;
    });
  } finally {
    await announceBoth(run, false, pollMsOrdinary).catch(() => {});
    await stepDown(run).catch(() => {});
  }
}

const stepDownAttempts = 3;

/**
 * Takes the guard off the live side: it costs its writers nothing more. Who still holds a table keeps
 * it armed there, which costs little, until the next switch; then this fails.
 */
export async function stepDown(run: Run): Promise<void> {
  const { blue, green } = await standing(run.blue, run.green, 0);
  const live = blue?.state === 'live' ? run.blue : green?.state === 'live' ? run.green : undefined;
  if (live === undefined) return;
  for (const table of mappedTables(run.routes, live.side)) {
    await setGuard(live.main, table, false, stepDownAttempts);
  }
}

/** All that can be done before anybody has to wait. */
async function getReady(
  run: Run,
  route: Route,
  attemptsMax: number,
): Promise<readonly SequenceMove[]> {
  const { origin, destination } = route;
  for (const { table } of sourcesOf(route)) {
    if (await isCaptured(origin.main, table)) continue;
    throw new Failure(
      `Changes of ${textOf(table)} in ${origin.side} are not captured: a trigger was taken away, or a ` +
        'partition came new. What was written there since is not known' +
        (origin.side === 'blue'
          ? ': "migrate abort" and begin anew.'
          : ' in blue, so there is no way back: "migrate finish" ends.'),
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
  const moves = await sequenceMoves(route);
  const unknown = unknownEnds(route, moves);
  if (unknown.length > 0) throw new Failure(unknown.join('\n'));
  await moveSequences(route, moves, await issuedNumbers(route, moves));
  // What was transferred and deleted would be stepped over by every batch of the switch.
  await origin.main.query('vacuum (skip_locked) migrate.change');
  return quickMoves(moves);
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
    const phase = `switch: what waits for ${route.destination.side}`;
    if (!batch.complete) run.report.progress({ phase, lagMs: batch.lagMs });
    if (batch.changes < 50) await sleep(5);
  }
}

/** What the attempts of one switch have in common. */
interface Crossing {
  readonly run: Run;
  readonly route: Route;
  readonly ends: Ends;
  readonly moves: readonly SequenceMove[];
  readonly options: SwitchOptions;
  readonly epoch: number;
}

async function cross(crossing: Crossing): Promise<Timeline> {
  const { run, route, ends, options, epoch } = crossing;
  const { origin, destination } = route;
  for (let attempt = 1; ; attempt += 1) {
    run.signal.throwIfAborted();
    const fenceId = makeId();
    try {
      const steps = await attemptOnce(crossing, fenceId);
      const heldMs = steps.at(-1)?.ms ?? 0;
      return { from: origin.side, to: destination.side, epoch, attempts: attempt, steps, heldMs };
    } catch (error) {
      await retreat(origin, destination, fenceId);
      if (!isBusy(error)) throw error;
      if (attempt >= options.attemptsMax) throw await tooBusy(run, origin, error);
      run.report.line(`attempt ${attempt}: writers in flight; they pass, then it is tried again`);
      await sleep(100 + 50 * attempt);
      await shrink(run, ends, route, 0);
    }
  }
}

/** Between the first step and the last nobody writes. Every step is one or two round trips. */
async function attemptOnce(crossing: Crossing, fenceId: string): Promise<Timeline['steps']> {
  const { run, route, ends, moves, options, epoch } = crossing;
  const { origin, destination } = route;
  const { key, lock } = makeOpeningKey();
  // Nobody knows the key before the origin retires, so the lock may wait there already.
  if (!(await makeReady(destination.main, lock, epoch))) {
    throw new Failure(`${destination.side} cannot be opened; see "migrate status".`);
  }
  await takeBatch(ends, route, 2_000);
  const startedMs = performance.now();
  const steps: { step: string; ms: number }[] = [];
  const mark = (step: string) => {
    steps.push({ step, ms: Math.round((performance.now() - startedMs) * 10) / 10 });
  };
  // Who polls begins to wait; who does not is waited out or refused by the fence, which is on its way
  // right behind.
  const held = hold(origin.main, options.holdMsMax, options.lockMsMax).then(() => mark('held'));
  const fenced = fenceTables(origin.main, mappedTables(run.routes, origin.side), fenceId, options);
  // Both are over before anything is taken back.
  await Promise.allSettled([held, fenced]);
  await Promise.all([held, fenced]);
  mark('fenced');
  const issued = issuedNumbers(route, moves);
  issued.catch(() => {}); // looked at below, unless the batch fails first
  return atExactPoint(ends, route, async () => {
    mark('drained and compared');
    await moveSequences(route, moves, await issued);
    mark('sequences moved');
    if (!(await retire(origin.main, fenceId, key))) {
      throw new Failure(
        `${origin.side} went back to live before it could retire: the fence ran out after ` +
          `${options.holdMsMax} ms. Nothing was lost or switched. Start again; --hold-ms gives it longer.`,
      );
    }
    mark('retired');
    // Where a client was faster, the side is open all the same.
    await open(destination.main, key);
    mark('open');
    return steps;
  });
}

/** lock_not_available, deadlock_detected: writers in flight were not done; let them pass. */
const isBusy = (error: unknown) => ['55P03', '40P01'].includes(sqlStateOf(error));

/**
 * How long the first try waits in the queue of a lock; each further one twice as long, but never as
 * long as deadlock_timeout (a second), after which PostgreSQL would end somebody.
 */
const firstTryMs = 15;
const tryMsMax = 240;
const pauseMs = 3;

/**
 * Waits out the writers in flight, at most `lockMsMax`, and lets none pass after them. In tries that
 * begin short: a writer that has written to one table may next want another that is locked here
 * already, and neither would get on. Between two tries it does.
 */
async function fenceTables(
  client: pg.Client,
  tables: readonly TableName[],
  fenceId: string,
  options: SwitchOptions,
): Promise<void> {
  const untilMs = performance.now() + options.lockMsMax;
  for (let tryMs = firstTryMs; ; tryMs = Math.min(tryMs * 2, tryMsMax)) {
    try {
      const lockMs = Math.max(1, Math.min(tryMs, Math.ceil(untilMs - performance.now())));
      if (await tryToFence(client, tables, fenceId, lockMs, options.holdMsMax)) return;
      break;
    } catch (error) {
      await client.query('rollback').catch(() => {});
      if (!isBusy(error) || performance.now() >= untilMs) throw error;
    }
    await sleep(pauseMs);
  }
  throw new Failure('The side that was to be fenced is not live any more: "migrate status".');
}

async function tryToFence(
  client: pg.Client,
  tables: readonly TableName[],
  fenceId: string,
  lockMs: number,
  holdMsMax: number,
): Promise<boolean> {
  const locked = tables.map(quotedTable).join(', ');
  // One round trip: where the lock is not had, the rest fails with it. The retirement flushes the
  // fence; where a crash undoes it before, the retirement finds no fence and nothing has happened.
  const [, , , fenced] = await Promise.all([
    client.query('begin'),
    client.query(
      `set local synchronous_commit = off; set local lock_timeout = '${lockMs}ms';
       ${yieldAutovacuum}`,
    ),
    client.query(`lock table ${locked} in exclusive mode`),
    fence(client, fenceId, holdMsMax),
    client.query('commit'),
  ]);
  return fenced;
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
  const holders = await holdersOf(origin.main, mappedTables(run.routes, origin.side), 'fence');
  return new Failure(
    `Writers in flight never let go of the tables, so nothing was switched. ${holders} ` +
      'End the long ones and start again.',
    { cause: error },
  );
}
