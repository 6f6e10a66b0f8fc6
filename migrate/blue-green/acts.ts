import type { Answer, Input } from './command.ts';
import { ask, endIfAsked, note } from './control.ts';
import { copy } from './copy.ts';
import type { Side } from './database.ts';
import { Failure } from './failure.ts';
import { follow } from './follow.ts';
import { isLocked } from './lock.ts';
import { type Run, standing } from './migration.ts';
import type { PaceOptions } from './pace.ts';
import { plan } from './plan.ts';
import { prepare } from './prepare.ts';
import { ordersFound, repair } from './repair.ts';
import { sample } from './report.ts';
import { adviceOf } from './state.ts';
import { switchOver } from './switch.ts';
import { isSound, type Verdict, verify } from './verify.ts';

const paceAsked = (input: Input): PaceOptions => ({
  workers: input.count('workers', 4),
  activeMax: input.countIfGiven('active-max'),
  replicaLagMsMax: input.countIfGiven('replica-lag-ms'),
});

/** Fills green. */
export async function runCopy(run: Run, input: Input): Promise<Answer> {
  const rowsPerSecondMax = input.countIfGiven('rows-per-second');
  const outcome = await copy(run, { ...paceAsked(input), rowsPerSecondMax });
  return { outcome };
}

/** Keeps the other side in step. */
export async function runFollow(run: Run, input: Input): Promise<Answer> {
  await follow(run, {
    batchMax: input.count('batch', 5_000),
    intervalMs: input.count('interval-ms', 200),
    untilCaughtUp: input.flag('once'),
  });
  return {};
}

/** So many rows are named in one answer; all of them are kept for `repair`. */
const differencesSaid = 1_000;

/** Compares both sides, lists what it finds, and refuses where they differ. */
export async function verified(run: Run, input: Input): Promise<Verdict> {
  const verdict = await verify(run, {
    ...paceAsked(input),
    all: input.flag('all'),
    differencesMax: input.count('differences-max', 200_000),
  });
  for (const { side, table, key, kind } of verdict.differences.slice(0, 20)) {
    run.report.line(`${side}: ${table} ${JSON.stringify(key)} ${kind}`);
  }
  for (const sentence of verdict.broken) run.report.line(sentence);
  const { rows, ranges, untouched, ms, differences, broken } = verdict;
  if (!isSound(verdict)) {
    throw new Failure(
      `verify: ${differences.length}${verdict.more ? ' or more' : ''} rows differ, ` +
        `${broken.length} checks do not hold (${rows} rows compared in ${ms} ms). ` +
        '"migrate repair --side ... --found" restores rows from the other side.',
      { found: { ...verdict, differences: differences.slice(0, differencesSaid) } },
    );
  }
  const rest = untouched > 0 ? `, ${untouched} others are untouched since they agreed` : '';
  run.report.line(
    `verify: ${rows} rows in ${ranges} ranges agree${rest}, every check holds (${ms} ms)`,
  );
  return verdict;
}

/** A verdict as the answer of a command. */
export const answerOf = (verdict: Verdict): Answer => ({ ...verdict });

/** What the databases do is sampled for so long before and after a switch. */
const figuresSeconds = 1;

/** Verifies and switches, and prints what took how long. */
export async function runSwitch(run: Run, input: Input): Promise<Answer> {
  if (!input.flag('no-verify')) await verified(run, input);
  // From here on it takes seconds, and for some of them writers are told to wait.
  await endIfAsked(run.green.main, run.signal);
  const { phase } = await standing(run.blue, run.green, run.routes.forward.tables.length);
  const before = await sample(run, phase === 'watching' ? 'green' : 'blue', figuresSeconds);
  const timeline = await switchOver(run, {
    holdMsMax: input.count('hold-ms', 2_000),
    lockMsMax: input.count('lock-ms', 100),
    attemptsMax: input.count('attempts', 10),
    noticeMs: 0,
  });
  for (const { step, ms } of timeline.steps)
    run.report.line(`  ${String(ms).padStart(8)} ms  ${step}`);
  run.report.line(
    `${timeline.to} is live (epoch ${timeline.epoch}); writes were held for ${timeline.heldMs} ms`,
  );
  const after = await sample(run, timeline.to, figuresSeconds);
  await note(run.green, 'figures before', before);
  await note(run.green, 'figures after', after);
  return { ...timeline };
}

/** Leaves a word for the tool that works; false: none does. */
export async function askTool(run: Run, word: 'pause' | 'stop' | null): Promise<boolean> {
  const { phase, blue, green } = await standing(run.blue, run.green, 0);
  if (phase === 'none') throw new Failure(adviceOf(phase));
  if (blue !== undefined) await ask(run.blue.main, word);
  if (green !== undefined) await ask(run.green.main, word);
  return isLocked(run.blue.main);
}

/** Restores the rows that the options name. */
export async function runRepair(run: Run, input: Input): Promise<Answer> {
  const side = sideOf(input);
  const table = input.text('table');
  if (input.flag('found') === (table !== undefined)) {
    throw new Failure('Say either --found, or --table and at least one --key.');
  }
  const orders =
    table === undefined
      ? await ordersFound(run, side)
      : [{ side, table: table.includes('.') ? table : `public.${table}`, keys: keysOf(input) }];
  const rows = await repair(run, orders);
  const from = side === 'blue' ? 'green' : 'blue';
  run.report.line(`${rows} rows of ${side} restored from ${from}`);
  return { rows };
}

/** A number beyond these has become another one when it was read. */
const isExact = (part: unknown) =>
  typeof part === 'number' ? Math.abs(part) <= Number.MAX_SAFE_INTEGER : typeof part === 'string';

function keysOf(input: Input): readonly (readonly string[])[] {
  const keys = input.texts('key').map((text) => {
    const parsed: unknown = (() => {
      try {
        return JSON.parse(text);
      } catch {
        return undefined;
      }
    })();
    if (Array.isArray(parsed) && parsed.length > 0 && parsed.every(isExact)) {
      return parsed.map(String);
    }
    throw new Failure(`--key ${text}: write a JSON array of texts, as '["42"]'.`);
  });
  if (keys.length === 0) throw new Failure('--table needs at least one --key.');
  return keys;
}

/** The side that `--side` names. */
export function sideOf(input: Input): Side {
  const side = input.text('side');
  if (side === 'blue' || side === 'green') return side;
  throw new Failure('Say --side blue or --side green.');
}

/** Goes on from wherever a migration stands until green is live. */
export async function runAll(run: Run, input: Input): Promise<Answer> {
  const tables = run.routes.forward.tables.length;
  const phase = async () => (await standing(run.blue, run.green, tables)).phase;
  const found = await plan(run);
  if (found.refusals.length > 0) throw new Failure(found.refusals.join('\n'));
  if (['none', 'partial', 'copying'].includes(await phase())) {
    await prepare(run);
    const { outcome } = await runCopy(run, input);
    if (outcome !== 'done') return { outcome };
  }
  const once: Input = { ...input, flag: (name) => name === 'once' || input.flag(name) };
  if (['building', 'following'].includes(await phase())) {
    await runFollow(run, once);
    await endIfAsked(run.green.main, run.signal);
  }
  if (['following', 'returned'].includes(await phase())) return runSwitch(run, input);
  run.report.line(`Nothing is left to do by "run" in phase ${await phase()}.`);
  return {};
}
