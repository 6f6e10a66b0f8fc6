import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Answer, Command, Input } from './command.ts';
import { readControl } from './control.ts';
import { type Database, openDatabase } from './database.ts';
import { Failure, sentenceOf, sqlStateOf } from './failure.ts';
import { takeLock } from './lock.ts';
import { loadMapping, type Mapping } from './mapping.ts';
import { mend } from './mend.ts';
import { type Report, type Run, standing } from './migration.ts';
import { resolveMapping } from './resolve.ts';
import { doneAlready, refusalOf } from './state.ts';

/** Where the databases are, when no option says it. */
export interface Places {
  readonly blue: string | undefined;
  readonly green: string | undefined;
}

/**
 * Runs one command: opens both databases, takes the lock where the command changes anything, ends
 * what a tool that died has left, and closes everything. `stop` aborted: it ends soon.
 */
export async function runCommand(
  command: Command,
  input: Input,
  places: Places,
  report: Report,
  stop: AbortSignal,
): Promise<Answer> {
  const mappingFile = input.text('mapping');
  if (mappingFile === undefined) throw new Failure('Say --mapping FILE.');
  const urls = { blue: urlOf('blue', input, places), green: urlOf('green', input, places) };
  const mapping = await loadMapping(mappingFile);
  const run = randomUUID().slice(0, 8);
  const use = command.exclusive ? 'work' : 'look';
  const lost = new AbortController();
  const onLost = (error: Error) => lost.abort(brokenOff(error));
  const opened: Database[] = [];
  const locks: pg.Client[] = [];
  try {
    const blue = await openDatabase('blue', urls.blue, run, use, onLost);
    opened.push(blue);
    const green = await openDatabase('green', urls.green, run, use, onLost);
    opened.push(green);
    if ((await identityOf(blue)) === (await identityOf(green))) {
      throw new Failure(
        `--blue and --green are one database (${blue.place}, ${green.place}). Say two.`,
      );
    }
    await refuseOthers(blue, green, mapping);
    if (command.exclusive) {
      for (const database of [blue, green]) {
        locks.push(await takeLock(urls[database.side], run, command.name, database, onLost));
      }
      await mend(blue, green, report);
    }
    const routes = await resolveMapping(mapping, blue, green);
    const signal = AbortSignal.any([lost.signal, stop]);
    const prepared: Run = { blue, green, mapping, routes, report, signal };
    if (command.act !== undefined) {
      const { phase } = await standing(blue, green, routes.forward.tables.length);
      const done = doneAlready(command.act, phase);
      if (done !== undefined) {
        report.line(done);
        return { phase };
      }
      const refusal = refusalOf(command.act, phase, command.name);
      if (refusal !== undefined) throw new Failure(refusal);
    }
    const work = () => command.run(prepared, input);
    const answer = await (command.exclusive ? work() : lookTwice(work));
    // Whoever goes on until it is asked to end was not asked: it only saw that it cannot go on.
    if (lost.signal.aborted) throw lost.signal.reason;
    return answer;
  } catch (error) {
    if (lost.signal.aborted) throw lost.signal.reason;
    // Who waited for something is told so in words of its own.
    if (stop.aborted && error instanceof Error && error.name === 'AbortError') throw stop.reason;
    throw isBreak(error) ? brokenOff(error) : error;
  } finally {
    await Promise.allSettled(opened.map((database) => database.close()));
    await Promise.allSettled(locks.map((client) => client.end()));
  }
}

/** Who only looks holds no lock: the tables of migrate may go meanwhile. Then they are not there. */
async function lookTwice(look: () => Promise<Answer>): Promise<Answer> {
  try {
    return await look();
  } catch (error) {
    // undefined_table, invalid_schema_name
    if (!['42P01', '3F000'].includes(sqlStateOf(error))) throw error;
    return look();
  }
}

const brokenOff = (error: unknown) =>
  new Failure(`A connection broke (${sentenceOf(error)}). Start the command again: it goes on.`, {
    cause: error,
  });

/** The server has ended a session, or the network did. */
function isBreak(error: unknown): boolean {
  const isTold = /^(57P|08|ECONNRESET$|ECONNREFUSED$|EPIPE$|ETIMEDOUT$)/.test(sqlStateOf(error));
  // The driver's own words, without a code.
  const words = /^Connection terminated|not queryable$/;
  return isTold || (error instanceof Error && words.test(error.message));
}

/**
 * Refuses databases that are not what their rows say: exchanged, of two migrations, or of another
 * mapping's. Everything is done by what a side is called, so `abort` would empty the wrong one.
 */
async function refuseOthers(blue: Database, green: Database, mapping: Mapping): Promise<void> {
  const rows = { blue: await readControl(blue.main), green: await readControl(green.main) };
  for (const { side, place } of [blue, green]) {
    const row = rows[side];
    if (row === undefined) continue;
    if (row.side !== side) {
      throw new Failure(
        `--${side} (${place}) is ${row.side} in its migration: exchange --blue and --green.`,
      );
    }
    if (row.mapping !== mapping.name) {
      throw new Failure(
        `A migration by mapping "${row.mapping}" is under way in ${place}; this is "${mapping.name}". ` +
          'Name that mapping, or end that migration with it by "migrate finish" or "migrate abort" first.',
      );
    }
  }
  const [one, other] = [rows.blue?.migrationId, rows.green?.migrationId];
  if (one !== undefined && other !== undefined && one !== other) {
    throw new Failure(
      `${blue.place} and ${green.place} belong to two migrations by mapping "${mapping.name}": look ` +
        'which of --blue and --green is the right one.',
    );
  }
}

/** Two servers never began in the same microsecond with a database of one name. */
async function identityOf({ main }: Database): Promise<string | undefined> {
  const { rows } = await main.query<{ identity: string }>(
    `select format('%s %s %s', pg_postmaster_start_time(), d.oid, d.datname) as identity
     from pg_database d where d.datname = current_database()`,
  );
  return rows[0]?.identity;
}

function urlOf(side: 'blue' | 'green', input: Input, places: Places): string {
  const url = input.text(side) ?? places[side];
  if (url === undefined || url === '') {
    throw new Failure(`Say --${side} URL, or set MIGRATE_${side.toUpperCase()}_URL.`);
  }
  // The value itself may hold a password.
  if (!/^(postgres(ql)?:\/\/|socket:|\/)/.test(url)) {
    throw new Failure(`--${side} is no URL: write postgres://user@host:5432/database.`);
  }
  return url;
}
