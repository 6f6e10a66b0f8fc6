import type { Side } from './database.ts';
import { Failure } from './failure.ts';

/** What a control row says of its database. */
export type State = 'copy' | 'live' | 'fenced' | 'retired';

/** What both databases say of themselves; nothing of this is kept anywhere else. */
export interface Observed {
  /** Undefined: that database has no control row. */
  readonly blue: State | undefined;
  readonly green: State | undefined;
  /** "migrate prepare" came to its end, and no abort has begun. */
  readonly prepared: boolean;
  /** Every table of the mapping was cut into ranges, and every range was copied. */
  readonly copied: boolean;
  /** Indexes that were set aside for the copy were made again. */
  readonly built: boolean;
}

/**
 * How far a migration is:
 * - `none`: nothing is there; `partial`: prepare or abort died half-way; `finishing`: green is in use,
 *   and one of the two is free of the tool: blue still refuses writes, or somebody has cleared it
 * - `copying`, `building`: green is filled, then gets its indexes back
 * - `following`: green is kept in step; `watching`: green is live and blue is kept in step;
 *   `returned`: blue is live again and green is kept in step
 * - `fenced`: a switch is under way, or died; `opening`: one side has retired, none is open
 */
export type Phase =
  | 'none'
  | 'partial'
  | 'finishing'
  | 'copying'
  | 'building'
  | 'following'
  | 'fenced'
  | 'opening'
  | 'watching'
  | 'returned';

/** Reads the phase off the two control rows. Throws for two live databases: migrate makes none. */
export function phaseOf({ blue, green, prepared, copied, built }: Observed): Phase {
  if (blue === undefined && green === undefined) return 'none';
  if (green === undefined && blue === 'retired') return 'finishing';
  if (blue === undefined && green === 'live') return 'finishing';
  if (blue === undefined || green === undefined) return 'partial';
  if (blue === 'live' && green === 'live') {
    throw new Failure(
      'Both databases say that they are live. migrate makes no two: one of them is a backup or a replica ' +
        'from before the last switch. Take it from the network; the one of the greater epoch is in use.',
    );
  }
  if (blue === 'fenced' || green === 'fenced') return 'fenced';
  if (green === 'live') return 'watching';
  if (blue !== 'live') return 'opening';
  if (!prepared) return 'partial';
  if (green === 'retired') return 'returned';
  if (!copied) return 'copying';
  return built ? 'following' : 'building';
}

/** Commands that act on both databases. */
export type Act =
  | 'prepare'
  | 'copy'
  | 'follow'
  | 'verify'
  | 'switch'
  | 'watch'
  | 'repair'
  | 'rollback'
  | 'finish'
  | 'abort';

/** In which phases a command may begin; every one of them may also be begun again where it died. */
const begins: Readonly<Record<Act, readonly Phase[]>> = {
  prepare: ['none', 'partial', 'copying'],
  copy: ['copying', 'building', 'following'],
  follow: ['building', 'following'],
  verify: ['following', 'watching', 'returned'],
  switch: ['following', 'returned'],
  watch: ['watching', 'returned'],
  repair: ['following', 'watching', 'returned'],
  rollback: ['watching'],
  finish: ['watching', 'finishing'],
  abort: ['partial', 'copying', 'building', 'following', 'returned'],
};

/**
 * In which phases what a command is for is done already: begun again where it died behind its last
 * step, or where others have ended what it left, it has only to say so.
 */
const done: Readonly<Partial<Record<Act, readonly Phase[]>>> = {
  switch: ['watching'],
  rollback: ['copying', 'building', 'following', 'returned'],
  finish: ['none'],
  abort: ['none'],
};

const next: Readonly<Record<Phase, string>> = {
  none: 'Nothing of migrate is in either database: "migrate prepare" comes first.',
  partial: 'A "migrate prepare" or "migrate abort" died half-way: the same command again ends it.',
  finishing:
    'Green is in use, and nothing of migrate is left in one of the two. "migrate finish" takes the rest ' +
    'away; where that is on blue, blue takes writes again then: only when nobody uses it.',
  copying: 'Green is being filled: "migrate copy" goes on with it.',
  building: 'Green is filled and needs its indexes: "migrate follow" makes them.',
  following: 'Green is in step with blue: "migrate verify", then "migrate switch".',
  fenced: 'A switch is under way, or died: any command that works on both databases ends it.',
  opening: 'Blue and green are both retired: any command that works on both opens the right one.',
  watching:
    'Green is live: "migrate watch" keeps blue in step, "migrate rollback" goes back, "migrate finish" ends.',
  returned:
    'Blue is live again: "migrate watch" keeps green in step, "migrate switch" goes forward again, "migrate abort" ends.',
};

/** What to do in a phase, in a sentence. */
export function adviceOf(phase: Phase): string {
  return next[phase];
}

/** In which phases a command may begin. */
export function phasesOf(act: Act): readonly Phase[] {
  return begins[act];
}

/** What a command says where it finds done what it is for; undefined: it is not. */
export function doneAlready(act: Act, phase: Phase): string | undefined {
  if (done[act]?.includes(phase) !== true) return undefined;
  return `Nothing is left to do by "migrate ${act}" in phase "${phase}". ${next[phase]}`;
}

/** Why a command that does this cannot begin now; undefined: it can. */
export function refusalOf(act: Act, phase: Phase, command: string = act): string | undefined {
  if (begins[act].includes(phase)) return undefined;
  return `"migrate ${command}" has nothing to do in phase "${phase}". ${next[phase]}`;
}

/** Where writes come from and where they are brought, in a phase; undefined: nothing is in step yet. */
export function flowOf(phase: Phase): { readonly from: Side; readonly to: Side } | undefined {
  if (phase === 'watching') return { from: 'green', to: 'blue' };
  if (phase === 'building' || phase === 'following' || phase === 'returned') {
    return { from: 'blue', to: 'green' };
  }
  return undefined;
}

/** What has to be done about a tool that died in the middle of a switch. */
export type Mending =
  | { readonly mend: 'nothing' }
  /** The fence is lifted: its side was never retired. */
  | { readonly mend: 'unfence'; readonly side: Side }
  /** The other side retired in favour of this one: it is opened with the key published there. */
  | { readonly mend: 'open'; readonly side: Side };

/** A control row as far as mending needs it. */
export interface Wound {
  readonly state: State;
  readonly epoch: number;
  readonly hasOpeningKey: boolean;
}

/** Decides it from both rows, for the holder of the lock. */
export function mendingOf(blue: Wound, green: Wound): Mending {
  if (blue.state === 'fenced') return { mend: 'unfence', side: 'blue' };
  if (green.state === 'fenced') return { mend: 'unfence', side: 'green' };
  if (blue.state === 'live' || green.state === 'live') return { mend: 'nothing' };
  // The side with the greater epoch was live last; its key is the one that counts.
  const last = blue.epoch >= green.epoch ? 'blue' : 'green';
  const row = last === 'blue' ? blue : green;
  if (row.state !== 'retired' || !row.hasOpeningKey) return { mend: 'nothing' };
  return { mend: 'open', side: last === 'blue' ? 'green' : 'blue' };
}
