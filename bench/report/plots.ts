import { modeOf } from '../modes.ts';
import type { Result, Run } from '../results.ts';
import { dot, line, path, picture, text } from './svg.ts';

const width = 760;
const left = 130;
const right = 715;
const rowHeight = 46;
const top = 64;

/** Operations per core-second, one row a mode, on a logarithmic axis: ours, the peer's, the goal. */
export function operationsPlot(run: Run): string {
  const rows = run.results.filter(isOneProcess);
  const peers = run.results.filter(({ product }) => product === 'oidc-provider');
  const values = [...rows, ...peers].map(({ perCoreSecond }) => perCoreSecond);
  const goals = rows.map(({ mode }) => modeOf(mode).goal?.asked ?? Number.NaN);
  const all = [...values, ...goals].filter(Number.isFinite);
  const low = 10 ** Math.floor(Math.log10(Math.min(...all)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...all)));
  const place = (value: number) =>
    left + (Math.log(value / low) / Math.log(high / low)) * (right - left);
  const height = top + rows.length * rowHeight + 40;
  const parts = [
    text(16, 26, 'Operations per core-second, server and PostgreSQL together', 'strong'),
    dot(21, 43, 5, 'a'),
    text(32, 48, 'Gatehouse'),
    dot(116, 43, 5, 'b'),
    text(127, 48, 'oidc-provider'),
    line(228, 36, 228, 50, 'goal'),
    text(236, 48, 'goal'),
    text(right, 48, 'logarithmic', 'faint end'),
  ];
  const bottom = top + rows.length * rowHeight;
  for (let tick = low; tick <= high; tick *= 10) {
    parts.push(line(place(tick), top, place(tick), bottom, 'grid'));
    parts.push(text(place(tick), bottom + 20, tick.toLocaleString('en'), 'faint middle'));
  }
  rows.forEach((row, index) => {
    const y = top + index * rowHeight + rowHeight / 2;
    parts.push(text(left - 12, y + 4, row.mode, 'end'));
    const peer = peers.find(({ mode }) => mode === row.mode);
    if (peer !== undefined) parts.push(...mark(peer, y, place, 'b'));
    const { goal } = modeOf(row.mode);
    if (goal !== undefined) {
      parts.push(line(place(goal.asked), y - 4, place(goal.asked), y + 14, 'goal'));
    }
    parts.push(...mark(row, y, place, 'a'));
  });
  const title = 'Operations per core-second of Gatehouse and oidc-provider, by kind of operation';
  return picture(width, height, title, parts.join('\n'));
}

/** A dot at the median, a line from the worst to the best slice, and the number over it. */
function mark(
  result: Result,
  y: number,
  place: (value: number) => number,
  colour: string,
): readonly string[] {
  const { min, max } = result.microseconds;
  const x = place(result.perCoreSecond);
  return [
    line(place(1e6 / max), y, place(1e6 / min), y, `line-${colour}`),
    dot(x, y, 5, colour),
    text(x, y - 9, Math.round(result.perCoreSecond).toLocaleString('en'), 'middle'),
  ];
}

const plotBottom = 300;
const plotTop = 60;
const plotLeft = 60;
const plotRight = 600;

/** CPU per operation against the number of processes, one process being 1. */
export function processesPlot(run: Run): string {
  const ours = run.results.filter(({ product }) => product === 'gatehouse');
  const counts = [...new Set(ours.map(({ processes }) => processes))].sort((a, b) => a - b);
  const modes = [...new Set(ours.map(({ mode }) => mode))];
  const series = modes.map((mode) => {
    const of = (processes: number) =>
      ours.find((one) => one.mode === mode && one.processes === processes)?.echoes.median ?? 0;
    return { mode, shares: counts.map((count) => of(count) / of(1)) };
  });
  const largest = Math.max(1.2, ...series.flatMap(({ shares }) => shares)) + 0.05;
  const smallest = Math.min(0.8, ...series.flatMap(({ shares }) => shares)) - 0.05;
  const y = (share: number) =>
    plotBottom - ((share - smallest) / (largest - smallest)) * (plotBottom - plotTop);
  const x = (index: number) =>
    plotLeft + (index / (counts.length - 1)) * (plotRight - plotLeft - 20) + 10;
  const parts = [
    text(16, 26, 'CPU per operation against one process (32 requests in flight each)', 'strong'),
  ];
  for (const share of [0.9, 1, 1.1]) {
    parts.push(line(plotLeft, y(share), plotRight, y(share), share === 1 ? 'grid' : 'grid dashed'));
    parts.push(text(plotLeft - 8, y(share) + 4, share.toFixed(1), 'faint end'));
  }
  counts.forEach((count, index) => {
    parts.push(text(x(index), plotBottom + 22, `${count}`, 'faint middle'));
  });
  parts.push(text((plotLeft + plotRight) / 2, plotBottom + 40, 'processes', 'faint middle'));
  const ends = spreadOut(
    series.map(({ shares }) => y(shares.at(-1) ?? 1)),
    16,
  );
  series.forEach(({ mode, shares }, index) => {
    const colour = ['a', 'b', 'c', 'd'][index % 4] ?? 'a';
    const dash = index >= 4 ? ' dashed' : '';
    const points = shares.map((share, at) => [x(at), y(share)] as const);
    parts.push(path(points, `line-${colour}${dash}`));
    for (const [px, py] of points) parts.push(dot(px, py, 3, colour));
    parts.push(text(plotRight + 4, (ends[index] ?? 0) + 4, mode));
  });
  const title = 'CPU per operation at 1 and more processes, relative to one process';
  return picture(width, plotBottom + 56, title, parts.join('\n'));
}

/** Moves labels apart that would lie over each other; keeps their order. */
function spreadOut(places: readonly number[], gap: number): readonly number[] {
  const order = places.map((place, index) => ({ place, index }));
  order.sort((a, b) => a.place - b.place);
  const moved = [...places];
  let last = Number.NEGATIVE_INFINITY;
  for (const { place, index } of order) {
    last = Math.max(place, last + gap);
    moved[index] = last;
  }
  return moved;
}

function isOneProcess({ product, processes }: Result): boolean {
  return product === 'gatehouse' && processes === 1;
}
