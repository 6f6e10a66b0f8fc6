import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { root } from '../deployments/child.ts';
import { judged, type Sample, type Trend, warmShare } from '../soak/samples.ts';
import type { Soak } from '../soak/soak.ts';
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
  const about =
    `Measured ${soak.date.slice(0, 10)} (\`${file}\`): ${soak.minutes} minutes, ` +
    `${soak.processes} processes, ${machine.cores} cores of ${machine.cpu}, PostgreSQL ` +
    `${machine.postgres}. Capacity ${soak.capacityPerSecond.toFixed(0)} operations a second, ` +
    `asked for ${soak.ratePerSecond} a second: ${soak.operations} operations, every answer right, ` +
    `${soak.unavailable} times 503. ` +
    `Load average of the machine ${Math.min(...loads).toFixed(1)} to ` +
    `${Math.max(...loads).toFixed(1)}.`;
  const rows = soak.trends.map(({ key, mean, growth, uncertainty, verdict }) => {
    const { name, unit, shareMax } = judged[key];
    return [
      name,
      `${mean.toFixed(1)} ${unit}`,
      `${growth.toFixed(1)} ± ${uncertainty.toFixed(1)} ${unit}`,
      `${(shareMax * 100).toFixed(0)} %`,
      verdict,
    ];
  });
  return [
    about,
    table(['', 'mean', 'change after the first third', 'limit', 'verdict'], rows),
    '![RSS, heap, handles, connections and p99 through the soak](images/soak.svg)',
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
  const { samples, trends } = soak;
  const end = samples.at(-1)?.minutes ?? 1;
  const x = (minutes: number) => left + (minutes / end) * (right - left);
  const bottom = top + trends.length * (height + gap);
  const parts = [
    text(16, 28, `${soak.minutes} minutes at half of capacity`, 'strong'),
    line(x(end * warmShare), top, x(end * warmShare), bottom - gap, 'grid dashed'),
    text(x(end * warmShare) + 6, top - 6, 'judged from here', 'faint'),
    ...trends.flatMap((trend, index) => strip(trend, samples, top + index * (height + gap), x)),
    text(left, bottom + 4, '0 min', 'faint middle'),
    text(right, bottom + 4, `${end.toFixed(0)} min`, 'faint end'),
  ];
  const title = 'RSS, heap, handles, connections and p99 of the server through the soak';
  return picture(width, bottom + 18, title, parts.join('\n'));
}

function strip(
  trend: Trend,
  samples: readonly Sample[],
  from: number,
  x: (minutes: number) => number,
): readonly string[] {
  const { name, unit } = judged[trend.key];
  const values = samples.map((sample) => sample[trend.key]).filter(Number.isFinite);
  const largest = Math.max(...values) * 1.1;
  const y = (value: number) => from + height - (value / largest) * height;
  const end = samples.at(-1)?.minutes ?? 1;
  const begin = end * warmShare;
  const points = samples
    .filter((sample) => Number.isFinite(sample[trend.key]))
    .map((sample) => [x(sample.minutes), y(sample[trend.key])] as const);
  const atBegin = trend.mean - trend.growth / 2;
  return [
    line(left, from + height, right, from + height, 'grid'),
    text(left - 12, from + height / 2, name, 'end'),
    text(left - 12, from + height / 2 + 18, `${trend.mean.toFixed(1)} ${unit}`, 'faint end'),
    path(points, 'line-a'),
    line(x(begin), y(atBegin), x(end), y(atBegin + trend.growth), 'line-b'),
  ];
}
