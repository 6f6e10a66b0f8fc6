import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { openToTool } from './apply.ts';
import { isCaptured } from './capture.ts';
import { isToEnd, note } from './control.ts';
import { cut } from './cut.ts';
import { inTransaction, withSession } from './database.ts';
import { Failure, sentenceOf } from './failure.ts';
import type { Run } from './migration.ts';
import { textOf } from './names.ts';
import { atPace, type Pace, type PaceOptions } from './pace.ts';
import { copyIn, copyOut, keyless, type ResolvedTable } from './projection.ts';
import { insertRanges, markCopied, readRanges, type StoredRange } from './range.ts';
import { sourcesOf } from './resolve.ts';

export interface CopyOptions extends PaceOptions {
  /** Rows a second at most, over all workers; undefined: as fast as it goes. */
  readonly rowsPerSecondMax: number | undefined;
}

/**
 * Fills green: every range by one COPY out of blue, with a snapshot of its own, piped into one
 * transaction of green that also marks the range. Begun again it goes on with what is not marked.
 */
export async function copy(run: Run, options: CopyOptions): Promise<'done' | 'stopped'> {
  const { report } = run;
  await refuseUncaptured(run);
  await cutRanges(run);
  const ranges = await readRanges(run.green.main);
  const queue = ranges.filter(({ copiedRows }) => copiedRows === null);
  let rowsDone = ranges.reduce((sum, { copiedRows }) => sum + (copiedRows ?? 0), 0);
  const before = rowsDone;
  const rowsAll = run.routes.forward.tables.reduce((sum, { target, rangeRows }) => {
    const of = ranges.filter(({ table }) => table === textOf(target));
    return sum + of.length * rangeRows;
  }, 0);
  const startedMs = performance.now();
  let stopped = false;
  const work = async (pace: Pace<StoredRange>) => {
    const each = async (origin: pg.Client, destination: pg.Client) => {
      for (let range = await pace.next(); range !== undefined; range = await pace.next()) {
        if (await isToEnd(destination, run.signal)) {
          stopped = true;
          return;
        }
        await restrain(run.signal, options.rowsPerSecondMax, rowsDone - before, startedMs);
        const rows = await copyRange(run, tableOf(run, range), range, origin, destination);
        rowsDone += rows;
        const seconds = (performance.now() - startedMs) / 1000;
        const rowsPerSecond = (rowsDone - before) / seconds;
        const slowed = pace.slowed();
        report.progress({ phase: 'copy', rowsDone, rowsAll, rowsPerSecond, slowed });
      }
    };
    await withSession(
      run.blue,
      (origin) => withSession(run.green, (destination) => each(origin, destination), 'plain'),
      'plain',
    );
  };
  await atPace(run.signal, run.blue, options, queue, work);
  run.signal.throwIfAborted();
  if (stopped) {
    report.line(`copy: stopped after ${rowsDone} rows; "migrate copy" goes on`);
    return 'stopped';
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const rowsPerSecond = Math.round((rowsDone - before) / seconds);
  if (rowsDone > before) {
    await note(run.green, 'copied', { rows: rowsDone, seconds, rowsPerSecond });
  }
  report.line(
    `copy: ${rowsDone} rows, ${rowsDone - before} of them now, in ${seconds.toFixed(1)} s ` +
      `(${rowsPerSecond} rows/s)`,
  );
  return 'done';
}

function tableOf(run: Run, range: StoredRange): ResolvedTable {
  const table = run.routes.forward.tables.find(({ target }) => textOf(target) === range.table);
  if (table === undefined) {
    throw new Failure(
      `Green was prepared for ${range.table}, which the mapping does not fill any more. ` +
        'Use the mapping that it was prepared with, or "migrate abort" and prepare again.',
    );
  }
  return table;
}

/** Cuts every table that is not cut yet. */
async function cutRanges(run: Run): Promise<void> {
  const known = new Set((await readRanges(run.green.main)).map(({ table }) => table));
  for (const table of run.routes.forward.tables) {
    const name = textOf(table.target);
    if (known.has(name)) continue;
    await refuseKeyless(run, table);
    const ranges = await cut(run, run.blue.main, table, null);
    await insertRanges(run.green.main, name, ranges);
  }
}

/** What is written to a table while it is copied has to be logged, or nobody brings it. */
async function refuseUncaptured({ blue, routes }: Run): Promise<void> {
  for (const { table } of sourcesOf(routes.forward)) {
    if (await isCaptured(blue.main, table)) continue;
    throw new Failure(
      `Changes of ${textOf(table)} in blue are not captured: "migrate prepare" comes first.`,
    );
  }
}

/** A row without key lies in no range: it would stay behind, and nothing would say so. */
async function refuseKeyless(run: Run, table: ResolvedTable): Promise<void> {
  const { rowCount } = await run.blue.main.query(keyless(table));
  if (rowCount === 0) return;
  throw new Failure(
    `${textOf(table.target)}: the projection gives rows without a key (${table.key.join(', ')} is null), ` +
      'which green cannot have. Leave them out by "where", or give them a key.',
  );
}

async function copyRange(
  run: Run,
  table: ResolvedTable,
  range: StoredRange,
  origin: pg.Client,
  destination: pg.Client,
): Promise<number> {
  try {
    return await inTransaction(destination, async () => {
      await openToTool(destination, run.routes.forward);
      const digest = createHash('sha256');
      let bytes = 0;
      const meter = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          digest.update(chunk);
          bytes += chunk.length;
          done(null, chunk);
        },
      });
      const out = origin.query(copyTo(copyOut(table, range)));
      const into = destination.query(copyFrom(copyIn(table)));
      await pipeline(out, meter, into, { signal: run.signal });
      const rows = into.rowCount;
      await markCopied(destination, { id: range.id, rows, bytes, sha256: digest.digest() });
      return rows;
    });
  } catch (error) {
    run.signal.throwIfAborted();
    const from = range.low === null ? 'the beginning' : `(${range.low.join(', ')})`;
    const where =
      error instanceof Error && 'where' in error && typeof error.where === 'string'
        ? ` [${error.where}]`
        : '';
    throw new Failure(
      `${range.table}, range ${range.id} from ${from}: ${sentenceOf(error)}${where}. Nothing of this ` +
        'range was kept. Mend the mapping or the row, then start "migrate copy" again.',
    );
  }
}

/** Waits as long as the copy is faster than allowed. */
async function restrain(
  signal: AbortSignal,
  rowsPerSecondMax: number | undefined,
  rows: number,
  startedMs: number,
): Promise<void> {
  if (rowsPerSecondMax === undefined) return;
  const waitMs = startedMs + (rows / rowsPerSecondMax) * 1000 - performance.now();
  if (waitMs > 0) await sleep(waitMs, undefined, { signal });
}
