import {
  type Histogram,
  merge,
  type Percentiles,
  percentiles,
} from '#migrate/example/histogram.ts';
import type { Summary, Window } from '#migrate/example/load.ts';
import { type Pair, query } from './databases.ts';
import type { Testimony } from './witness.ts';

/** One switch, on this machine's clock. */
export interface Moment {
  readonly command: string;
  readonly beganMs: number;
  readonly endedMs: number;
  readonly heldMs: number;
  /** Of what was acknowledged before, so much was not on the side that is live after it. */
  readonly missing: number;
}

/** One command of the tool, on this machine's clock. */
export interface Step {
  readonly name: string;
  readonly beganMs: number;
  readonly endedMs: number;
}

/** Everything that was seen. */
export interface Evidence {
  readonly summary: Summary;
  readonly testimony: Testimony;
  readonly moments: readonly Moment[];
  readonly steps: readonly Step[];
  readonly windows: readonly Window[];
  /** Ids that the driver was told are done. */
  readonly acknowledged: readonly string[];
  /** Ids that stragglers were told are written. */
  readonly stragglers: readonly string[];
  /** All the cents there are, before and after. */
  readonly money: { readonly before: number; readonly after: number };
  readonly settleSeconds: number;
}

/** What came of a whole run. */
export interface Verdict {
  readonly lines: readonly string[];
  /** What must not be; sentences. */
  readonly faults: readonly string[];
}

/** A p99 is compared from so long after a switch on. */
const settledAfterMs = 5_000;

/** Compares what was promised with what is in green, and with what witnesses saw. */
export async function judge(pair: Pair, evidence: Evidence) {
  const { summary, testimony, moments, money } = evidence;
  const faults: string[] = [];
  const expect = (holds: boolean, sentence: string) => {
    if (!holds) faults.push(sentence);
  };
  const { missing: lost, there } = await missingOn(pair, 'green', evidence.acknowledged);
  const lostOfStragglers = evidence.stragglers.filter((id) => !there.has(id));
  const [drift] = await query(pair.green, balancesThatDrifted);
  expect(evidence.acknowledged.length > 0, 'nothing was acknowledged, so nothing was tested');
  expect(lost.length === 0, `${lost.length} acknowledged transfers are lost: ${lost[0]}`);
  expect(lostOfStragglers.length === 0, `${lostOfStragglers.length} of stragglers are lost`);
  expect(summary.failed === 0, `failed requests: ${JSON.stringify(summary.failures)}`);
  expect(
    summary.broken === 0,
    `${summary.broken} requests were not answered: ${JSON.stringify(summary.breaks)}`,
  );
  expect(
    summary.unavailable === 0,
    `${summary.unavailable} answers 503: ${JSON.stringify(summary.reasons)}`,
  );
  expect(summary.missing === 0, `${summary.missing} transfers not found right after their answer`);
  expect(summary.shed === 0, `${summary.shed} operations were not sent: the machine is too slow`);
  expect(money.before === money.after, `money: ${money.before} before, ${money.after} after`);
  expect(drift?.n === 0, `${drift?.n} balances are not what their transfers make them`);
  expect(testimony.twoLive === 0, `both said live, ${testimony.twoLive} times`);
  expect(testimony.bothTook === 0, `both took a write, ${testimony.bothTook} times`);
  expect(testimony.refused.blue > 0, 'the straggler on blue was never refused');
  expect(testimony.refused.green > 0, 'the straggler on green was never refused');
  expect(testimony.otherwise.length === 0, `witness: ${testimony.otherwise.join('; ')}`);
  for (const { command, missing, endedMs } of moments) {
    const at = new Date(endedMs).toISOString();
    expect(missing === 0, `${missing} acknowledged transfers were lost by the ${command} at ${at}`);
  }
  const held = moments.map(({ heldMs }) => heldMs).sort((one, other) => one - other);
  return {
    faults,
    lines: [
      `sent ${summary.sent} in ${summary.seconds} s; acknowledged transfers ` +
        `${evidence.acknowledged.length}, lost ${lost.length}`,
      `failed ${summary.failed}, 503 ${summary.unavailable}, unanswered ${summary.broken}`,
      `${held.length} switches: writes held ${held[held.length >> 1]} ms (median), ` +
        `${held.at(-1)} ms (worst)`,
      ...duringSteps(evidence),
      `all reads: ${sayPercentiles(summary.reads)}`,
      `all writes: ${sayPercentiles(summary.writes)}`,
      ...aroundSwitches(evidence),
      `money ${money.before} before and after: ${money.before === money.after}`,
      `witness: ${testimony.looks} looks, both live ${testimony.twoLive}, both took a write ` +
        `${testimony.bothTook}`,
      `stragglers (superuser): blue refused ${testimony.refused.blue}, done ` +
        `${testimony.done.blue}; green refused ${testimony.refused.green}, done ` +
        `${testimony.done.green}; lost ${lostOfStragglers.length}`,
    ],
  };
}

/** Which of the ids are not on that side, and which are there. */
export async function missingOn(pair: Pair, side: 'blue' | 'green', ids: readonly string[]) {
  const table = side === 'blue' ? 'transfer' : 'movement';
  const rows = await query(
    pair[side],
    `select t.id::text as id from ${table} t where t.note in ('asked', 'straggler')`,
  );
  const there = new Set(rows.map(({ id }) => String(id)));
  return { there, missing: ids.filter((id) => !there.has(id)) };
}

/** Every balance that the bank has changed, from what it was made with and the transfers asked for. */
const balancesThatDrifted = `
  with asked as (
    select m.from_id as id, -m.amount as amount from movement m where m.note = 'asked'
    union all select m.to_id, m.amount from movement m where m.note = 'asked'
  ), net as (select a.id, sum(a.amount) as amount from asked a group by a.id)
  select count(*)::int as n from wallet w left join net n on n.id = w.id
  where w.balance <> (100000 + (abs(hashint8extended(w.id, 7)) % 1000000)::int) / 100.0
    + coalesce(n.amount, 0)`;

const sayPercentiles = ({ count, p50, p95, p99, max }: Percentiles) =>
  count === 0
    ? 'none in so short a time'
    : `p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms, slowest ${max} ms`;

/** What the application felt of each command. */
function duringSteps({ steps, windows }: Evidence): readonly string[] {
  return steps.map(({ name, beganMs, endedMs }) => {
    const within = windows.filter(({ atMs }) => atMs + 1_000 > beganMs && atMs < endedMs);
    const of = (kind: 'reads' | 'writes') => {
      const found = percentiles(merge(within.map((window): Histogram => new Map(window[kind]))));
      return `${kind} p99 ${found.p99} ms, slowest ${found.max} ms`;
    };
    const unavailable = within.reduce((sum, window) => sum + window.unavailable, 0);
    const seconds = ((endedMs - beganMs) / 1000).toFixed(1);
    return `  during ${name} (${seconds} s): ${of('reads')}; ${of('writes')}; 503 ${unavailable}`;
  });
}

/** Latencies before, during and after all switches together, and the p99 of each against its before. */
function aroundSwitches(evidence: Evidence): readonly string[] {
  const { moments, windows, settleSeconds } = evidence;
  const spanMs = settleSeconds * 1000;
  const between = (fromMs: number, untilMs: number, kind: 'reads' | 'writes') =>
    merge(
      windows
        .filter(({ atMs }) => atMs >= fromMs && atMs + 1_000 <= untilMs)
        .map((window): Histogram => new Map(window[kind])),
    );
  const lines: string[] = [];
  const calm = calmMoments(evidence, spanMs);
  for (const kind of ['reads', 'writes'] as const) {
    const before = ({ beganMs }: Span) => between(beganMs - spanMs, beganMs, kind);
    const after = ({ endedMs }: Span) =>
      between(endedMs + Math.min(settledAfterMs, spanMs / 2), endedMs + spanMs, kind);
    const ratiosOf = (spans: readonly Span[]) =>
      spans
        .map((span) => percentiles(after(span)).p99 / percentiles(before(span)).p99)
        .filter(Number.isFinite)
        .sort((one, other) => one - other);
    const during = moments.map(({ beganMs, endedMs }) => between(beganMs, endedMs + 1_000, kind));
    const all = (of: (span: Span) => Histogram) =>
      sayPercentiles(percentiles(merge(moments.map(of))));
    lines.push(
      `${kind} before switches: ${all(before)}`,
      `${kind} during switches: ${sayPercentiles(percentiles(merge(during)))}`,
      `${kind} 5 s after: ${all(after)}; p99 against before ${sayRatios(ratiosOf(moments))}`,
    );
    if (calm.length === 0) continue;
    lines.push(
      `${kind} where nothing was switched, ${calm.length} times the same two spans: p99 against before ` +
        sayRatios(ratiosOf(calm)),
    );
  }
  return lines;
}

type Span = Pick<Moment, 'beganMs' | 'endedMs'>;

/**
 * Moments of the new writes between two switches, of which nothing is different before and after: what
 * their ratios scatter is the machine's own.
 */
function calmMoments({ steps }: Evidence, spanMs: number): readonly Span[] {
  const watch = steps.find(({ name }) => name === 'watch');
  if (watch === undefined) return [];
  const count = Math.max(0, Math.floor((watch.endedMs - watch.beganMs) / spanMs) - 1);
  return Array.from({ length: count }, (_, at) => {
    const atMs = watch.beganMs + (at + 1) * spanMs;
    return { beganMs: atMs, endedMs: atMs };
  });
}

const sayRatios = (ratios: readonly number[]) => {
  const says = (ratio: number | undefined) => (ratio === undefined ? '-' : ratio.toFixed(2));
  const [median, ...worst] = [ratios[ratios.length >> 1], ...ratios.slice(-3)].map(says);
  return `${median} (median), ${worst.join(', ')} (the three worst)`;
};
