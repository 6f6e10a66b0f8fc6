import type { Growth } from './growth.ts';
import type { OperationCost } from './statements.ts';

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
    growth.findings.length === 0 ? 'All bars hold.' : growth.findings.join('\n'),
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
