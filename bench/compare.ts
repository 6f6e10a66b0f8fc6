import { signedPercent } from './judgement.ts';
import type { Result, Run } from './results.ts';

/** Sets two runs side by side, in echoes: CPU per operation, and what PostgreSQL does. */
export function compare(before: Run, after: Run): string {
  const rows = after.results.flatMap((result) => {
    const earlier = before.results.find((one) => isSame(one, result));
    return earlier === undefined ? [] : [rowOf(earlier, result)];
  });
  const head = ['mode', 'echoes', '', 'change', 'CPU us', '', 'statements', '', 'WAL bytes', ''];
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((row) => (row[column] ?? '').length)),
  );
  const lines = [head, ...rows].map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '),
  );
  const title =
    `${before.date} (echo ${before.echo.median.toFixed(0)} us) -> ` +
    `${after.date} (echo ${after.echo.median.toFixed(0)} us)`;
  return [title, ...lines.map((line) => line.trimEnd())].join('\n');
}

function isSame(a: Result, b: Result): boolean {
  return a.mode === b.mode && a.product === b.product && a.processes === b.processes;
}

function rowOf(before: Result, after: Result): readonly string[] {
  const change = after.echoes.median / before.echoes.median - 1;
  // Where the slices overlap, the difference may be chance.
  const overlaps = before.echoes.min <= after.echoes.max && after.echoes.min <= before.echoes.max;
  const count = (value: number | null, digits: number) => value?.toFixed(digits) ?? '-';
  return [
    `${after.mode} ${after.product} x${after.processes}`,
    before.echoes.median.toFixed(1),
    after.echoes.median.toFixed(1),
    `${signedPercent(change)}${overlaps ? ' (slices overlap)' : ''}`,
    before.microseconds.median.toFixed(0),
    after.microseconds.median.toFixed(0),
    count(before.statements, 2),
    count(after.statements, 2),
    count(before.walBytes, 0),
    count(after.walBytes, 0),
  ];
}
