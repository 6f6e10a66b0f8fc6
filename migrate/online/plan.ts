import type pg from 'pg';
import { quoted } from './blockers.ts';
import type { Hold } from './form.ts';
import { formOf } from './forms.ts';
import type { Reading } from './lint.ts';
import type { LockMode } from './lock.ts';
import type { Judged, Step } from './script.ts';

/** What a pending migration would do, statement by statement. */
export interface PlannedStatement {
  readonly migration: number;
  readonly direction: Reading['direction'];
  readonly step: number;
  readonly kind: Step['kind'];
  readonly line: number;
  readonly sql: string;
  readonly locks: readonly PlannedLock[];
  /** A rough guess from the size of the tables now; see `bytesPerSecond`. */
  readonly secondsAbout: number;
}

export interface PlannedLock {
  readonly relation: string;
  readonly lock: LockMode;
  readonly hold: Hold;
  readonly form: string;
  /** Made by the same migration: nobody waits for it. */
  readonly isFresh: boolean;
}

/** In place of a form, where what a statement locks is not known. */
export const unknownForm = 'unknown-statement';

/** What a machine of modest size does when nothing else is in the way. */
const bytesPerSecond: Readonly<Record<Hold, number>> = {
  brief: Number.POSITIVE_INFINITY,
  'until commit': Number.POSITIVE_INFINITY,
  scan: 200e6,
  rewrite: 50e6,
};
/** Sorting for an index, and batches with their rests, go slower than reading. */
const indexBytesPerSecond = 60e6;
const batchBytesPerSecond = 5e6;

/** Says of each statement what it locks, and guesses how long it takes on this database. */
export async function planOf(
  client: pg.Client,
  readings: readonly Reading[],
): Promise<readonly PlannedStatement[]> {
  const planned: PlannedStatement[] = [];
  for (const { migration, direction, steps, fresh } of readings) {
    const before = direction === 'down' ? migration.downLine - 1 : 0;
    for (const [index, step] of steps.entries()) {
      for (const statement of step.statements) {
        planned.push({
          migration: migration.number,
          direction,
          step: index + 1,
          kind: step.kind,
          line: statement.line + before,
          sql: statement.text,
          locks: locksOf(statement, fresh),
          secondsAbout: await secondsOf(client, statement, fresh),
        });
      }
    }
  }
  return planned;
}

/** What a statement locks; `fresh`: what its migration made itself. */
export function locksOf(statement: Judged, fresh: ReadonlySet<string>): readonly PlannedLock[] {
  return statement.uses.flatMap(({ form: id, relation, also = [] }): readonly PlannedLock[] => {
    if (id === undefined) {
      const isFresh = fresh.has(relation);
      return [{ relation, lock: 'NONE', hold: 'until commit', form: unknownForm, isFresh }];
    }
    const form = formOf(id);
    const lock = (name: string, mode: LockMode): PlannedLock => ({
      relation: name,
      lock: mode,
      hold: form.hold,
      form: id,
      isFresh: fresh.has(name),
    });
    return [
      ...(form.lock === 'NONE' ? [] : [lock(relation, form.lock)]),
      ...also.flatMap((one) => (form.also === undefined ? [] : [lock(one, form.also.lock)])),
    ];
  });
}

async function secondsOf(
  client: pg.Client,
  statement: Judged,
  fresh: ReadonlySet<string>,
): Promise<number> {
  let seconds = 0;
  for (const { form: id, relation } of statement.uses) {
    if (id === undefined || relation === '' || fresh.has(relation)) continue;
    const { hold } = formOf(id);
    const rate =
      statement.batch !== undefined
        ? batchBytesPerSecond
        : /index/.test(id)
          ? indexBytesPerSecond
          : bytesPerSecond[hold];
    if (hold === 'brief' && statement.batch === undefined) continue;
    seconds += (await bytesOf(client, relation)) / rate;
  }
  return Math.round(seconds * 10) / 10;
}

async function bytesOf(client: pg.Client, relation: string): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    'select coalesce(pg_table_size(to_regclass($1)), 0)::text as bytes',
    [quoted(relation)],
  );
  return Number(rows[0]?.bytes ?? 0);
}
