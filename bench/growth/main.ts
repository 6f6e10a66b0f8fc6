// `npm run growth`: what becomes of each operation as the tables grow (docs/growth.md).
import { parseArgs } from 'node:util';
import { startOwnPostgres } from '#server/testing/own-postgres.ts';
import { measureGrowth, shortageOf } from './growth.ts';
import { judgeRevocations, judgeSweeping } from './judgement.ts';
import { growthTable, revocationsTable, sweepingTable } from './report.ts';
import { measureRevocations } from './revocations.ts';
import { measureSweeping } from './sweeping.ts';

const usage = `Usage: npm run growth -- [options]
       npm run growth -- revocations [--facts 1000000]
       npm run growth -- sweeping [--seconds 600] [--backlog 1000000]

Seeds databases of several sizes in one PostgreSQL, starts a server on each, and uses all doors on rows
spread over the tables: statements, pages, plans, and CPU of server and PostgreSQL together.

  --rows 10000,100000   sizes, the smallest first (10000,100000,1000000,3000000)
  --runs 20             runs of each operation at each size, for pages and plans
  --rounds 8            slices of each operation at the smallest and largest size, for CPU; 0: none
  --count 150           operations in a slice
  --fresh               without statistics, as tables are in their first minute
  --output FILE         writes everything as JSON
  --json                prints it

revocations: a million facts in memory, and a node that is allowed half of them: bytes, start, checks.
sweeping: traffic whose rows live for seconds instead of days, the sweeper beside it, and a backlog.

Pages are counted on half of the logins, CPU on the other half, which is used again and again.
Ends with 0 where all bars hold, 1 where one does not, 2 where the run failed or has too few rows.

Example: npm run growth -- --rows 10000,200000 --rounds 0`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    facts: { type: 'string', default: '1000000' },
    seconds: { type: 'string', default: '600' },
    backlog: { type: 'string', default: '1000000' },
    help: { type: 'boolean', default: false },
    rows: { type: 'string', default: '10000,100000,1000000,3000000' },
    runs: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '8' },
    count: { type: 'string', default: '150' },
    fresh: { type: 'boolean', default: false },
    output: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

async function main(): Promise<number> {
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (positionals[0] === 'revocations') return revocations(Number(values.facts));
  if (positionals[0] === 'sweeping') {
    return sweeping(Number(values.seconds), Number(values.backlog));
  }
  const rows = values.rows.split(',').map(Number);
  const [runs, rounds, count] = [values.runs, values.rounds, values.count].map(Number);
  if (![...rows, runs, rounds, count].every((one) => Number.isSafeInteger(one))) {
    console.error(`A number was expected.\n\n${usage}`);
    return 2;
  }
  const plan = {
    rows,
    runs: runs ?? 20,
    cpu: rounds === 0 ? undefined : { rounds: rounds ?? 8, count: count ?? 150, lanes: 8 },
    analyze: !values.fresh,
    output: values.output,
    say,
  };
  const shortage = shortageOf(plan);
  if (shortage !== undefined) {
    console.error(shortage);
    return 2;
  }
  const growth = await measureGrowth(plan);
  console.log(values.json ? JSON.stringify(growth) : growthTable(growth));
  return growth.findings.length === 0 ? 0 : 1;
}

function say(sentence: string): void {
  console.error(sentence);
}

async function revocations(facts: number): Promise<number> {
  const measured = await measureRevocations(facts, say);
  const findings = judgeRevocations(measured);
  console.log(values.json ? JSON.stringify(measured) : revocationsTable(measured, findings));
  return findings.length === 0 ? 0 : 1;
}

async function sweeping(seconds: number, backlog: number): Promise<number> {
  const postgres = await startOwnPostgres({ autovacuum_naptime: '1s', shared_buffers: '1GB' });
  try {
    const plan = { postgres, seconds, loginsPerSecond: 150, backlog, swept: true };
    const measured = await measureSweeping(plan);
    const findings = judgeSweeping(measured);
    console.log(values.json ? JSON.stringify(measured) : sweepingTable(measured, findings));
    return findings.length === 0 ? 0 : 1;
  } finally {
    await postgres.close();
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error);
  return 2;
});
