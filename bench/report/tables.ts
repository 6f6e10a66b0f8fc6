import { judge, signedPercent } from '../judgement.ts';
import { modeOf } from '../modes.ts';
import type { Result, Run } from '../results.ts';

/** What a run measured, as Markdown. */
export function tablesOf(run: Run, file: string): string {
  return [
    aboutRun(run, file),
    '![Operations per core-second, by kind of operation](images/benchmarks.svg)',
    '### One process, 32 requests in flight',
    costTable(run),
    '### What PostgreSQL does for one operation',
    databaseTable(run),
    ...(hasScaling(run) ? scalingParts(run) : []),
    '### Judgement',
    judgementList(run),
  ].join('\n\n');
}

function scalingParts(run: Run): readonly string[] {
  return [
    '### More processes',
    processTable(run),
    '![CPU per operation against one process](images/processes.svg)',
  ];
}

/** Whether it was measured with one process and with more. */
export function hasScaling(run: Run): boolean {
  const counts = run.results
    .filter(({ product }) => product === 'gatehouse')
    .map(({ processes }) => processes);
  return counts.includes(1) && counts.some((count) => count > 1);
}

/** A load average remembers the minute before it, and what this run starts with: so much is not others. */
const ownMinute = 1.5;

const busyMachine =
  '**The machine was busy**: throughout, more programs wanted a CPU than it has cores, which makes ' +
  'the same work up to three times as dear. Compare Gatehouse with the peer of the same moment; ' +
  'the goals are for a quiet machine, and so are latencies.';

function aboutRun(run: Run, file: string): string {
  const { machine, load, echo } = run;
  const sum = (read: (result: Result) => number) =>
    run.results.reduce((total, result) => total + read(result), 0);
  const unavailable = sum((result) => result.unavailable);
  const operations = sum((result) => result.operations);
  return [
    `Measured ${run.date.slice(0, 10)} (\`${file}\`): Gatehouse ${run.gatehouse}, ${run.peer}, ` +
      `PostgreSQL ${machine.postgres}, Node ${machine.node}, ${machine.cores} cores of ` +
      `${machine.cpu}, ${gigabytes(machine.memoryBytes)} of memory, Linux ${machine.kernel}.`,
    `${run.rounds} slices of ${run.seconds} s each. One echo took ${echo.median.toFixed(1)} µs ` +
      `(${echo.min.toFixed(1)} to ${echo.max.toFixed(1)}). Load average ` +
      `${load.before.toFixed(1)} before and ${load.after.toFixed(1)} after; neighbours of this ` +
      `virtual machine took ${load.stolen.toFixed(0)} s of CPU. Every answer was right, ` +
      `${unavailable} of ${operations} were 503.`,
    ...(Math.min(load.before, load.after) > machine.cores * ownMinute ? ['', busyMachine] : []),
  ].join('\n');
}

function costTable(run: Run): string {
  const rows = atOneProcess(run).map((result) => {
    const goal = modeOf(result.mode).goal;
    const { microseconds, echoes } = result;
    return [
      result.mode,
      result.product,
      `${microseconds.median.toFixed(0)} (${microseconds.min.toFixed(0)} to ` +
        `${microseconds.max.toFixed(0)})`,
      `${result.serverMicroseconds.toFixed(0)} + ${result.postgresMicroseconds.toFixed(0)}`,
      echoes.median.toFixed(1),
      result.perCoreSecond.toFixed(0),
      result.product === 'gatehouse' && goal !== undefined ? String(goal.asked) : '',
      result.perSecond.toFixed(0),
      milliseconds(result),
      result.open === undefined
        ? ''
        : `${milliseconds(result.open)} at ${result.open.ratePerSecond}/s`,
      `${megabytes(result.serverBytes)}, ${megabytes(result.heapBytes)}`,
    ];
  });
  return table(
    [
      'operation',
      'server',
      'CPU µs (slices)',
      'server + PostgreSQL',
      'echoes',
      'per core-second',
      'goal',
      'per second',
      'p50, p95, p99 ms, always busy',
      'p50, p95, p99 ms, half as busy',
      'RSS, heap MB',
    ],
    rows,
  );
}

function databaseTable(run: Run): string {
  const rows = atOneProcess(run).map((result) => [
    result.mode,
    result.product,
    amount(result.statements),
    amount(result.commits),
    amount(result.rowsWritten),
    result.walBytes === null ? '' : result.walBytes.toFixed(0),
    amount(result.temporaryBytes),
  ]);
  const head = ['operation', 'server', 'statements', 'commits', 'rows written', 'WAL bytes'];
  return table([...head, 'temporary bytes'], rows);
}

function processTable(run: Run): string {
  const ours = run.results.filter(({ product }) => product === 'gatehouse');
  const counts = [...new Set(ours.map(({ processes }) => processes))].sort((a, b) => a - b);
  const modes = [...new Set(ours.map(({ mode }) => mode))];
  const rows = modes.map((mode) => [
    mode,
    ...counts.map((count) => {
      const result = ours.find((one) => one.mode === mode && one.processes === count);
      const one = ours.find((other) => other.mode === mode && other.processes === 1);
      if (result === undefined) return '';
      const change =
        one === undefined || count === 1
          ? ''
          : `, ${signedPercent(result.echoes.median / one.echoes.median - 1)} ` +
            `(bare servers: ${signedPercent(result.crowd - 1)})`;
      return `${result.microseconds.median.toFixed(0)} µs, ${result.echoes.median.toFixed(1)} echoes${change}`;
    }),
  ]);
  return table(['operation', ...counts.map((count) => `${count}`)], rows);
}

function judgementList(run: Run): string {
  return judge(run)
    .map(({ holds, sentence }) => `- ${holds ? 'met' : '**missed**'}: ${sentence}`)
    .join('\n');
}

function atOneProcess(run: Run): readonly Result[] {
  return run.results.filter(({ processes }) => processes === 1);
}

function milliseconds({ p50, p95, p99 }: Pick<Result, 'p50' | 'p95' | 'p99'>): string {
  return [p50, p95, p99].map((value) => value.toFixed(value < 10 ? 1 : 0)).join(', ');
}

function amount(value: number | null): string {
  return value === null ? '' : value.toFixed(2);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(0)} GB`;
}

/** A table of Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
