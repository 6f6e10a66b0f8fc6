// `npm run growth`: what becomes of each operation as the tables grow (docs/growth.md).
import { parseArgs } from 'node:util';
import { measureGrowth } from './growth.ts';
import { growthTable } from './report.ts';

const usage = `Usage: npm run growth -- [options]

Seeds databases of several sizes in one PostgreSQL, starts a server on each, and uses all doors on rows
spread over the tables: statements, pages, plans, and CPU of server and PostgreSQL together.

  --rows 10000,100000   sizes, the smallest first (10000,100000,1000000,3000000)
  --runs 20             runs of each operation at each size, for pages and plans
  --rounds 8            slices of each operation at the smallest and largest size, for CPU; 0: none
  --count 150           operations in a slice
  --fresh               without statistics, as tables are in their first minute
  --output FILE         writes everything as JSON
  --json                prints it

Ends with 0 where all bars hold, 1 where one does not, 2 where the run failed.

Example: npm run growth -- --rows 10000,200000 --rounds 0`;

const { values } = parseArgs({
  options: {
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
  const rows = values.rows.split(',').map(Number);
  const [runs, rounds, count] = [values.runs, values.rounds, values.count].map(Number);
  if (![...rows, runs, rounds, count].every((one) => Number.isSafeInteger(one))) {
    console.error(`A number was expected.\n\n${usage}`);
    return 2;
  }
  const growth = await measureGrowth({
    rows,
    runs: runs ?? 20,
    cpu: rounds === 0 ? undefined : { rounds: rounds ?? 8, count: count ?? 150, lanes: 8 },
    analyze: !values.fresh,
    output: values.output,
    say: (sentence) => console.error(sentence),
  });
  console.log(values.json ? JSON.stringify(growth) : growthTable(growth));
  return growth.findings.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error);
  return 2;
});
