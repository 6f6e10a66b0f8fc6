import type { OperationCost, StatementCost } from './statements.ts';

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
    const after = large.costs.find((one) => one.headline === before.headline);
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
