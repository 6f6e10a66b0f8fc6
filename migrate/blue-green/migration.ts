import type { Control } from './control.ts';
import { readControl } from './control.ts';
import type { Database } from './database.ts';
import { Failure } from './failure.ts';
import type { Mapping } from './mapping.ts';
import type { Route, Routes } from './resolve.ts';
import { flowOf, type Phase, phaseOf } from './state.ts';

/** What a command says while it works; a screen or lines are made of it. */
export interface Report {
  /** A sentence that stays. */
  line(text: string): void;
  /** Where it is; replaces what was said before. */
  progress(progress: Progress): void;
}

export interface Progress {
  readonly phase: string;
  readonly rowsDone?: number;
  readonly rowsAll?: number;
  readonly rowsPerSecond?: number;
  readonly lagMs?: number;
  readonly pending?: number;
  /** Why it goes slower than it could. */
  readonly slowed?: string | undefined;
}

/** A run of the tool: both databases, the mapping fitted to them, and who listens. */
export interface Run {
  readonly blue: Database;
  readonly green: Database;
  readonly mapping: Mapping;
  readonly routes: Routes;
  readonly report: Report;
  /** Aborted when the lock is lost, or the operator asks to end. */
  readonly signal: AbortSignal;
}

/** What both databases say now. */
export interface Standing {
  readonly phase: Phase;
  readonly blue: Control | undefined;
  readonly green: Control | undefined;
}

/** Reads the phase off both databases. */
export async function standing(blue: Database, green: Database, tables: number): Promise<Standing> {
  const read = () => Promise.all([readControl(blue.main), readControl(green.main)]);
  let [blueRow, greenRow] = await read();
  // Who only looks holds no lock: of two that say so one answer may be from before a switch.
  if (blueRow?.state === 'live' && greenRow?.state === 'live') [blueRow, greenRow] = await read();
  const filled = greenRow === undefined ? nothingDone : await filling(green, tables);
  const phase = phaseOf({ blue: blueRow?.state, green: greenRow?.state, ...filled });
  return { phase, blue: blueRow, green: greenRow };
}

const nothingDone = { prepared: false, copied: false, built: false };

async function filling(green: Database, tables: number) {
  const { rows } = await green.main.query<typeof nothingDone>(
    `select exists (select 1 from migrate.event e where e.kind = 'prepared') as prepared,
       (select count(distinct r.target_table) from migrate.range r) >= $1
         and not exists (select 1 from migrate.range r where r.copied_at is null) as copied,
       exists (select 1 from migrate.event e where e.kind = 'built') as built`,
    [tables],
  );
  return rows[0] ?? nothingDone;
}

/** What to do once green is live, where the mapping has no way back. */
export const noWayBack =
  'Green is live, and the mapping has no "reverse": blue is not kept in step, and nothing can be ' +
  'compared or taken back. "migrate finish" ends.';

/** The route on which writes are brought in a phase. Throws where nothing is in step. */
export function routeOf(run: Run, phase: Phase): Route {
  const flow = flowOf(phase);
  if (flow === undefined) throw new Error(`nothing flows in phase ${phase}`);
  const route = flow.from === 'blue' ? run.routes.forward : run.routes.reverse;
  if (route === undefined) throw new Failure(noWayBack);
  return route;
}
