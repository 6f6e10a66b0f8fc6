import type { CpuCost } from './cpu.ts';
import type { Revocations } from './revocations.ts';
import type { OperationCost, StatementCost } from './statements.ts';
import { type Sample, type Sweeping, sweptTables } from './sweeping.ts';

/** What is not as it must be; none: all bars hold. */
export type Findings = readonly string[];

/** Averages of few runs differ by that much when nothing has changed: a page split, a new page. */
const buffersSlack = 1;

/** Tables whose size does not follow use; they may be read from end to end. */
const boundedTables = new Set(['control', 'admin_credential', 'key', 'schema_migration']);

/** Scans of tables that grow, one sentence per statement and table. */
export function scansOfGrowing(cost: Pick<OperationCost, 'name' | 'rows' | 'scans'>): Findings {
  const found = cost.scans.filter((scan) => !boundedTables.has(scan.table));
  return [
    ...new Set(
      found.map(
        ({ how, table, headline }) =>
          `${cost.name}, ${cost.rows} rows: ${how} of ${table} in "${headline}"`,
      ),
    ),
  ];
}

/** R22 and issue "Growth": the same statements, and at most one buffer more per index probed. */
export function judgeGrowth(small: OperationCost, large: OperationCost): Findings {
  const findings = [...scansOfGrowing(small), ...scansOfGrowing(large)];
  if (Math.abs(small.statements - large.statements) > 0.1) {
    findings.push(
      `${large.name}, ${small.rows} to ${large.rows} rows: ` +
        `${large.statements} statements instead of ${small.statements}`,
    );
  }
  for (const before of small.costs) {
    const after = large.costs.find((one) => one.text === before.text);
    if (after === undefined || before.perOperation < 0.5) continue;
    const more = after.buffers - before.buffers;
    const allowed = probesOf(before, after) + buffersSlack;
    if (more <= allowed) continue;
    findings.push(
      `${large.name}, ${small.rows} to ${large.rows} rows: ${more.toFixed(1)} more buffers for ` +
        `${allowed - buffersSlack} probes in "${after.headline}"`,
    );
  }
  return findings;
}

const probesOf = (before: StatementCost, after: StatementCost) =>
  Math.max(before.probes, after.probes);

/** The bar of the issue: CPU per operation grows by a tenth at most. */
const ratioMax = 1.1;

/** An operation that became dearer with the tables. */
export function judgeCpu({ name, ratio }: CpuCost): Findings {
  if (ratio <= ratioMax) return [];
  return [
    `${name}: ${Math.round((ratio - 1) * 100)} % more CPU in the largest than in the smallest`,
  ];
}

/** A table of a few pages may gain one; above that, what lives for seconds must stand still. */
const bytesSlack = 512 * 1024;
const growthShareMax = 0.25;

/** R22: storage that stays bounded by itself, while traffic goes on. */
export function judgeSweeping(sweeping: Sweeping): Findings {
  const findings = sweptTables.flatMap((table) => {
    const samples = sweeping.samples[table];
    const said: string[] = [];
    if (sweeping.removed[table] === 0) said.push(`${table}: nothing was ever swept`);
    const rows = growthIn(samples, (one) => one.rows);
    if (rows.gain > Math.max(200, rows.mean * growthShareMax)) {
      said.push(`${table}: ${Math.round(rows.gain)} rows more by the trend of the second half`);
    }
    const bytes = growthIn(samples, (one) => one.tableBytes + one.indexBytes);
    if (bytes.gain > Math.max(bytesSlack, bytes.mean * growthShareMax)) {
      said.push(`${table}: ${Math.round(bytes.gain / 1024)} KiB more by the trend of that half`);
    }
    return said;
  });
  if (sweeping.hotShare < 0.9) {
    findings.push(`chain: ${Math.round(sweeping.hotShare * 100)} % of its updates are HOT`);
  }
  return findings;
}

/** What a line through the second half of the samples gains in that half, and their mean. */
function growthIn(samples: readonly Sample[], of: (sample: Sample) => number) {
  const half = samples.slice(samples.length >> 1);
  const mean = (numbers: readonly number[]) =>
    numbers.reduce((sum, one) => sum + one, 0) / Math.max(1, numbers.length);
  const [x, y] = [half.map(({ seconds }) => seconds), half.map(of)];
  const [xMean, yMean] = [mean(x), mean(y)];
  const spread = x.reduce((sum, one) => sum + (one - xMean) ** 2, 0);
  const slope =
    x.reduce((sum, one, i) => sum + (one - xMean) * ((y[i] ?? 0) - yMean), 0) / (spread || 1);
  return { gain: slope * ((x.at(-1) ?? 0) - (x[0] ?? 0)), mean: yMean };
}

/** A pause that a caller would feel. */
const pauseMsMax = 20;
const bytesPerFactMax = 100;

/** R21: many revocations are held in little, taken up without a pause, and given back by themselves. */
export function judgeRevocations(measured: Revocations): Findings {
  const { set, servers, facts } = measured;
  const findings: string[] = [];
  if (set.bytes / facts > bytesPerFactMax) {
    findings.push(`${Math.round(set.bytes / facts)} bytes a fact`);
  }
  for (const what of ['pageMs', 'forgetMsMax'] as const) {
    if (set[what] > pauseMsMax) findings.push(`${what} is ${set[what]} ms`);
  }
  const [none, all] = servers;
  if (none === undefined || all === undefined || all.factsInMemory < facts) {
    findings.push('a server does not hold all facts');
  } else if (all.introspectionMicros > none.introspectionMicros * 1.1) {
    findings.push('an introspection is more than a tenth dearer beside all facts');
  }
  return findings;
}
