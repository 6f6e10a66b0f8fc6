import { type Dice, throwDice } from '../../e2e/kill/dice.ts';
import { type Point, pointShape } from './point.ts';

/** What may happen; docs/migrate/chaos.md says what each does. */
export const kinds = [
  'kill-tool',
  'kill-app',
  'kill-blue',
  'kill-green',
  'freeze',
  'cut',
  'clock',
  'two-tools',
  'disk-full',
  'bad-row',
] as const;
export type Kind = (typeof kinds)[number];

/** The commands during which it happens. */
export const phases = [
  'plan',
  'prepare',
  'copy',
  'follow',
  'verify',
  'switch',
  'watch',
  'rollback',
  'finish',
  'abort',
] as const;
export type Phase = (typeof phases)[number];

/** Everything that a seed decides. */
export interface Plan {
  readonly seed: number;
  readonly phase: Phase;
  readonly kind: Kind;
  readonly point: Point;
  /** For decisions on the way. */
  readonly dice: Dice;
}

const only: Partial<Record<Kind, readonly Phase[]>> = {
  // Where the tool writes to green, and nobody else does.
  'disk-full': ['copy', 'follow', 'switch'],
  'bad-row': ['copy', 'follow', 'verify', 'switch', 'watch', 'rollback', 'finish'],
};

/** What is worth more than one seed in a hundred. */
const again: readonly (readonly [Phase, Kind])[] = [
  ['switch', 'kill-tool'],
  ['switch', 'kill-tool'],
  ['switch', 'kill-blue'],
  ['switch', 'kill-green'],
  ['switch', 'freeze'],
  ['switch', 'freeze'],
  ['switch', 'cut'],
  ['rollback', 'kill-tool'],
  ['rollback', 'freeze'],
  ['rollback', 'cut'],
];

/** Every phase with everything that may happen in it: a hundred seeds in a row have each once. */
const pairs: readonly (readonly [Phase, Kind])[] = [
  ...kinds.flatMap((kind) =>
    (only[kind] ?? phases).map((phase): readonly [Phase, Kind] => [phase, kind]),
  ),
  ...again,
];

/** Coprime to the number of pairs, so that neighbours differ. */
const stride = 37;

/** What a seed stands for; with `kind` only such pairs are drawn. */
export function planOf(seed: number, kind: Kind | undefined): Plan {
  const of = pairs.filter(([, candidate]) => kind === undefined || candidate === kind);
  const [phase, drawn] = of[(seed * stride) % of.length] ?? ['switch', 'kill-tool'];
  const dice = throwDice(seed);
  return { seed, phase, kind: drawn, point: pointOf(phase, drawn, dice), dice };
}

type Named = readonly [name: string, moment: Point['moment'], ...statements: string[]];

const fenced = "set state = 'fenced'";
const retired = "set state = 'retired'";
const opened = 'select migrate\\.open\\(';

/** After the fence is committed and before the retirement: whoever wakes up there is too late. */
export const betweenFenceAndRetirement: readonly Named[] = [
  ['fenced', 'after', fenced, '^commit'],
  ['drained', 'before', fenced, 'select setval'],
  ['before the retirement', 'before', retired],
];

const crossing: readonly Named[] = [
  ['before the hold', 'before', 'set hold_until = clock_timestamp'],
  ['held', 'after', 'set hold_until = clock_timestamp'],
  ['tables locked', 'after', 'in exclusive mode'],
  ['fence not committed', 'after', fenced],
  ...betweenFenceAndRetirement,
  ['retirement sent', 'sent', retired],
  ['retired', 'after', retired],
  ['opening sent', 'sent', opened],
  ['opened', 'after', opened],
  ['stepping down', 'after', opened, 'set near ='],
];

const transferring: readonly Named[] = [
  ['batch written', 'after', 'insert into migrate\\.batch'],
  ['batch committed', 'before', 'delete from migrate\\.change'],
  ['log deleted', 'after', 'delete from migrate\\.change'],
];

const named: Readonly<Record<Phase, readonly Named[]>> = {
  plan: [],
  prepare: [
    ['control tables', 'before', 'create schema migrate'],
    ['one side prepared', 'after', 'insert into migrate\\.control', '^commit'],
    ['capture of the first table', 'after', 'create trigger migrate_capture'],
    ['indexes set aside', 'before', '^drop index'],
  ],
  copy: [
    ['ranges cut', 'after', 'insert into migrate\\.range'],
    ['rows on their way', 'sent', '^copy .* from stdin'],
    ['range marked', 'after', 'update migrate\\.range'],
  ],
  follow: [
    ...transferring,
    ['index made', 'after', 'update migrate\\.set_aside'],
    ['built', 'before', '^vacuum'],
  ],
  verify: [
    ['ranges compared', 'after', 'update migrate\\.range'],
    ['at the exact point', 'before', 'json_agg\\(q\\)'],
  ],
  switch: crossing,
  watch: transferring,
  rollback: crossing,
  finish: [
    ['before green is cleared', 'before', '^drop trigger'],
    ['green cleared', 'after', 'drop schema migrate cascade'],
    ['before blue is cleared', 'before', 'drop schema migrate cascade', '^drop trigger'],
  ],
  abort: [
    ['blue cleared', 'after', 'drop schema migrate cascade'],
    ['green emptied', 'after', '^truncate'],
    ['before the last statement', 'before', '^truncate', 'drop schema migrate cascade'],
  ],
};

/** About so many statements a command sends with these tables. */
const statementsOf: Readonly<Record<Phase, number>> = {
  plan: 60,
  prepare: 150,
  copy: 200,
  follow: 120,
  verify: 150,
  switch: 400,
  watch: 60,
  rollback: 400,
  finish: 60,
  abort: 90,
};

function pointOf(phase: Phase, kind: Kind, dice: Dice): Point {
  const crosses = phase === 'switch' || phase === 'rollback';
  // A tool that sleeps through its fence is what freezing is most about.
  const from = kind === 'freeze' && crosses ? betweenFenceAndRetirement : named[phase];
  const choice = dice.chance(crosses ? 0.8 : 0.6) ? dice.pick(from) : undefined;
  if (choice === undefined) {
    const visit = 1 + dice.number(statementsOf[phase]);
    const moment = dice.pick(pointShape.shape.moment.options) ?? 'before';
    return { name: `statement ${visit}, ${moment}`, statements: ['.'], visit, moment };
  }
  const [name, moment, ...statements] = choice;
  return { name, statements, visit: 1, moment };
}
