import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { root } from '../deployments/child.ts';
import type { Judged, Soak } from '../soak/soak.ts';
import { warmShare } from '../soak/trend.ts';
import { replaceSection } from './report.ts';
import { line, path, picture, text } from './svg.ts';
import { table } from './tables.ts';

/** Writes table and plot of a soak into docs/; gives the paths. */
export async function writeSoakReport(soak: Soak, file: string): Promise<readonly string[]> {
  const page = join(root, 'docs', 'benchmarks.md');
  const image = join(root, 'docs', 'images', 'soak.svg');
  await writeFile(image, soakPlot(soak));
  await replaceSection(page, 'soak', soakSection(soak, relative(root, file)));
  return [page, image];
}

function soakSection(soak: Soak, file: string): string {
  const { machine } = soak;
  const loads = soak.samples.map(({ load }) => load);
  const whole = soak.samples.map(({ rssMb }) => rssMb);
  const about =
    `Measured ${soak.date.slice(0, 10)} (\`${file}\`): ${soak.minutes} minutes, ` +
    `${soak.processes} processes, ${machine.cores} cores of ${machine.cpu}, PostgreSQL ` +
    `${machine.postgres}. Capacity ${soak.capacityPerSecond.toFixed(0)} operations a second, ` +
    `asked for ${soak.ratePerSecond} a second: ${soak.operations} operations, every answer right, ` +
    `${soak.unavailable} times 503. RSS of all processes between collections ` +
    `${Math.min(...whole).toFixed(0)} to ${Math.max(...whole).toFixed(0)} MB. ` +
    `Load average of the machine ${Math.min(...loads).toFixed(1)} to ` +
    `${Math.max(...loads).toFixed(1)}.`;
  const rows = soak.judged.map(({ name, unit, trend }) => {
    const { level, growth, low, high, limit, verdict } = trend;
    return [
      name,
      `${level.toFixed(1)} ${unit}`,
      `${growth.toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)}) ${unit}`,
      `${limit.toFixed(1)} ${unit}`,
      verdict,
    ];
  });
  return [
    about,
    table(['', 'level', 'change after the first third', 'limit', 'verdict'], rows),
    '![Memory, handles, connections and p99 through the soak](images/soak.svg)',
  ].join('\n\n');
}

const width = 760;
const left = 150;
const right = 740;
const height = 84;
const gap = 22;
const top = 50;

/** One strip per number, from 0 up, with the straight line it was judged by. */
function soakPlot(soak: Soak): string {
  const { judged, minutes } = soak;
  const x = (minute: number) => left + (minute / minutes) * (right - left);
  const begin = x(minutes * warmShare);
  const bottom = top + judged.length * (height + gap);
  const parts = [
    text(16, 28, `${minutes} minutes at half of capacity`, 'strong'),
    line(begin, top, begin, bottom - gap, 'grid dashed'),
    text(begin + 6, top - 6, 'judged from here', 'faint'),
    ...judged.flatMap((one, index) => strip(one, minutes, top + index * (height + gap), x)),
    text(left, bottom + 4, '0 min', 'faint middle'),
    text(right, bottom + 4, `${minutes} min`, 'faint end'),
  ];
  const title = 'Memory, handles, connections and p99 of the server through the soak';
  return picture(width, bottom + 18, title, parts.join('\n'));
}

function strip(
  { name, unit, points, trend }: Judged,
  minutes: number,
  from: number,
  x: (minute: number) => number,
): readonly string[] {
  const shown = points.filter(([minute, value]) => minute >= 0 && Number.isFinite(value));
  const largest = Math.max(1, ...shown.map(([, value]) => value)) * 1.1;
  const y = (value: number) => from + height - (value / largest) * height;
  const atBegin = trend.level - trend.growth / 2;
  return [
    line(left, from + height, right, from + height, 'grid'),
    text(left - 12, from + height / 2, name, 'end'),
    text(left - 12, from + height / 2 + 18, `${trend.level.toFixed(1)} ${unit}`, 'faint end'),
    path(
      shown.map(([minute, value]) => [x(minute), y(value)]),
      'line-a',
    ),
    line(x(minutes * warmShare), y(atBegin), x(minutes), y(atBegin + trend.growth), 'line-b'),
  ];
}
