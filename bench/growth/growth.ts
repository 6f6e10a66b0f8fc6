import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { startOwnPostgres } from '#server/testing/own-postgres.ts';
import { type CpuCost, type CpuPlan, cpuOf } from './cpu.ts';
import { judgeCpu, judgeGrowth, scansOfGrowing } from './judgement.ts';
import { operations } from './operations.ts';
import { explainSettings } from './plans.ts';
import { flowsInHalf } from './seed.ts';
import { costOf, type OperationCost, sweepCost, warmRuns, writePlans } from './statements.ts';
import { openSubject, type Subject } from './subject.ts';

export interface GrowthPlan {
  /** Sizes, the smallest first. */
  readonly rows: readonly number[];
  /** Times that each operation is run alone at each size, for its plans and pages. */
  readonly runs: number;
  readonly cpu: CpuPlan | undefined;
  readonly analyze: boolean;
  readonly output: string | undefined;
  readonly say: (sentence: string) => void;
}

/** What a run found. */
export interface Growth {
  readonly at: string;
  readonly machine: string;
  readonly rows: readonly number[];
  readonly analyzed: boolean;
  /** Bytes of all tables and indexes, by rows. */
  readonly bytes: Readonly<Record<number, number>>;
  readonly costs: readonly OperationCost[];
  readonly cpu: readonly CpuCost[];
  readonly findings: readonly string[];
}

/** Large enough for the tables of a million; what is read beyond comes from the system's memory. */
const settings = {
  ...explainSettings,
  fsync: 'off',
  full_page_writes: 'off',
  shared_buffers: '4GB',
  max_wal_size: '16GB',
  // Statistics are there or are not, as the run says; nothing comes in between.
  autovacuum: 'off',
  max_connections: '100',
};

/**
 * Why a run would say nothing: a row that was used before costs other statements and pages than one
 * that was not. Undefined: there are rows enough at each size.
 */
export function shortageOf({ rows, runs, cpu }: GrowthPlan): string | undefined {
  const needed = operations.length * (runs + warmRuns);
  if (rows.length < 2) return 'Give two sizes at least: they are compared.';
  const sorted = rows.toSorted((a, b) => a - b);
  if (rows.some((one, at) => one !== sorted[at])) return 'Give the sizes the smallest first.';
  const logins = flowsInHalf(rows[0] ?? 0);
  if (logins < needed) {
    return (
      `At ${rows[0]} rows there are ${logins} logins for pages, and ${operations.length} operations ` +
      `of ${runs} runs use ${needed}. Give more rows, or fewer runs.`
    );
  }
  return cpu === undefined || cpu.count <= logins
    ? undefined
    : `At ${rows[0]} rows there are ${logins} logins for CPU, and a slice uses ${cpu.count}. ` +
        'Give more rows, or a smaller count.';
}

/** Seeds all sizes in one PostgreSQL, a server on each, and drives them by turns. */
export async function measureGrowth(plan: GrowthPlan): Promise<Growth> {
  const postgres = await startOwnPostgres(settings);
  const subjects: Subject[] = [];
  const bytes: Record<number, number> = {};
  try {
    for (const rows of plan.rows) {
      const subject = await openSubject({ ...plan, postgres, rows });
      subjects.push(subject);
      bytes[rows] = await bytesOf(subject);
    }
    const cpu = await allCpu(plan, subjects, postgres.pid());
    const costs = await allCosts(plan, subjects, postgres.logFile);
    const growth = {
      at: new Date().toISOString().slice(0, 10),
      machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`,
      rows: plan.rows,
      analyzed: plan.analyze,
      bytes,
      costs,
      cpu,
      findings: [...findingsOf(costs), ...cpu.flatMap(judgeCpu)],
    };
    if (plan.output !== undefined) await writeFile(plan.output, JSON.stringify(growth, null, 1));
    return growth;
  } finally {
    for (const subject of subjects) await subject.close();
    await postgres.close();
  }
}

async function allCpu(
  plan: GrowthPlan,
  subjects: readonly Subject[],
  postgresPid: number,
): Promise<readonly CpuCost[]> {
  const { cpu } = plan;
  const ends = [subjects[0], subjects.at(-1)]
    .filter((one) => one !== undefined)
    .map((subject) => ({ ...subject, flows: subject.cpuFlows }));
  if (cpu === undefined || subjects.length < 2) return [];
  const costs: CpuCost[] = [];
  for (const operation of operations.filter(({ repeat }) => repeat > 0)) {
    const cost = await cpuOf(ends, postgresPid, operation, cpu);
    plan.say(`CPU  ${cost.name}: ${JSON.stringify(cost.micros)} us, ratio ${cost.ratio}`);
    costs.push(cost);
  }
  return costs;
}

async function allCosts(
  plan: GrowthPlan,
  subjects: readonly Subject[],
  logFile: string,
): Promise<readonly OperationCost[]> {
  const [first] = subjects;
  if (first === undefined) return [];
  await writePlans(first, true);
  const costs: OperationCost[] = [];
  for (const operation of operations) {
    for (const subject of subjects) {
      const cost = await costOf(subject, logFile, operation, plan.runs);
      const pages = cost.costs.map((one) => `${one.buffers} for ${one.probes} probes`).join(', ');
      plan.say(`plans  ${cost.name}, ${cost.rows} rows: ${cost.statements} statements, ${pages}`);
      costs.push(cost);
    }
  }
  for (const subject of subjects) costs.push(await sweepCost(subject, logFile));
  return costs;
}

function findingsOf(costs: readonly OperationCost[]): readonly string[] {
  const byName = Map.groupBy(costs, ({ name }) => name);
  return [...byName].flatMap(([name, [small, ...larger]]) => {
    if (small === undefined) return [];
    // A sweep takes as many statements as there are slices.
    if (name === 'a sweep') return [small, ...larger].flatMap(scansOfGrowing);
    return larger.flatMap((large) => judgeGrowth(small, large));
  });
}

async function bytesOf(subject: Subject): Promise<number> {
  const { rows } = await subject.superuser.query<{ bytes: string }>(
    `select sum(pg_total_relation_size(c.oid)) as bytes from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'`,
  );
  return Number(rows[0]?.bytes ?? 0);
}
