import { readControl } from './control.ts';
import { readDifferences } from './difference.ts';
import { pendingIn } from './follow.ts';
import { noWayBack, type Run, standing } from './migration.ts';
import { adviceOf, flowOf } from './state.ts';

/** How things stand, from both databases. */
export async function status(run: Run) {
  const tables = run.routes.forward.tables.length;
  const { phase, blue, green } = await standing(run.blue, run.green, tables);
  const flow = flowOf(phase);
  const origin = flow?.from === 'green' ? run.green : run.blue;
  const pending = blue && green ? await pendingIn(origin.main) : { pending: 0, lagMs: 0 };
  const ranges = green
    ? await rangeCounts(run)
    : { ranges: 0, copied: 0, rows: 0, secondsLeft: null };
  const differences = green ? (await readDifferences(run.green.main)).length : 0;
  return {
    phase,
    advice: phase === 'watching' && !run.routes.reverse ? noWayBack : adviceOf(phase),
    blue: blue ? { state: blue.state, epoch: blue.epoch } : null,
    green: green ? { state: green.state, epoch: green.epoch } : null,
    asked: (await askedOf(run)) ?? null,
    ...ranges,
    ...pending,
    differences,
  };
}

async function askedOf(run: Run) {
  const rows = [await readControl(run.blue.main), await readControl(run.green.main)];
  return rows.find((row) => row?.asked != null)?.asked;
}

async function rangeCounts(run: Run) {
  const { rows } = await run.green.main.query<{
    ranges: number;
    copied: number;
    rows: number;
    seconds_left: number | null;
  }>(
    `select count(*)::int as ranges, count(r.copied_at)::int as copied,
       coalesce(sum(r.copied_rows), 0)::float8 as rows,
       (extract(epoch from max(r.copied_at) - min(r.copied_at)) / nullif(count(r.copied_at), 0)
         * (count(*) - count(r.copied_at)))::float8 as seconds_left
     from migrate.range r`,
  );
  const [row] = rows;
  return {
    ranges: row?.ranges ?? 0,
    copied: row?.copied ?? 0,
    rows: row?.rows ?? 0,
    secondsLeft: row?.seconds_left ?? null,
  };
}

/** Two sentences and a table, for people. */
export function statusLines(found: Awaited<ReturnType<typeof status>>): readonly string[] {
  const side = (name: string, row: { state: string; epoch: number } | null) =>
    `${name}: ${row === null ? 'not prepared' : `${row.state}, epoch ${row.epoch}`}`;
  return [
    `phase: ${found.phase}`,
    found.advice,
    side('blue', found.blue),
    side('green', found.green),
    `copied: ${found.copied} of ${found.ranges} ranges, ${found.rows} rows` +
      (found.secondsLeft && found.copied < found.ranges
        ? `, about ${Math.ceil(found.secondsLeft)} s left`
        : ''),
    `pending: ${found.pending} changes, the oldest ${found.lagMs} ms old`,
    `differences found and not repaired: ${found.differences}`,
    ...(found.asked === null ? [] : [`asked to ${found.asked}`]),
  ];
}
