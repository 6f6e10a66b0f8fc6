import type { Growth } from './growth.ts';
import type { Revocations } from './revocations.ts';
import type { OperationCost } from './statements.ts';
import { type Sweeping, sweptTables } from './sweeping.ts';

/** A run as text: a table of pages and one of CPU, and what does not hold. */
export function growthTable(growth: Growth): string {
  const byName = Map.groupBy(growth.costs, ({ name }) => name);
  const sizes = growth.rows.map((rows) => rows.toLocaleString('en'));
  const pages = [...byName].map(([name, costs]) => [
    name,
    [...new Set(costs.map(({ statements }) => statements))].join(', '),
    ...costs.map((cost) => pagesOf(cost)),
    String(Math.round(Math.max(...costs.map(probesOf)))),
  ]);
  const cpu = growth.cpu.map(({ name, micros, ratio }) => [
    name,
    ...Object.values(micros).map(String),
    ratio.toFixed(2),
  ]);
  const ends = [growth.rows[0], growth.rows.at(-1)].map((rows) => rows?.toLocaleString('en') ?? '');
  return [
    `${growth.at}, ${growth.machine}, ${growth.analyzed ? 'analyzed' : 'without statistics'}`,
    `Tables and indexes: ${Object.values(growth.bytes).map(megabytes).join(', ')}`,
    'Pages of 8 KiB per operation, all its statements together, the poll of the feed apart:',
    table(['operation', 'statements', ...sizes, 'probes'], pages),
    'CPU of server and PostgreSQL, us per operation:',
    table(['operation', ...ends, 'ratio'], cpu),
    verdict(growth.findings),
  ].join('\n\n');
}

const isPoll = (headline: string) => headline.startsWith('select o.epoch, o.state');
const sumOver = (cost: OperationCost, what: 'buffers' | 'probes') =>
  cost.costs
    .filter(({ headline }) => !isPoll(headline))
    .reduce((sum, one) => sum + one[what] * one.perOperation, 0);

const pagesOf = (cost: OperationCost) => String(Math.round(sumOver(cost, 'buffers') * 10) / 10);
const probesOf = (cost: OperationCost) => sumOver(cost, 'probes');
const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join(
    '\n',
  );
}

/** The set by itself, then the servers. */
export function revocationsTable(measured: Revocations, findings: readonly string[]): string {
  const { set, servers, facts } = measured;
  return [
    `${facts.toLocaleString('en')} facts: ${megabytes(set.bytes)}, ` +
      `${Math.round(set.bytes / facts)} bytes each. A page of 5,000 takes ${set.pageMs} ms of CPU, ` +
      `the worst ${set.pageMsMax} ms; forgetting, ${set.forgetMsMax} ms at worst. ` +
      `A check: ${set.checkNsEmpty} ns of CPU while it is empty, ${set.checkNs} ns when full.`,
    table(
      ['server', 'facts in memory', 'CPU s to ready', 'MiB', 'us per introspection'],
      servers.map((one) => [
        one.name,
        one.factsInMemory.toLocaleString('en'),
        one.startCpuSeconds.toFixed(1),
        String(one.residentMiB),
        String(one.introspectionMicros),
      ]),
    ),
    `Half of them ended: ${measured.recoveredSeconds} s later the third went by memory again.`,
    verdict(findings),
  ].join('\n\n');
}

/** Rows and bytes at a third, two thirds and the end of the run. */
export function sweepingTable(sweeping: Sweeping, findings: readonly string[]): string {
  const rows = sweptTables.map((name) => {
    const samples = sweeping.samples[name];
    const at = [1 / 3, 2 / 3, 1].map((share) => samples[Math.ceil(samples.length * share) - 1]);
    return [
      name,
      sweeping.removed[name].toLocaleString('en'),
      at.map((one) => one?.rows ?? 0).join(', '),
      at.map((one) => Math.round((one?.tableBytes ?? 0) / 1024)).join(', '),
      at.map((one) => Math.round((one?.indexBytes ?? 0) / 1024)).join(', '),
    ];
  });
  const { backlog } = sweeping;
  return [
    table(['table', 'removed', 'rows', 'table KiB', 'index KiB'], rows),
    `${sweeping.journeys} journeys through the server. Updates of chains that are HOT: ` +
      `${Math.round(sweeping.hotShare * 100)} %. The sweeper's part of the time in PostgreSQL: ` +
      `${Math.round(sweeping.sweeperShare * 100)} %.`,
    ...(backlog === undefined
      ? []
      : [
          `A backlog of ${backlog.rows.toLocaleString('en')} was worked off in ${backlog.seconds} s, ` +
            `a slice in ${backlog.sliceMs.toFixed(1)} ms, the longest in ` +
            `${backlog.sliceMsMax.toFixed(1)} ms.`,
        ]),
    verdict(findings),
  ].join('\n\n');
}

const verdict = (findings: readonly string[]) =>
  findings.length === 0 ? 'All bars hold.' : findings.join('\n');
